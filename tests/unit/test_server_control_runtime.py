"""Runtime and what torchserve.py does with it, on stand-ins for the server's processes."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread

import pytest

from archive_builder.command import CommandError
from server_control import runtime as runtime_module
from server_control import torchserve
from server_control.configuration import Configuration
from server_control.runtime import Note, Runtime, java_process, processes
from server_control.torchserve import require_free_ports, stop, wait_until_ready
from tests.unit.fake_torchserve import FakeTorchServe, version
from tests.unit.fake_torchserve import configuration as configuration_at
from tests.unit.local_http import Answer, Request, refusing, serving

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
TELLING = (
    "import signal, sys\nsignal.signal(signal.SIGTERM, lambda number, _: sys.exit(print(number)))\n"
    + SLEEP
)
# Ends by itself a while after TorchServe's own process, and writes a file to show that.
WORKER = """
import contextlib, sys, time
from pathlib import Path
import psutil

java, ended = sys.argv[1:3]
print("ready", flush=True)
with contextlib.suppress(psutil.NoSuchProcess):
    while psutil.Process(int(java)).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
time.sleep(0.3)
Path(ended).touch()
"""


def java(folder: str) -> list[str]:
    """Return the arguments by which a server's Java is known."""
    return [f"-Djava.io.tmpdir={folder}", "org.pytorch.serve.ModelServer"]


def worker(folder: str) -> list[str]:
    """Return the arguments by which a server's worker is known."""
    return ["--sock-name", f"{folder}/.ts.sock.9000"]


Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path / "config.properties", {"load_models": "m.mar"})


@pytest.fixture
def runtime(
    tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> Runtime:
    monkeypatch.setattr(runtime_module, "RUN", tmp_path / "run")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Runtime(configuration.path)
    with found.locked():  # makes the folder
        return found


@pytest.fixture
def note(tmp_path: Path) -> Note:
    folder = tmp_path / "densenet121-private"
    folder.mkdir()
    return Note(str(folder), {}, {})


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Return a function that starts a Python process with arguments and waits until it runs."""
    with ExitStack() as stack:

        def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-c", code, *arguments]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


# The folder.


def test_folder_is_named_after_the_configuration(runtime: Runtime, tmp_path: Path) -> None:
    assert runtime.folder.parent == tmp_path / "run"
    assert runtime.folder.name.startswith("config-")


@pytest.mark.usefixtures("runtime")
def test_every_configuration_has_a_folder_of_its_own(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.properties", tmp_path / "b" / "x.properties"]

    one, another = (Runtime(path).folder for path in paths)

    assert one != another


def test_same_configuration_has_the_same_folder(
    runtime: Runtime, configuration: Configuration
) -> None:
    assert Runtime(configuration.path).folder == runtime.folder


def test_configuration_reached_by_a_link_has_the_same_folder(
    runtime: Runtime, configuration: Configuration, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(configuration.path.parent)

    assert Runtime(tmp_path / "link" / configuration.path.name).folder == runtime.folder


def test_folder_is_the_owners_alone(runtime: Runtime) -> None:
    runtime.folder.mkdir(parents=True, exist_ok=True)
    runtime.folder.chmod(0o755)  # as versions before 0.4.0 made it

    with runtime.locked():
        assert runtime.folder.stat().st_mode & 0o777 == 0o700


def test_new_server_has_not_yet_started(runtime: Runtime) -> None:
    runtime.folder.mkdir(parents=True, exist_ok=True)
    runtime.started.touch()

    runtime.write_note({}, {})

    assert not runtime.started.exists()


def test_second_command_is_kept_out(runtime: Runtime, configuration: Configuration) -> None:
    entered = Event()

    def second() -> None:
        with Runtime(configuration.path).locked():
            entered.set()

    thread = Thread(target=second)
    with runtime.locked():
        thread.start()

        assert not entered.wait(0.3)

    thread.join()
    assert entered.is_set()


# The note.


def test_note_is_read_as_it_was_written(runtime: Runtime, configuration: Configuration) -> None:
    archive = {"weights": {"name": "demo", "sha256": "0" * 64}}

    written = runtime.write_note(configuration.values, archive)

    assert runtime.note() == written
    assert written.configuration == {"load_models": "m.mar"}
    assert written.archive == archive


def test_note_has_a_private_folder_that_exists(
    runtime: Runtime, configuration: Configuration
) -> None:
    folder = Path(runtime.write_note(configuration.values, {}).temp)

    assert folder.is_dir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_every_note_has_another_private_folder(
    runtime: Runtime, configuration: Configuration
) -> None:
    one, another = (runtime.write_note(configuration.values, {}).temp for _ in range(2))

    assert one != another


def test_there_is_no_note_before_a_start(runtime: Runtime) -> None:
    assert runtime.note() is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param('{"temp": "/tmp/den', id="truncated"),
        pytest.param("[]", id="no object"),
        pytest.param("null", id="null"),
        pytest.param('{"temp": "", "configuration": {}, "archive": {}}', id="no folder"),
        pytest.param('{"temp": "x"}', id="fields missing"),
        pytest.param(
            '{"temp": "x", "configuration": {}, "archive": {}, "pid": 1}', id="unknown field"
        ),
    ],
)
def test_damaged_note_is_none(runtime: Runtime, text: str) -> None:
    (runtime.folder / "server.json").write_text(text)

    assert runtime.note() is None


# clean.


@pytest.fixture
def used(runtime: Runtime, configuration: Configuration) -> Runtime:
    """Return a runtime with everything that a server leaves behind."""
    temp = Path(runtime.write_note(configuration.values, {}).temp)
    (temp / "models").mkdir()
    (temp / "models" / "weights.pth").touch()
    logs = runtime.folder / "logs"
    logs.mkdir()
    for path in (
        runtime.folder / "key_file.json",
        runtime.folder / "config.properties",
        runtime.folder / "certificate.pem",
        runtime.started,
        runtime.draining,
        runtime.console,
        logs / "model_log.log",
    ):
        path.write_text("text")
    return runtime


@pytest.mark.parametrize(
    "name",
    [
        "server.json",
        "key_file.json",
        "config.properties",
        "certificate.pem",
        "started",
        "draining",
    ],
)
def test_clean_removes(used: Runtime, name: str) -> None:
    used.clean()

    assert not (used.folder / name).exists()


def test_clean_removes_the_private_folder(used: Runtime) -> None:
    note = used.note()
    assert note is not None

    used.clean()

    assert not Path(note.temp).exists()


@pytest.mark.parametrize("name", ["console.log", "logs/model_log.log"])
def test_clean_keeps_the_log(used: Runtime, name: str) -> None:
    used.clean()

    assert (used.folder / name).read_text() == "text"


def test_clean_twice_is_no_error(used: Runtime) -> None:
    used.clean()
    used.clean()

    assert used.note() is None


# What it runs from.


def test_server_runs_from_what_it_was_started_with(
    runtime: Runtime, configuration: Configuration
) -> None:
    runtime.write_note({}, {})
    path = runtime.write_configuration(configuration)

    assert path == runtime.folder / "config.properties"
    assert runtime.running() == Configuration(path, configuration.values)


@pytest.mark.parametrize("left", ["note", "configuration"])
def test_half_of_a_server_does_not_run(
    runtime: Runtime, configuration: Configuration, left: str
) -> None:
    if left == "note":
        runtime.write_note({}, {})
    else:
        runtime.write_configuration(configuration)

    with pytest.raises(CommandError, match="no server of this configuration is running"):
        runtime.running()


def with_certificate(file: Path) -> Configuration:
    values = {"certificate_file": str(file), "inference_address": "https://127.0.0.1:8080"}
    return Configuration(Path("c"), values)


def test_certificate_is_that_of_the_start(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    configuration = with_certificate(file)
    file.write_text("old")

    assert runtime.certificate(configuration) == file
    runtime.write_configuration(configuration)
    file.write_text("new")
    kept = runtime.certificate(configuration)

    assert kept is not None
    assert kept.read_text() == "old"


def test_there_is_no_certificate_without_tls(
    runtime: Runtime, configuration: Configuration
) -> None:
    runtime.write_configuration(configuration)

    assert runtime.certificate(configuration) is None


def test_certificate_that_cannot_be_read_is_an_error_naming_it(
    runtime: Runtime, tmp_path: Path
) -> None:
    configuration = with_certificate(tmp_path / "no.pem")

    with pytest.raises(CommandError, match=r"the certificate .*/no\.pem cannot be read: No such"):
        runtime.write_configuration(configuration)


def test_logs_of_the_server_before_are_kept(runtime: Runtime, configuration: Configuration) -> None:
    for text in ("first", "second", "third"):
        runtime.write_note(configuration.values, {})
        runtime.logs.mkdir()
        (runtime.logs / "model_log.log").write_text(text)

    assert (runtime.folder / "logs.previous" / "model_log.log").read_text() == "second"


# processes.


def test_worker_with_a_socket_in_the_private_folder_is_found(note: Note, spawn: Spawn) -> None:
    process = spawn(SLEEP, *worker(note.temp))

    assert [found.pid for found in processes(note)] == [process.pid]


def test_bystander_that_names_the_private_folder_is_not_found(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, f"{note.temp}/.ts.sock.9000", note.temp, f"--file={note.temp}/log")

    assert processes(note) == []


def test_process_with_another_folder_is_not_found(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, *worker(note.temp.replace("private", "another")))

    assert processes(note) == []


def test_process_that_ended_and_was_not_waited_for_is_not_found(note: Note, spawn: Spawn) -> None:
    process = spawn("print('ready', flush=True)", *worker(note.temp))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert processes(note) == []


def test_java_is_the_process_of_the_model_server(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, *worker(note.temp))
    server = spawn(SLEEP, *java(note.temp))

    found = java_process(note)

    assert found is not None
    assert found.pid == server.pid


def test_java_of_another_server_is_not_found(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, *java(note.temp.replace("private", "another")))

    assert java_process(note) is None


def test_worker_alone_is_no_java(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, *worker(note.temp))

    assert java_process(note) is None


# stop.


def test_stop_ends_java(note: Note, spawn: Spawn) -> None:
    spawn(SLEEP, *java(note.temp))

    stop(note)

    assert processes(note) == []


def test_stop_waits_for_workers_that_end_with_java(
    note: Note, spawn: Spawn, tmp_path: Path
) -> None:
    server = spawn(SLEEP, *java(note.temp))
    spawn(WORKER, str(server.pid), str(tmp_path / "ended"), *worker(note.temp))

    stop(note)

    assert processes(note) == []
    assert (tmp_path / "ended").exists()


def test_stop_asks_java_before_it_kills(note: Note, spawn: Spawn, tmp_path: Path) -> None:
    told = tmp_path / "told"
    polite = (
        "import signal, sys\n"
        f"def end(*_):\n    open({str(told)!r}, 'w').close()\n    sys.exit()\n"
        f"signal.signal(signal.SIGTERM, end)\n{SLEEP}"
    )
    spawn(polite, *java(note.temp))

    stop(note)

    assert told.exists()


def test_stop_kills_java_that_ignores_the_request(note: Note, spawn: Spawn) -> None:
    spawn(DEAF, *java(note.temp))

    stop(note, patience_s=0.3)

    assert processes(note) == []


def test_stop_kills_workers_that_lost_their_java(note: Note, spawn: Spawn) -> None:
    spawn(DEAF, *worker(note.temp))

    stop(note, patience_s=5)

    assert processes(note) == []


def test_stop_leaves_other_processes_alone(note: Note, spawn: Spawn) -> None:
    other = spawn(SLEEP, *java("another-folder"))

    stop(note, patience_s=0.3)

    assert other.poll() is None


def test_stop_without_a_server_is_no_error(note: Note) -> None:
    stop(note)


# require_free_ports.


def listen() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def free() -> dict[str, str]:
    """Return settings with five different free ports."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(closing(listen())) for _ in range(5)]
        ports = [port_of(listener) for listener in listeners]
    return {
        "inference_address": f"http://127.0.0.1:{ports[0]}",
        "management_address": f"http://127.0.0.1:{ports[1]}",
        "metrics_address": f"http://127.0.0.1:{ports[2]}",
        "grpc_inference_port": str(ports[3]),
        "grpc_management_port": str(ports[4]),
    }


def test_free_ports_pass(free: dict[str, str]) -> None:
    require_free_ports(Configuration(Path("c.properties"), free))


@pytest.mark.parametrize("key", ["inference_address", "metrics_address", "grpc_management_port"])
def test_taken_port_is_an_error_naming_it(free: dict[str, str], key: str) -> None:
    with closing(listen()) as taken:
        port = port_of(taken)
        value = str(port) if key.endswith("port") else f"http://127.0.0.1:{port}"
        configuration = Configuration(Path("/etc/c.properties"), free | {key: value})

        with pytest.raises(CommandError) as caught:
            require_free_ports(configuration)

    message = str(caught.value)
    assert message.startswith(f"port {port} of 127.0.0.1 ({key}): Address already in use")
    assert message.endswith("set other ports in /etc/c.properties")


def test_every_taken_port_is_named(free: dict[str, str]) -> None:
    with closing(listen()) as one, closing(listen()) as another:
        values = free | {
            "grpc_inference_port": str(port_of(one)),
            "grpc_management_port": str(port_of(another)),
        }

        with pytest.raises(CommandError) as caught:
            require_free_ports(Configuration(Path("c.properties"), values))

        assert f"port {port_of(one)} " in str(caught.value)
        assert f"port {port_of(another)} " in str(caught.value)


# wait_until_ready.


@pytest.fixture
def running(note: Note, spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> Note:
    monkeypatch.setattr(torchserve, "_POLL_S", 0.01)
    spawn(SLEEP, *java(note.temp))
    return note


def test_wait_ends_when_every_worker_is_ready(runtime: Runtime, running: Note) -> None:
    steps = [(), ("READY", "UNLOADING"), ("READY", "READY")]
    fake = FakeTorchServe(runtime)
    asked: list[str] = []

    def answer(request: Request) -> Answer:
        if not asked:  # not yet loaded
            asked.append(request.path)
            return Answer(b"{}", status=404)
        fake.versions = [version(*steps[min(len(asked) - 1, 2)], wanted=2)]
        asked.append(request.path)
        return fake(request)

    with serving(answer) as server:
        ready = wait_until_ready(configuration_at(server.url), runtime, running, 30)

    assert ready == 2
    assert asked == ["/models/m/all"] * 4


def test_workers_of_all_versions_are_waited_for(runtime: Runtime, running: Note) -> None:
    versions = [version("READY", number="2.0"), version("READY", "READY", number="1.0")]

    with serving(FakeTorchServe(runtime, versions)) as server:
        assert wait_until_ready(configuration_at(server.url), runtime, running, 30) == 3


def test_wait_ends_at_the_deadline(runtime: Runtime, running: Note) -> None:
    fake = FakeTorchServe(runtime, [version("READY", "UNLOADING", wanted=2)])

    with serving(fake) as server, pytest.raises(CommandError) as caught:
        wait_until_ready(configuration_at(server.url), runtime, running, 0.1)

    assert str(caught.value).startswith("1 of 2 workers were ready after 0 s. ")
    assert not runtime.started.exists()


def test_wait_ends_when_a_worker_died(runtime: Runtime, running: Note) -> None:
    runtime.logs.mkdir()
    (runtime.logs / "model_log.log").write_text(
        '{"level": "INFO", "message": "Backend worker process died."}\n'
        '{"level": "INFO", "message": "WeightsError: not a DenseNet-121"}\n'
        "a line of another's log configuration\n"
    )
    (runtime.logs / "ts_log.log").write_text('{"message": "Something else"}\n')

    with refusing() as url, pytest.raises(CommandError) as caught:
        wait_until_ready(configuration_at(url), runtime, running, 30)

    message = str(caught.value)
    assert message.startswith("a worker failed to load the model.")
    assert message.splitlines()[1:] == [
        "  Backend worker process died.",
        "  WeightsError: not a DenseNet-121",
        "  a line of another's log configuration",
    ]


def test_wait_ends_when_java_ended(runtime: Runtime, note: Note) -> None:
    """A worker that loaded has nothing to do with it."""
    runtime.logs.mkdir()
    (runtime.logs / "model_log.log").write_text('{"message": "Torch worker started."}\n')
    frames = "".join(f"\tat org.pytorch.serve.Some{number}\n" for number in range(20))
    runtime.console.write_text(f"Error: could not reserve enough memory\n{frames}")

    with refusing() as url, pytest.raises(CommandError) as caught:
        wait_until_ready(configuration_at(url), runtime, note, 30)

    message = str(caught.value)
    assert message.startswith("TorchServe ended while starting.")
    assert message.splitlines()[-1] == "  Error: could not reserve enough memory"
    assert str(runtime.console) in message


def test_signal_number_is_the_one_that_java_gets(note: Note, spawn: Spawn) -> None:
    """SIGTERM lets TorchServe end its workers in order."""
    # Told by itself: who of us learns the exit status of a child is a matter of chance.
    server = spawn(TELLING, *java(note.temp))

    stop(note)

    assert server.stdout is not None
    assert server.stdout.read().split() == [str(int(signal.SIGTERM))]

"""Draining, on a fake TorchServe and real locks."""

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from archive_builder.command import CommandError
from densenet_classifier.cores import Cores
from server_control import drain
from server_control.drain import add_options, drained
from server_control.runtime import Note, Runtime
from tests.unit.fake_torchserve import (
    NO_KEY,
    OF_THE_HANDLER,
    QUEUE_FULL,
    FakeTorchServe,
    configuration,
    version,
)
from tests.unit.local_http import Answer, Server, refusing, serving

TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_POLL_S", 0.001)
    monkeypatch.setattr(drain, "_ON_THE_WAY_S", 0.0)


@pytest.fixture
def note(tmp_path: Path) -> Note:
    """Return that of a server with two versions of the model."""
    for archive in ("models/a", "models/b"):
        (tmp_path / "temp" / archive / "workers").mkdir(parents=True)
    return Note(str(tmp_path / "temp"), {}, {})


def folders(note: Note) -> list[Path]:
    return [Path(note.temp) / "models" / name / "workers" for name in ("a", "b")]


def marks(note: Note) -> list[bool]:
    return [(folder / "refusing").exists() for folder in folders(note)]


@contextmanager
def empty(
    runtime: Runtime,
    note: Note,
    fake: Callable[[Any], Answer],
    *,
    drain_s: float = TIMEOUT_S,
    settle_s: float = 0.0,
) -> Iterator[Server]:
    with ExitStack() as stack:
        server = stack.enter_context(serving(fake))
        stack.enter_context(
            drained(configuration(server.url), runtime, note, settle_s=settle_s, drain_s=drain_s)
        )
        yield server


# What is marked, and for how long.


def test_marks_are_there_for_the_block_only(runtime: Runtime, note: Note) -> None:
    with empty(runtime, note, FakeTorchServe(runtime)):
        assert runtime.draining.exists()
        assert marks(note) == [True, True]

    assert not runtime.draining.exists()
    assert marks(note) == [False, False]


def test_marks_are_removed_after_an_error_in_the_block(runtime: Runtime, note: Note) -> None:
    def scale() -> None:
        with empty(runtime, note, FakeTorchServe(runtime)):
            raise CommandError("it cannot be scaled")

    with pytest.raises(CommandError, match="it cannot be scaled"):
        scale()

    assert not runtime.draining.exists()
    assert marks(note) == [False, False]


def test_folders_that_the_server_took_with_it_are_no_error(runtime: Runtime, note: Note) -> None:
    with empty(runtime, note, FakeTorchServe(runtime)):
        for folder in folders(note):
            (folder / "refusing").unlink()
            folder.rmdir()


def test_proxies_have_time_to_see_it_before_anything_else(
    runtime: Runtime, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        seen.append((runtime.draining.exists(), marks(note)))

    monkeypatch.setattr("server_control.drain.time.sleep", sleep)

    with empty(runtime, note, FakeTorchServe(runtime), settle_s=7):
        pass

    assert slept[0] == 7
    assert seen[0] == (True, [False, False])


# The request that goes through the queue.


def test_request_goes_through_the_queue_of_each_version(runtime: Runtime, note: Note) -> None:
    fake = FakeTorchServe(runtime, [version("READY", number=each) for each in ("2.0", "1.0")])

    with empty(runtime, note, fake) as server:
        sent = [each for each in server.requests if each.path.startswith("/predictions")]

    assert [each.path for each in sent] == ["/predictions/m/2.0", "/predictions/m/1.0"]
    assert {(each.method, each.body) for each in sent} == {("POST", b"")}


@pytest.mark.parametrize(
    "answer", [QUEUE_FULL, NO_KEY, Answer(reset=True)], ids=["queue full", "old token", "reset"]
)
def test_answer_that_is_not_the_handlers_is_asked_for_again(
    runtime: Runtime, note: Note, answer: Answer
) -> None:
    with empty(runtime, note, FakeTorchServe(runtime, predictions=[answer] * 2)) as server:
        sent = [each for each in server.requests if each.path.startswith("/predictions")]

    assert len(sent) == 3


def test_nothing_is_refused_before_the_queue_is_passed(runtime: Runtime, note: Note) -> None:
    seen = []
    fake = FakeTorchServe(runtime)

    def answer(request: Any) -> Answer:
        seen.append(marks(note))
        return fake(request)

    with empty(runtime, note, answer):
        pass

    assert seen == [[False, False]] * 2  # a description, a prediction


def test_queue_that_is_never_passed_is_an_error(runtime: Runtime, note: Note) -> None:
    fake = FakeTorchServe(runtime)

    def answer(request: Any) -> Answer:
        return QUEUE_FULL if request.path.startswith("/predictions") else fake(request)

    with (
        pytest.raises(CommandError, match="still in work after the time given with --drain-s"),
        empty(runtime, note, answer, drain_s=0.05),
    ):
        pass

    assert not runtime.draining.exists()
    assert marks(note) == [False, False]


def test_prediction_that_takes_too_long_is_not_waited_for(runtime: Runtime, note: Note) -> None:
    fake, over = FakeTorchServe(runtime), Event()

    def answer(request: Any) -> Answer:
        if request.path.startswith("/predictions"):
            over.wait(TIMEOUT_S)
            return OF_THE_HANDLER
        return fake(request)

    def attempt() -> None:
        with serving(answer) as server:
            values = configuration(server.url)
            try:
                with drained(values, runtime, note, settle_s=0, drain_s=0.1):
                    pass
            finally:
                over.set()

    with pytest.raises(CommandError, match="--drain-s"):
        attempt()


def test_server_that_does_not_answer_is_an_error(runtime: Runtime, note: Note) -> None:
    with (
        refusing() as url,
        pytest.raises(CommandError, match="no answer of the management API"),
        drained(configuration(url), runtime, note, settle_s=0, drain_s=TIMEOUT_S),
    ):
        pass

    assert not runtime.draining.exists()


# The workers.


def test_workers_at_work_are_waited_for(runtime: Runtime, note: Note) -> None:
    """With the handler's own locks, one worker of each version."""
    workers = [Cores(folder.parent) for folder in folders(note)]
    entered, done = Event(), Event()

    def stop() -> None:
        with empty(runtime, note, FakeTorchServe(runtime)):
            entered.set()
            done.wait(TIMEOUT_S)

    thread = Thread(target=stop)
    with workers[0].at_work(1):
        with workers[1].at_work(1):
            thread.start()
            assert not entered.wait(0.2)
        assert not entered.wait(0.2)
        assert all(worker.refusing() for worker in workers)
    assert entered.wait(TIMEOUT_S)
    done.set()
    thread.join(TIMEOUT_S)
    assert not any(worker.refusing() for worker in workers)


def test_worker_that_goes_on_is_an_error(runtime: Runtime, note: Note) -> None:
    worker = Cores(folders(note)[0].parent)

    with (
        worker.at_work(1),
        pytest.raises(CommandError, match="--drain-s"),
        empty(runtime, note, FakeTorchServe(runtime), drain_s=0.05),
    ):
        pass

    assert not worker.refusing()


def test_lock_of_a_worker_that_died_is_free(runtime: Runtime, note: Note) -> None:
    lock = folders(note)[0] / "0.at-work"
    code = (
        "import fcntl, os, signal, sys; file = open(sys.argv[1], 'w'); "
        "fcntl.flock(file, fcntl.LOCK_EX); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(lock)], check=False, timeout=TIMEOUT_S)
    assert lock.exists()

    with empty(runtime, note, FakeTorchServe(runtime)):
        pass


def test_lock_that_siblings_look_at_is_free(runtime: Runtime, note: Note) -> None:
    lock = folders(note)[0] / "0.at-work"

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with empty(runtime, note, FakeTorchServe(runtime)):
            pass


# The options.


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return parser.parse_args(arguments)


def test_default_is_no_settling_and_half_a_minute_of_draining() -> None:
    assert vars(parse()) == {"settle_s": 0.0, "drain_s": 30.0}


def test_seconds_are_read() -> None:
    assert vars(parse("--settle-s", "1.5", "--drain-s", "0")) == {"settle_s": 1.5, "drain_s": 0.0}


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
@pytest.mark.parametrize("option", ["--settle-s", "--drain-s"])
def test_seconds_that_are_none_are_refused(option: str, text: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=option):
        parse(f"{option}={text}")

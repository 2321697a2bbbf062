"""The command `predict`: what goes in, what is printed, how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Barrier, Event, Lock

import pytest

from archive_builder import ROOT
from archive_builder.command import CommandError
from densenet_client.__main__ import main
from tests.unit.local_http import Answer, Request, Server, refusing, serving

PNG = b"\x89PNG\r\n\x1a\n"
REFUSED = {"code": 415, "type": "UnsupportedImageError", "message": "PDF is not accepted."}
WAIT_S = 10

RunMain = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def service(request: Request) -> Answer:
    """Answer like the server; what an image shows is what its bytes say."""
    form = request.form()
    content = form["file"].decode()
    if content == "bad":
        return Answer(json.dumps(REFUSED).encode(), 415)
    if request.headers["Accept"] == "image/png":
        return Answer(PNG + content.encode())
    known = content != "unknown"
    answer: dict[str, object] = {
        "class_id": f"id-{content}" if known else None,
        "class_name": content if known else None,
    }
    if "top_k" in form:
        best = {"class_id": f"id-{content}", "class_name": content, "probability": 0.75}
        next_best = {"class_id": "id-ant", "class_name": "ant", "probability": 0.125}
        answer |= {"probability": 0.75, "predictions": [best, next_best]}
    return Answer(json.dumps(answer).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(service) as server:
        yield server


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, server: Server) -> RunMain:
    """Return what runs the command with the address of the stub server."""

    def run_main(*arguments: str, url: str | None = None, stdin: bytes = b"") -> int:
        url = url or f"{server.url}/predictions/m"
        monkeypatch.setattr("sys.argv", ["predict", "--url", url, *arguments])
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(stdin)))
        return main()

    return run_main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with some images the current one."""
    for name in ("owl", "fox", "bad", "unknown"):
        (tmp_path / f"{name}.png").write_text(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENSENET121_TOKEN", raising=False)
    return tmp_path


# What is printed.


def test_table(run: RunMain, capsys: Capture) -> None:
    status = run("owl.png", "unknown.png", "bad.png", "fox.png", "missing.png")

    assert capsys.readouterr() == (
        "owl.png\tid-owl\towl\nunknown.png\t-\tnot recognised\nfox.png\tid-fox\tfox\n",
        "bad.png: 415 PDF is not accepted.\nmissing.png: No such file or directory\n",
    )
    assert status == 1


def test_table_of_several_classes(run: RunMain, capsys: Capture) -> None:
    assert run("--top-k", "2", "owl.png", "unknown.png") == 0

    assert capsys.readouterr().out == (
        "owl.png\tid-owl\towl\t0.7500\n"
        "owl.png\tid-ant\tant\t0.1250\n"
        "unknown.png\t-\tnot recognised\t0.7500\n"
        "unknown.png\tid-unknown\tunknown\t0.7500\n"
        "unknown.png\tid-ant\tant\t0.1250\n"
    )


class Terminal(TextIOWrapper):
    """A stream that claims to be a terminal and keeps what is written."""

    def __init__(self) -> None:
        self.kept = BytesIO()
        super().__init__(self.kept, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True


def test_table_on_a_terminal_has_a_header_and_is_aligned(
    run: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    run("owl.png", "unknown.png")
    run("--top-k", "2", "--explain", "seen", "fox.png")

    assert terminal.kept.getvalue().decode().splitlines() == [
        "file         class_id   class_name",
        "owl.png      id-owl     owl",
        "unknown.png  -          not recognised",
        "file     class_id   class_name                      probability  overlay",
        "fox.png  id-fox     fox                             0.7500       seen/fox.png",
        "fox.png  id-ant     ant                             0.1250       seen/fox.png",
    ]


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    run: RunMain, capsys: Capture, folder: Path
) -> None:
    (folder / "a\n\tb\x1b[2J.png").write_text("owl")

    run("a\n\tb\x1b[2J.png", "\x1b.png")

    assert capsys.readouterr() == (
        "a\\n\\tb\\x1b[2J.png\tid-owl\towl\n",
        "\\x1b.png: No such file or directory\n",
    )


def test_json_lines(run: RunMain, capsys: Capture) -> None:
    assert run("--json", "owl.png", "bad.png", "unknown.png", "missing.png") == 1

    missing = {"code": None, "type": None, "message": "No such file or directory"}
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        '{"file": "owl.png", "class_id": "id-owl", "class_name": "owl"}',
        f'{{"file": "bad.png", "error": {json.dumps(REFUSED)}}}',
        '{"file": "unknown.png", "class_id": null, "class_name": null}',
        f'{{"file": "missing.png", "error": {json.dumps(missing)}}}',
    ]
    assert err == ""


def test_json_lines_of_several_classes(run: RunMain, capsys: Capture) -> None:
    run("--json", "--top-k", "2", "unknown.png")

    assert capsys.readouterr().out == (
        '{"file": "unknown.png", "class_id": null, "class_name": null, "probability": 0.75, '
        '"predictions": [{"class_id": "id-unknown", "class_name": "unknown", "probability": 0.75}, '
        '{"class_id": "id-ant", "class_name": "ant", "probability": 0.125}]}\n'
    )


def test_csv(run: RunMain, capsys: Capture, folder: Path) -> None:
    (folder / 'a,"b.png').write_text("fox")

    assert run("--csv", "owl.png", 'a,"b.png', "bad.png", "unknown.png") == 1

    out, err = capsys.readouterr()
    assert out == (
        "file,recognised,class_id,class_name\n"
        "owl.png,true,id-owl,owl\n"
        '"a,""b.png",true,id-fox,fox\n'
        "unknown.png,false,,\n"
    )
    assert err == "bad.png: 415 PDF is not accepted.\n"


def test_csv_of_several_classes(run: RunMain, capsys: Capture) -> None:
    run("--csv", "--top-k", "2", "owl.png", "unknown.png")

    assert capsys.readouterr().out == (
        "file,recognised,rank,class_id,class_name,probability\n"
        "owl.png,true,1,id-owl,owl,0.75\n"
        "owl.png,true,2,id-ant,ant,0.125\n"
        "unknown.png,false,1,id-unknown,unknown,0.75\n"
        "unknown.png,false,2,id-ant,ant,0.125\n"
    )


def test_name_that_is_no_utf8_is_printed_with_its_own_bytes(
    run: RunMain, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    name = os.fsdecode(b"\xff.png")
    (folder / name).write_text("owl")

    assert run(name) == 0

    assert capfdbinary.readouterr().out == b"\xff.png\tid-owl\towl\n"


# What goes in.


def test_folders_patterns_urls_and_stdin(run: RunMain, capsys: Capture) -> None:
    with serving(lambda _: Answer(b"cat")) as web:
        status = run("f*.png", "-", f"{web.url}/x", stdin=b"owl.png\n\nnone\nfox.png\n")

        assert capsys.readouterr() == (
            f"fox.png\tid-fox\tfox\nowl.png\tid-owl\towl\n{web.url}/x\tid-cat\tcat\n",
            "none: No such file or directory\n",
        )
    assert status == 1


def test_folder_and_what_leads_to_nothing(run: RunMain, folder: Path, capsys: Capture) -> None:
    (folder / "empty").mkdir()

    assert run("empty", "z*", ".") == 1

    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        "fox.png",
        "owl.png",
        "unknown.png",
    ]
    assert err == (
        "empty: no image in this folder\nz*: nothing matches\nbad.png: 415 PDF is not accepted.\n"
    )


def test_options_reach_the_server(run: RunMain, server: Server) -> None:
    run("--top-k", "2", "--min-probability", "0.5", "--token", "s3cret", "owl.png")

    (request,) = server.requests
    assert request.form() == {"top_k": b"2", "min_probability": b"0.5", "file": b"owl"}
    assert request.headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("arguments", "token"),
    [
        pytest.param([], "Bearer of-environment", id="environment"),
        pytest.param(["--token", "of-option"], "Bearer of-option", id="option first"),
    ],
)
def test_token_of_the_environment(
    run: RunMain,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    token: str,
) -> None:
    monkeypatch.setenv("DENSENET121_TOKEN", "of-environment\n")

    run(*arguments, "owl.png")

    assert server.requests[0].headers["Authorization"] == token


def test_default_address_is_the_configurations(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "own.properties"
    path.write_text(f"inference_address={server.url}\nload_models=flowers.mar\n")
    monkeypatch.setenv("TS_CONFIG_FILE", str(path))
    monkeypatch.setattr("sys.argv", ["predict", "owl.png"])

    assert main() == 0

    assert server.requests[0].path == "/predictions/flowers"


def test_too_large_a_file_is_not_sent(run: RunMain, server: Server, capsys: Capture) -> None:
    assert run("--max-bytes", "2", "owl.png") == 1

    assert capsys.readouterr().err == "owl.png: more than 2 bytes are not sent\n"
    assert server.requests == []


def test_timeout(run: RunMain, capsys: Capture) -> None:
    over = Event()

    def never(request: Request) -> Answer:
        over.wait(WAIT_S)
        return service(request)

    with serving(never) as server:
        assert run("--timeout", "0.2", "owl.png", url=server.url) == 1
    over.set()

    assert capsys.readouterr().err == f"owl.png: no answer from {server.url} within 0.2 s\n"


# Several at a time.


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_as_many_requests_as_allowed_run_at_a_time(
    run: RunMain, folder: Path, concurrency: int
) -> None:
    for number in range(24):
        (folder / f"{number}.jpg").write_text(str(number))
    together = Barrier(concurrency)
    lock = Lock()
    running = []
    most = []

    def answer(request: Request) -> Answer:
        with lock:
            running.append(request)
            most.append(len(running))
        together.wait(WAIT_S)
        with lock:
            running.remove(request)
        return service(request)

    with serving(answer) as server:
        assert run("--concurrency", str(concurrency), "*.jpg", url=server.url) == 0

    assert max(most) == concurrency


def test_lines_come_in_order_and_as_soon_as_that_permits(
    run: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_printed, last_answered = Event(), Event()

    class Watched(TextIOWrapper):
        def flush(self) -> None:
            super().flush()
            if b"owl" in out.getvalue():
                first_printed.set()

    def answer(request: Request) -> Answer:
        content = request.form()["file"]
        if content == b"owl":
            assert last_answered.wait(WAIT_S)
        elif content == b"fox":
            assert first_printed.wait(WAIT_S)
        else:
            last_answered.set()
        return service(request)

    out = BytesIO()
    monkeypatch.setattr("sys.stdout", Watched(out))
    with serving(answer) as server:
        assert run("owl.png", "fox.png", "unknown.png", url=server.url) == 0

    assert out.getvalue() == (
        b"owl.png\tid-owl\towl\nfox.png\tid-fox\tfox\nunknown.png\t-\tnot recognised\n"
    )


def test_progress_on_a_terminal_makes_room_for_the_answers(
    run: RunMain, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", terminal)

    run("owl.png", "fox.png")

    shown = terminal.kept.getvalue().decode()
    assert "0/2" in shown
    assert [line.rpartition("\r")[2] for line in shown.split("\n")] == [
        "file     class_id   class_name",
        "owl.png  id-owl     owl",
        "fox.png  id-fox     fox",
        "",
    ]


# Explanations.


def test_overlay_is_written_beside_the_answer(
    run: RunMain, server: Server, folder: Path, capsys: Capture
) -> None:
    assert run("--explain", "deep/seen", "--top-k", "2", "--json", "owl.png") == 0

    assert (folder / "deep/seen/owl.png").read_bytes() == PNG + b"owl"
    assert json.loads(capsys.readouterr().out)["overlay"] == "deep/seen/owl.png"
    assert [request.path for request in server.requests] == ["/predictions/m", "/explanations/m"]
    assert server.requests[1].form() == {"top_k": b"2", "file": b"owl"}


def test_overlay_is_a_column(run: RunMain, capsys: Capture) -> None:
    run("--explain", "seen", "owl.png")
    run("--explain", "seen", "--csv", "fox.png")

    assert capsys.readouterr().out == (
        "owl.png\tid-owl\towl\tseen/owl.png\n"
        "file,recognised,class_id,class_name,overlay\n"
        "fox.png,true,id-fox,fox,seen/fox.png\n"
    )


def test_image_of_the_web_is_fetched_once_to_be_explained(run: RunMain, folder: Path) -> None:
    with serving(lambda _: Answer(b"cat")) as web:
        run("--explain", "seen", f"{web.url}/big%20cat.jpg?size=1")

    assert len(web.requests) == 1
    assert (folder / "seen/big_cat.png").read_bytes() == PNG + b"cat"


def test_overlays_of_equal_names_are_numbered_in_order(run: RunMain, folder: Path) -> None:
    for name, content in {
        "a/x.png": "1",
        "b/x.jpg": "2",
        "c/x-2.gif": "3",
        "d/x.webp": "4",
    }.items():
        path = folder / name
        path.parent.mkdir()
        path.write_text(content)

    run("--explain", "seen", "a", "b", "c", "d")

    shown = {path.name: path.read_bytes()[len(PNG) :] for path in (folder / "seen").iterdir()}
    assert shown == {"x.png": b"1", "x-2.png": b"2", "x-2-2.png": b"3", "x-3.png": b"4"}


def test_overlay_never_replaces_a_file(run: RunMain, folder: Path, capsys: Capture) -> None:
    assert run("--explain", ".", "owl.png") == 0

    assert (folder / "owl.png").read_text() == "owl"
    assert capsys.readouterr().out == "owl.png\tid-owl\towl\towl-2.png\n"


def test_overlay_never_replaces_a_file_that_came_meanwhile(
    run: RunMain, folder: Path, capsys: Capture
) -> None:
    theirs = folder / "seen" / "owl.png"

    def answer(request: Request) -> Answer:
        theirs.write_text("theirs")
        return service(request)

    with serving(answer) as server:
        assert run("--explain", "seen", "owl.png", url=f"{server.url}/predictions/m") == 1

    assert theirs.read_text() == "theirs"
    assert capsys.readouterr().err == "owl.png: seen/owl.png: File exists\n"


def test_overlay_that_cannot_be_written_is_an_error(
    run: RunMain, folder: Path, capsys: Capture
) -> None:
    name = "x" * 255
    (folder / name).write_text("owl")

    assert run("--explain", "seen", name) == 1

    assert capsys.readouterr().err == f"{name}: seen/{name}.png: File name too long\n"


# How it ends.


@pytest.mark.parametrize(
    ("names", "status"),
    [
        pytest.param(["owl.png"], 0, id="one answer"),
        pytest.param(["owl.png", "fox.png"], 0, id="all answers"),
        pytest.param(["unknown.png"], 0, id="not recognised"),
        pytest.param(["bad.png", "fox.png"], 1, id="one failure"),
        pytest.param(["bad.png", "missing.png"], 1, id="all failures"),
    ],
)
def test_status_tells_whether_every_image_got_an_answer(
    run: RunMain, names: list[str], status: int
) -> None:
    assert run(*names) == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "arguments are required: NAME", id="no name"),
        pytest.param(["--top-k", "0", "a"], "0 is not a whole number from 1 on", id="top-k"),
        pytest.param(["--top-k", "x", "a"], "x is not a whole number from 1 on", id="no number"),
        pytest.param(["--min-probability", "2", "a"], "2 is not a number from 0 to 1", id="2"),
        pytest.param(["--min-probability", "nan", "a"], "nan is not a number from", id="nan"),
        pytest.param(["--concurrency", "0", "a"], "0 is not a whole number", id="concurrency"),
        pytest.param(["--timeout", "0", "a"], "0 is not a time above 0 seconds", id="timeout"),
        pytest.param(["--timeout", "inf", "a"], "inf is not a time above", id="forever"),
        pytest.param(["--json", "--csv", "a"], "not allowed with argument", id="two forms"),
        pytest.param(["--url", "nowhere", "a"], "the URL must be like http", id="URL"),
        pytest.param(["--token", "a b", "a"], "the token must be", id="token"),
        pytest.param(
            ["--url", "http://127.0.0.1/v1/x", "--explain", "d", "a"],
            "explanations need a URL like",
            id="explain",
        ),
    ],
)
def test_wrong_usage_has_status_2(
    run: RunMain, capsys: Capture, arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_server_ends_the_command(run: RunMain, capsys: Capture) -> None:
    with refusing() as url, pytest.raises(CommandError) as caught:
        run("missing.png", "owl.png", "fox.png", url=url)

    assert str(caught.value) == f"no server at {url}; start one with ./scripts/serve"
    assert capsys.readouterr() == ("", "missing.png: No such file or directory\n")


def started(url: str, *names: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """Start the command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "densenet_client", "--url", url, *names],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_interrupt_ends_it_at_once_and_quietly(number: signal.Signals) -> None:
    asked, over = Event(), Event()

    def never(request: Request) -> Answer:
        asked.set()
        over.wait(2 * WAIT_S)
        return service(request)

    with serving(never) as server, started(server.url, "owl.png", "fox.png") as process:
        assert asked.wait(WAIT_S)
        process.send_signal(number)
        output = process.communicate(timeout=WAIT_S)
        over.set()

    assert output == (b"", b"")
    assert process.returncode == 130


def test_closed_pipe_ends_it_quietly(server: Server) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(server.url, "owl.png", "fox.png", stdout=writing) as process:
        os.close(writing)
        _, errors = process.communicate(timeout=WAIT_S)

    assert errors == b""
    assert process.returncode == 141

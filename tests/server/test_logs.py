"""Every line of every log of a real server is one JSON object; each request has its own."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from archive_builder import ROOT, SAMPLES
from tests.server.harness import BATCH_LINE, Server

TIMEOUT_S = 60
MAZE = (SAMPLES / "maze.png").read_bytes()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def records(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; any that is no JSON object fails the test."""
    lines = path.read_bytes().decode().split("\n")
    assert lines.pop() == "", "the last line is not ended"
    found = [json.loads(line) for line in lines]
    assert all(isinstance(each, dict) for each in found)
    return found


def request_line(server: Server, request_id: str) -> dict[str, Any]:
    """Wait for the line of a request and return it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for each in records(server.runtime.logs / "requests.log"):
            if each["request_id"] == request_id:
                return each
        time.sleep(0.1)
    pytest.fail(f"request {request_id} has no line")


@pytest.fixture(scope="module")
def answers(demo_server: Server) -> dict[str, requests.Response]:
    """Return the answers to one request of each kind."""
    url = demo_server.url
    named = {"X-Request-ID": 'proxy-7 "forged": 1'}
    return {
        "an image": requests.post(url, data=MAZE, headers=named, timeout=TIMEOUT_S),
        "no image": requests.post(url, data=b"hello", timeout=TIMEOUT_S),
        "a truncated one": requests.post(url, data=MAZE[:2000], timeout=TIMEOUT_S),
        "two": requests.post(url, files={"a": MAZE, "b": b"hello"}, timeout=TIMEOUT_S),
        "the page": requests.get(url, headers={"Accept": "text/html"}, timeout=TIMEOUT_S),
    }


@pytest.mark.parametrize(
    ("kind", "status", "images", "errors"),
    [
        ("an image", 200, 1, []),
        ("no image", 415, 1, ["UnsupportedImageError"]),
        ("a truncated one", 422, 1, ["UndecodableImageError"]),
        ("two", 200, 2, ["UnsupportedImageError"]),
        ("the page", 200, 0, []),
    ],
)
def test_each_request_has_a_line_under_the_id_that_the_client_sees(
    kind: str,
    status: int,
    images: int,
    errors: list[str],
    demo_server: Server,
    answers: dict[str, requests.Response],
) -> None:
    response = answers[kind]
    assert response.status_code == status
    line = request_line(demo_server, response.headers["x-request-id"])
    assert (line["status"], line["images"], line["errors"]) == (status, images, errors)
    assert line["level"] == "INFO"
    assert (line["decode_s"] + line["inference_s"]) <= line["total_s"]


def test_the_id_of_a_proxy_is_told_as_well(
    demo_server: Server, answers: dict[str, requests.Response]
) -> None:
    line = request_line(demo_server, answers["an image"].headers["x-request-id"])
    assert line["client_request_id"] == "proxy-7__forged_:_1"


@pytest.fixture
def unreadable(demo_server: Server) -> bytes:
    """Make TorchServe write a stack trace that holds what a client sent."""
    content = b'a=%zz"\\\x00\x85\xe2\x80\xa8\xff' + b"content" * 4000
    response = requests.post(demo_server.url, data=content, headers=FORM, timeout=TIMEOUT_S)
    assert response.status_code == 500
    return content


@pytest.mark.usefixtures("answers")
def test_every_line_of_every_file_is_one_object(demo_server: Server, unreadable: bytes) -> None:
    demo_server.count_batches()  # at rest
    logs = {path.name: records(path) for path in demo_server.runtime.logs.glob("*.log")}
    assert {"requests.log", "model_log.log", "ts_log.log", "access_log.log"} <= set(logs)
    for name, lines in logs.items():
        wanted = {"time", "level"} | (
            {"event"} if name == "requests.log" else {"logger", "message"}
        )
        assert all(wanted <= set(line) for line in lines), name
    assert not any("event" in line["message"] for line in logs["model_log.log"])
    traces = [line["exception"] for line in logs["ts_log.log"] if "exception" in line]
    assert any("\tat " in trace or "content" in trace for trace in traces)
    assert max(map(len, traces)) < len(unreadable) / 2


def test_the_workers_write_nothing_else_for_a_request(demo_server: Server) -> None:
    log = demo_server.runtime.logs / "model_log.log"
    demo_server.count_batches()
    before = len(records(log))
    for content in (MAZE, b"hello"):
        requests.post(demo_server.url, data=content, timeout=TIMEOUT_S)
    demo_server.count_batches()
    new = [line["message"] for line in records(log)[before:]]
    assert len(new) == 2
    assert all(message.startswith(BATCH_LINE) for message in new)


@pytest.fixture
def console(server: Server) -> Iterator[Path]:
    """Run `serve --foreground` until it has shown its answer; return what it wrote beside it."""
    path = server.folder / "console"
    command = [str(ROOT / "scripts" / "serve"), "--foreground"]
    with (
        path.open("wb") as file,
        subprocess.Popen(
            command, env=server.variables(), stdout=subprocess.PIPE, stderr=file
        ) as serve,
    ):
        try:
            assert serve.stdout is not None
            assert serve.stdout.readline().startswith(b"curl")
            yield path
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(TIMEOUT_S) == 0
        finally:
            serve.kill()


def test_the_console_of_the_foreground_has_the_same_lines(server: Server, console: Path) -> None:
    answer = requests.post(server.url, data=b"hello", timeout=TIMEOUT_S)
    request_line(server, answer.headers["x-request-id"])
    server.count_batches()
    lines = [line for line in console.read_text().split("\n") if line.startswith("{")]
    shown = [json.loads(line) for line in lines]
    for name in ("requests.log", "model_log.log", "ts_log.log"):
        assert all(each in shown for each in records(server.runtime.logs / name)), name

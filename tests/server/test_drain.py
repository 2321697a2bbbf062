"""Stopping and scaling a server at work: what it was sent before is answered."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
import requests

from archive_builder import ROOT, SAMPLES
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for

UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
CLIENTS = 6
ANSWERED, REFUSED, NO_CONNECTION = "answered", "refused", "no connection"
# What TorchServe says for a worker that it ends while it refuses a request.
KILLED = "Worker died."
# Or forgets it, in a rare race.
FORGOTTEN = "no answer"
# Longer than anything is worked on here, and shorter than a test waits for its clients.
_ANSWER_S = 20.0


@dataclass
class Load:
    """Clients that send one request after the other, each with a connection of its own."""

    url: str
    # Nothing is sent while this is there, as by a proxy in front.
    pause: Path | None = None
    # When each request was begun and ended, as time.monotonic() has it, and how.
    results: list[tuple[float, float, str]] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def send(self) -> None:
        while not self.over.is_set():
            if self.pause and self.pause.exists():
                time.sleep(0.01)
                continue
            began = time.monotonic()
            outcome = self._outcome()
            self.results.append((began, time.monotonic(), outcome))
            if outcome != ANSWERED:
                time.sleep(0.01)  # leave the machine to those at work

    def _outcome(self) -> str:
        try:
            response = requests.post(self.url, data=UMBRELLA, timeout=_ANSWER_S)
        except requests.ReadTimeout:
            return FORGOTTEN
        except requests.ConnectionError:
            return NO_CONNECTION
        document = response.json()
        if response.status_code == 503 and document["type"] == "DrainingError":
            return REFUSED
        if document.get("class_name") == "umbrella":
            return ANSWERED
        return str(document.get("message", document))

    def outcomes(self, since: float = 0.0, until: float = float("inf")) -> set[str]:
        """Return how requests ended that were begun in this time."""
        return {outcome for began, _, outcome in self.results if since <= began < until}

    def at_work(self, moment: float) -> int:
        """Count the requests that were on their way at this moment."""
        return sum(began < moment < ended for began, ended, _ in self.results)


@contextmanager
def load(server: Server, pause: Path | None = None) -> Iterator[Load]:
    found = Load(server.url, pause)
    threads = [Thread(target=found.send) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(found.results) > CLIENTS)
        yield found
    finally:
        found.over.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


@contextmanager
def stuck(server: Server) -> Iterator[None]:
    """Hold the workers at a request that they do not finish."""
    workers = server.workers()
    for worker in workers:
        worker.suspend()
    lost = Load(server.url)
    lost.over.set()
    thread = Thread(target=lambda: lost.results.append((0.0, 0.0, lost._outcome())))
    thread.start()
    try:
        yield
    finally:
        for worker in workers:
            try:
                worker.resume()
            except psutil.NoSuchProcess:
                continue
        thread.join(TIMEOUT_S)


def test_stop_answers_what_was_sent_before(server: Server) -> None:
    server.serve()
    note = server.note()
    with load(server) as clients:
        asked = time.monotonic()
        result = server.script("stop")
        assert result.returncode == 0, result.stderr
        wait_for(lambda: clients.results[-1][2] == NO_CONNECTION)
    assert result.stderr == "Stopped.\n"
    server.assert_gone(note)
    assert clients.at_work(asked) > 0
    assert clients.outcomes(until=asked) == {ANSWERED}
    assert clients.outcomes(since=asked) >= {REFUSED, NO_CONNECTION}
    assert clients.outcomes() <= {ANSWERED, REFUSED, NO_CONNECTION, KILLED}


def test_scaling_down_behind_a_proxy_loses_nothing(server: Server) -> None:
    server.serve()
    with load(server, pause=server.runtime.draining) as clients:
        more = server.script("scale", "3")
        assert more.returncode == 0, more.stderr
        assert "3 workers" in more.stderr
        asked = time.monotonic()
        fewer = server.script("scale", "1", "--settle-s", "1")
        done = time.monotonic()
        assert fewer.returncode == 0, fewer.stderr
        assert "1 workers" in fewer.stderr
        wait_for(lambda: sum(began > done for began, _, _ in clients.results) > CLIENTS)
    assert clients.at_work(asked) > 0
    assert clients.outcomes() == {ANSWERED}
    assert server.script("ready").returncode == 0
    assert len(server.workers()) == 1


def test_scaling_down_alone_answers_what_was_sent_before(server: Server) -> None:
    server.serve()
    with load(server) as clients:
        asked = time.monotonic()
        fewer = server.script("scale", "1")
        done = time.monotonic()
        assert fewer.returncode == 0, fewer.stderr
        wait_for(lambda: sum(began > done for began, _, _ in clients.results) > CLIENTS)
    assert clients.at_work(asked) > 0
    assert clients.outcomes(until=asked) == {ANSWERED}
    assert REFUSED in clients.outcomes(since=asked)
    assert clients.outcomes() <= {ANSWERED, REFUSED, KILLED, FORGOTTEN}
    assert clients.outcomes(since=done) == {ANSWERED}


def test_sigterm_to_the_foreground_answers_what_was_sent_before(server: Server) -> None:
    with server.foreground() as serve:
        note = server.note()
        with load(server) as clients:
            asked = time.monotonic()
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(TIMEOUT_S) == 0
            wait_for(lambda: clients.results[-1][2] == NO_CONNECTION)
    server.assert_gone(note)
    assert clients.at_work(asked) > 0
    assert clients.outcomes(until=asked) == {ANSWERED}


def test_a_second_sigterm_waits_for_nothing(server: Server) -> None:
    with server.foreground() as serve, stuck(server):
        note = server.note()
        serve.send_signal(signal.SIGTERM)
        wait_for(server.runtime.draining.exists)
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(TIMEOUT_S) == 130
        server.assert_gone(note)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(
            ["--drain-s", "1"],
            "Stopping all the same: requests are still in work after the time given with "
            "--drain-s\nStopped.\n",
            id="after the time given",
        ),
        pytest.param(["--now"], "Stopped.\n", id="now"),
    ],
)
def test_stop_ends_a_server_that_is_stuck(server: Server, options: list[str], words: str) -> None:
    server.serve()
    note = server.note()
    with stuck(server):
        result = server.script("stop", *options)
        assert (result.returncode, result.stderr) == (0, words)
        server.assert_gone(note)


def test_a_server_that_is_to_settle_is_not_ready_and_answers(server: Server) -> None:
    server.serve()
    with subprocess.Popen(
        [str(ROOT / "scripts" / "stop"), "--settle-s", "5"],
        env=server.variables(),
        stderr=subprocess.DEVNULL,
    ) as stop:
        wait_for(server.runtime.draining.exists)
        answer = requests.post(server.url, data=UMBRELLA, timeout=TIMEOUT_S)
        assert stop.poll() is None
        assert answer.status_code == 200
        assert server.script("ready").stdout.startswith("draining: ")
        assert stop.wait(TIMEOUT_S) == 0

"""Whether a server says that it is ready when it is, and only then."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from archive_builder import ROOT
from server_control.readiness import readiness
from server_control.runtime import java_process
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for


def state(server: Server) -> str:
    return readiness(server.configuration, server.runtime).state


@pytest.fixture(scope="module")
def running(demo_server: Server) -> Iterator[Server]:
    """Return a server that is ready, and wait until it is so again."""
    yield demo_server
    wait_for(lambda: state(demo_server) == "ready")


def test_server_is_starting_until_every_worker_is_ready(server: Server) -> None:
    states: list[str] = []
    with subprocess.Popen(
        [str(ROOT / "scripts" / "serve")],
        env=server.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as serve:
        wait_for(lambda: server.runtime.effective.exists() or serve.poll() is not None)
        while serve.poll() is None and (not states or states[-1] != "ready"):
            states.append(state(server))
            if states[-1] == "ready":
                # Every one of them, and not only the first.
                assert "2 of 2 workers" in server.script("status").stdout
        assert serve.wait(TIMEOUT_S) == 0
    assert set(states) == {"starting", "ready"}
    assert server.script("ready").returncode == 0


def test_server_that_was_never_started_is_not_ready(server: Server) -> None:
    for options in ([], ["--alive"]):
        result = server.script("ready", *options)
        assert result.returncode == 1
        assert result.stdout.startswith("down: ")


def test_draining_server_is_alive_and_not_ready(running: Server) -> None:
    with ExitStack() as stack:
        running.runtime.draining.touch()
        stack.callback(running.runtime.draining.unlink)
        result = running.script("ready")
        assert result.returncode == 1
        assert result.stdout.startswith("draining: ")
        assert running.script("ready", "--alive").returncode == 0
    assert running.script("ready").returncode == 0


def test_server_without_workers_is_alive_and_not_ready_until_one_is_back(running: Server) -> None:
    killed = running.workers()
    for worker in killed:
        worker.kill()
    psutil.wait_procs(killed, TIMEOUT_S)
    wait_for(lambda: state(running) != "ready")
    result = running.script("ready")
    if result.returncode == 0:  # they were back before the script had started
        assert {each.pid for each in running.workers()}.isdisjoint(each.pid for each in killed)
    else:
        assert result.stdout.startswith("down: 0 of 2 workers")
    assert running.script("ready", "--alive").returncode == 0
    wait_for(lambda: running.script("ready").returncode == 0)
    assert len(running.workers()) >= 1


def test_server_that_does_not_answer_is_not_alive(running: Server) -> None:
    java = java_process(running.note())
    assert java is not None
    with ExitStack() as stack:
        java.suspend()
        stack.callback(java.resume)
        alive = running.script("ready", "--alive")
        assert alive.returncode == 1
        assert alive.stdout.startswith("dead: ")
        ready = running.script("ready")
        assert ready.returncode == 1
        assert ready.stdout.startswith("down: ")
    assert running.script("ready", "--alive").returncode == 0

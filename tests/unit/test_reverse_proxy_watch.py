"""A host that is looked at again and again; logs that begin anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread

import pytest

from reverse_proxy.hosts import LocalHost, Observation, RemoteHost, Target
from reverse_proxy.limits import Limits
from reverse_proxy.logs import rotate
from reverse_proxy.watch import Watch
from server_control.readiness import DOWN, DRAINING, IS_READY, STARTING
from server_control.runtime import Runtime
from tests.unit.fake_torchserve import FakeTorchServe, configuration, write_keys
from tests.unit.local_http import Answer, Request, refusing, serving

READY = Observation(IS_READY, "", Target("http://one"))
GONE = Observation(DOWN, "no answer")


@dataclass(frozen=True)
class Host:
    """A host that is seen as its list says, one after the other."""

    seen: Iterator[Observation]
    name: str = "one"

    def observe(self) -> Observation:
        return next(self.seen)


def watched(*seen: Observation, down_after_polls: int = 2) -> list[Observation]:
    """Return what counts after each look."""
    # The first look is its own; the thread sleeps, and the other looks are ours.
    limits = Limits(poll_s=1000.0, down_after_polls=down_after_polls)
    changed: SimpleQueue[None] = SimpleQueue()
    watch = Watch(Host(iter(seen)), limits, changed)  # type: ignore[arg-type]
    try:
        assert not changed.empty()
        found = [watch.latest]
        for _ in seen[1:]:
            watch.look()
            found.append(watch.latest)
        return found
    finally:
        watch.stop()


def test_a_host_is_down_only_when_it_was_so_twice_running() -> None:
    states = [each.state for each in watched(READY, GONE, READY, GONE, GONE, READY)]
    assert states == [IS_READY, IS_READY, IS_READY, IS_READY, DOWN, IS_READY]


def test_what_is_no_longer_true_of_a_host_does_not_outlive_a_look() -> None:
    limits = Limits(poll_s=1000.0, down_after_polls=3)
    watch = Watch(Host(iter([READY, GONE])), limits, SimpleQueue())  # type: ignore[arg-type]
    watch.look(at_once=True)
    watch.stop()
    assert (watch.latest.state, watch.latest.target) == (DOWN, READY.target)


def test_every_other_change_counts_at_once() -> None:
    draining = Observation(DRAINING, "", Target("http://one"))
    renewed = Observation(IS_READY, "", Target("http://one", "token"))
    assert watched(READY, draining, renewed) == [READY, draining, renewed]


def test_where_a_host_was_is_remembered_while_it_is_down() -> None:
    assert watched(READY, GONE, down_after_polls=1)[-1].target == READY.target


class SlowOnce:
    """A host whose second look begins before its third and is answered after it."""

    name = "one"

    def __init__(self) -> None:
        self.looks = 0
        self.begun, self.released = Event(), Event()

    def observe(self) -> Observation:
        self.looks += 1
        number = self.looks
        if number == 2:
            self.begun.set()
            assert self.released.wait(10)
        return Observation(IS_READY, "", Target("http://one", str(number)))


def test_an_older_look_never_replaces_a_newer_one() -> None:
    host = SlowOnce()
    watch = Watch(host, Limits(poll_s=1000.0), SimpleQueue())  # type: ignore[arg-type]
    older, newer = Thread(target=watch.look), Thread(target=watch.look)
    try:
        older.start()
        assert host.begun.wait(10)
        newer.start()
        newer.join(0.2)  # it must wait for the older one
        host.released.set()
    finally:
        for thread in (older, newer):
            thread.join(10)
        watch.stop()
    assert watch.latest.target == Target("http://one", "3")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(b"{}"), IS_READY),
        (Answer(b'{"state": "draining"}', 503), DRAINING),
        (Answer(b'{"state": "down"}', 503), DOWN),
        (Answer(b"[]", 503), DOWN),
        (Answer(b"<html>", 404), DOWN),
    ],
)
def test_another_machines_proxy_says_its_state(answer: Answer, state: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    def respond(request: Request) -> Answer:
        return answer if request.path == "/ready/local" else Answer(status=500)

    with serving(respond) as server:
        seen = RemoteHost("two", server.url, tmp_path / "token").observe()
    assert seen.state == state
    assert seen.target == Target(server.url, "abc", "", "localhost")


@pytest.mark.parametrize("token", ["", "a b", 'a"b', "ä"])
def test_a_token_that_is_none_is_never_written_into_a_configuration(
    token: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token)
    with refusing() as url:
        seen = RemoteHost("two", url, tmp_path / "token").observe()
    assert (seen.state, seen.target) == (DOWN, None)
    assert "token of host two" in seen.reason


def test_machines_that_cannot_be_reached_are_down(tmp_path: Path) -> None:
    with refusing() as url:
        assert RemoteHost("two", url).observe().state == DOWN
        missing = RemoteHost("two", url.replace("http:", "https:"), None, tmp_path / "absent.pem")
        assert missing.observe().state == DOWN


def test_a_server_that_does_not_run_is_down(tmp_path: Path) -> None:
    seen = LocalHost("one", tmp_path / "config.properties").observe()
    assert (seen.state, seen.target) == (DOWN, None)


@pytest.mark.parametrize(
    ("minutes", "left_s", "state", "due"),
    [
        ("60", 1801, IS_READY, False),
        ("60", 1790, IS_READY, True),
        ("20160", 604_900, IS_READY, False),
        ("20160", 604_700, IS_READY, True),
        ("60", 10, STARTING, True),
    ],
)
def test_a_token_is_renewed_when_half_of_its_life_is_over(
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    minutes: str,
    left_s: int,
    state: str,
    *,
    due: bool,
) -> None:
    now = datetime.now(UTC)
    write_keys(runtime, (now + timedelta(seconds=left_s)).isoformat())
    runtime.started.touch()
    with serving(FakeTorchServe(runtime)) as server:
        values = {"disable_token_authorization": "false", "token_expiration_min": minutes}
        loaded = (configuration(server.url, **values), runtime)
        monkeypatch.setattr(LocalHost, "_loaded", lambda _: loaded)
        seen = LocalHost("one", Path("c")).observe()
    assert seen.state == state
    assert seen.renewal is not None
    assert (seen.renewal < now) is due


def test_large_logs_are_moved_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    for number in range(5):
        log.write_text(f"{number}" * 100)
        assert rotate(tmp_path, 50, 2)
        assert not log.exists()
    assert (tmp_path / "access.log.1").read_text()[0] == "4"
    assert (tmp_path / "access.log.2").read_text()[0] == "3"
    assert len(list(tmp_path.iterdir())) == 2


def test_small_logs_stay(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("1")
    assert not rotate(tmp_path, 50, 2)
    assert (tmp_path / "access.log").exists()


def test_logs_need_not_be_kept(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("1" * 100)
    assert rotate(tmp_path, 50, 0)
    assert list(tmp_path.iterdir()) == []

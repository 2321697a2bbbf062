"""Two machines, each with a proxy that names its own host and the other's proxy."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proxy.fake_torchserve import FakeTorchServe, clear, fake_torchserve
from tests.proxy.harness import Proxy, remote, wait_for
from tests.unit.local_http import Answer, Request

FORWARDED = "X-Forwarded-By-Proxy"


@dataclass
class Machine:
    """`leave` ends its host; `answer` is what the host says."""

    host: FakeTorchServe
    proxy: Proxy
    leave: Callable[[], None]
    answer: Answer


@pytest.fixture
def machines(make_proxy: Callable[..., Proxy], tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    with ExitStack() as stack:
        first, second = (_machine(stack, make_proxy(), tmp_path, name) for name in ("one", "two"))
        for machine, other in ((first, second), (second, first)):
            (machine.proxy.folder / "token").write_text(other.proxy.token)
            lines = ('token_file = "token"', 'ca_file = "server.pem"')
            machine.proxy.write([machine.host.table, remote("other", other.proxy.url, *lines)])
            machine.proxy.start()
        for machine in (first, second):
            machine.proxy.wait_until_told("other", "ready")
        yield first, second


def _machine(stack: ExitStack, proxy: Proxy, folder: Path, name: str) -> Machine:
    stack.callback(clear, folder, name)
    own = stack.enter_context(ExitStack())

    def respond(_request: Request) -> Answer:
        return machine.answer

    host = own.enter_context(fake_torchserve(folder, name, respond, dies=True))
    machine = Machine(host, proxy, own.close, Answer(name.encode()))
    return machine


def test_when_both_hosts_are_gone_neither_is_ready(machines: tuple[Machine, Machine]) -> None:
    first, second = machines
    first.leave()
    second.leave()
    for machine in machines:
        machine.proxy.wait_until("down")
        answer = machine.proxy.post(data=b"picture")
        assert (answer.status_code, answer.json()["type"]) == (503, "NoHostError")


def test_the_other_answers_instead_and_sends_nothing_back(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    first.leave()
    first.proxy.wait_until_told("one", "down")
    second.proxy.wait_until_told("other", "down")
    for path in ("/ready", "/ready/local"):
        assert second.proxy.get(path).status_code == 200
    assert first.proxy.get("/ready").status_code == 200
    assert first.proxy.get("/ready/local").json() == {"state": "down"}
    assert first.proxy.post(data=b"picture").content == b"two"
    assert first.proxy.get("/").content == b"two"
    (post, page) = second.host.predictions[-2:]
    assert FORWARDED not in post.headers
    assert FORWARDED not in page.headers


def test_what_fails_on_both_does_not_circle(machines: tuple[Machine, Machine]) -> None:
    first, second = machines
    for machine in machines:
        machine.answer = Answer(b"broken", 500)
    answer = first.proxy.post(data=b"picture")
    assert (answer.status_code, answer.json()["type"]) == (500, "WorkerEndedError")
    # Three tries here, one or two of them over there, which makes two of each: it has one host.
    assert len(first.host.predictions) in {1, 2}
    assert len(second.host.predictions) in {2, 4}
    wait_for(lambda: bool(first.proxy.access_log()), "the line of the log")
    asked = [line for line in first.proxy.access_log() if line["method"] == "POST"]
    assert len(asked) == 1


def test_who_forges_the_header_gets_this_machines_hosts_only(
    machines: tuple[Machine, Machine],
) -> None:
    first, second = machines
    headers = first.proxy.authorization | {FORWARDED: "yes"}
    for _ in range(4):
        assert first.proxy.post(data=b"picture", headers=headers).content == b"one"
    assert second.host.predictions == []
    first.leave()
    first.proxy.wait_until_told("one", "down")
    answer = first.proxy.post(data=b"picture", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "NoHostError")

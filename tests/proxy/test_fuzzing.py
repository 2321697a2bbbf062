"""A slice of what `./scripts/fuzz --url` sends, through the proxy: nothing gets a 500 or above."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from reliability.fuzzing.http_run import attack
from reliability.fuzzing.worker import Tally
from tests.proxy.harness import Proxy, running
from tests.server.harness import Server

SEED = 2027
CASES = 300
# One client here stands for many.
LIMITS = "requests_per_s = 100000\nburst_requests = 100000"


class OpenProxy(Proxy):
    """One that speaks HTTP and asks for no token, on this machine's loopback."""

    def write(self, hosts: Sequence[str], *, limits: str = "") -> None:
        tables = "".join(f"[[hosts]]\n{host}\n" for host in hosts)
        self.path.write_text(
            f'listen = ["127.0.0.1:{self.port}"]\n{tables}[limits]\npoll_s = 0.1\n{limits}\n'
        )

    def add_client(self, name: str) -> str:
        return name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def tally(
    demo_server: Server, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tally]:
    host = f'name = "one"\nconfiguration = "{demo_server.path}"'
    proxy = OpenProxy(tmp_path_factory.mktemp("proxy"), certificates, [host], limits=LIMITS)
    before = demo_server.workers()
    with running(proxy):
        yield attack(
            f"{proxy.url}/predictions/densenet121", SEED, range(CASES), None, lambda _: None
        )
    assert demo_server.workers() == before


def test_nothing_is_found(tally: Tally) -> None:
    assert [(each.number, each.wrong) for each in tally.findings] == []
    assert tally.cases == CASES


def test_no_server_is_at_fault_for_what_a_client_sends(tally: Tally) -> None:
    statuses = {status for counts in tally.statuses.values() for status in counts}
    assert {each for each in statuses if each.startswith("5") or each == "hung"} == set()
    assert statuses >= {"200", "400", "415", "422", "400 TorchServe"}

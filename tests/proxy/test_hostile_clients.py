"""Clients that are slow, silent, gone or too many, before a proxy with short limits.

Another client of good will keeps asking meanwhile, over a new connection each time, and gets every
answer. The host behind is a fake; the same attacks on a real one are measured by
`tests/hostile_figures.py` (docs/RELIABILITY.md).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from tests import attacks
from tests.attacks import Target
from tests.bystander import Bystander, bystander
from tests.proxy.harness import TIMEOUT_S, Proxy, remote, running, wait_for
from tests.proxy.http2 import Header, Http2, rapid_resets
from tests.proxy.keeping_host import KeepingHost, digest, keeping_host
from tests.raw_http import Address, held, open_ones, request, reset

BODY = b"picture" * 1000
PATH = "/predictions/densenet121"
SHARE = 4  # requests of one client at once
CONNECTIONS = 64
LIMITS = f"""
header_timeout_s = 1
body_timeout_s = 1
send_timeout_s = 1
idle_timeout_s = 1
nginx_workers = 1
max_connections = {CONNECTIONS}
concurrent_requests = {SHARE}
"""


OTHERS = b"others"


@dataclass(frozen=True)
class Attacked:
    """A proxy, the host behind it, and where the attacker has a token."""

    proxy: Proxy
    host: KeepingHost
    target: Target
    ask: Callable[[], object]

    @property
    def arrived(self) -> int:
        """How many requests of attackers have reached the host."""
        return sum(each.body != OTHERS for each in self.host.arrived)

    @contextmanager
    def others_are_served(self) -> Iterator[Bystander]:
        with bystander(self.ask, digest(OTHERS)) as good:
            yield good


@pytest.fixture(scope="module")
def attacked(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("proxy")
    with keeping_host() as host:
        proxy = Proxy(folder, certificates, [remote("one", host.url)], limits=LIMITS)
        other = {"Authorization": f"Bearer {proxy.add_client('other')}"}

        def ask() -> object:
            return proxy.post(headers=other, data=OTHERS).json()["sha256"]

        token = f"Authorization: Bearer {proxy.token}"
        address = Address(proxy.port, folder / "server.pem")
        with running(proxy):
            yield Attacked(proxy, host, Target(address, (token,)), ask)


def files_of(proxy: Proxy) -> list[Path]:
    """Return what nginx keeps of bodies and answers on the disk."""
    return [path for path in proxy.root.glob("*-*/**/*") if path.is_file()]


def test_who_drips_headers_is_left(attacked: Attacked) -> None:
    with attacked.others_are_served():
        assert attacks.slow_headers(attacked.target, 50, TIMEOUT_S) == {"closed": 50}


def test_who_never_finishes_the_handshake_is_left(attacked: Attacked) -> None:
    with attacked.others_are_served():
        assert attacks.unfinished_handshakes(attacked.target, 50, TIMEOUT_S) == {"closed": 50}


@pytest.mark.parametrize("handshake", [True, False], ids=["tls", "nothing"])
def test_who_says_nothing_makes_way(attacked: Attacked, *, handshake: bool) -> None:
    more_than_there_are = 2 * CONNECTIONS
    with attacked.others_are_served():
        found = attacks.idle(attacked.target, more_than_there_are, TIMEOUT_S, handshake=handshake)
    assert found == {"closed": more_than_there_are}


def test_when_all_connections_are_taken_it_is_for_the_time_of_the_headers(
    attacked: Attacked,
) -> None:
    address = attacked.target.address
    with held(address, 2 * CONNECTIONS, attacks.HALF_A_HELLO, handshake=False):
        wait_for(lambda: served(attacked.ask), "others are served again")


def served(ask: Callable[[], object]) -> bool:
    try:
        return ask() == digest(OTHERS)
    except requests.ConnectionError:
        return False


def test_who_drips_bodies_has_no_more_than_a_clients_share(attacked: Attacked) -> None:
    before = attacked.arrived
    with attacked.others_are_served():
        found = attacks.slow_bodies(attacked.target, 5 * SHARE, hold_s=3)
    assert found == {"open": SHARE, "closed": 4 * SHARE}
    assert attacked.arrived == before


def test_who_drips_bodies_and_then_stops_is_left(attacked: Attacked) -> None:
    sent = attacked.target.post(b"x", length=len(BODY))
    with attacked.others_are_served(), held(attacked.target.address, SHARE, sent) as connections:
        wait_for(lambda: not open_ones(connections), "the connections are closed")


def test_who_has_no_token_cannot_hold_the_page(attacked: Attacked) -> None:
    sent = request("GET /", "Content-Length: 1")
    with attacked.others_are_served(), held(attacked.target.address, 50, sent) as connections:
        wait_for(lambda: not open_ones(connections), "the connections are closed")
    pages = [line["status"] for line in attacked.proxy.access_log() if line["uri"] == "/"]
    assert pages.count(429) > 0


def test_who_does_not_read_the_answer_is_left_and_the_host_is_free_at_once(
    attacked: Attacked,
) -> None:
    # Longer than what the kernel holds of it.
    target = replace(attacked.target, path=f"{PATH}?more=8000000")
    before = attacked.arrived
    with attacked.others_are_served():
        found = attacks.slow_readers(target, SHARE, BODY, hold_s=3)
    assert found == {"cut off": SHARE}
    assert attacked.arrived == before + SHARE
    wait_for(lambda: files_of(attacked.proxy) == [], "the answers are off the disk")


def test_half_a_body_is_no_request(attacked: Attacked) -> None:
    before = attacked.arrived
    with attacked.others_are_served():
        assert attacks.half_closed(attacked.target, 50, BODY, sent=100) == {"closed": 50}
    assert attacked.arrived == before


def test_who_has_said_all_gets_an_answer(attacked: Attacked) -> None:
    with attacked.others_are_served():
        assert attacks.half_closed(attacked.target, 1, BODY) == {"200": 1}


def test_who_breaks_off_in_the_body_leaves_nothing(attacked: Attacked) -> None:
    before, body = attacked.arrived, bytes(3_000_000)  # it goes through a file
    with attacked.others_are_served():
        attacks.resets(attacked.target, 100, body, sent=2_000_000)
        wait_for(lambda: files_of(attacked.proxy) == [], "the bodies are off the disk")
    assert attacked.arrived == before


def test_who_leaves_at_once_goes_on_to_count(attacked: Attacked) -> None:
    # TorchServe works on what it has been sent, whether or not somebody waits for it.
    target = replace(attacked.target, path=f"{PATH}?held=1")
    attacked.host.gate.clear()
    before = attacked.arrived
    with attacked.others_are_served():
        for _ in range(3 * SHARE):
            send_and_leave(attacked, target)
        assert attacked.arrived == before + SHARE
        assert attacked.target.ask(BODY) == "429"
        attacked.host.gate.set()
        wait_for(lambda: attacked.target.ask(BODY) == "200", "the share is free again")


def send_and_leave(attacked: Attacked, target: Target) -> None:
    """Send a request and break the connection once it has arrived or was refused."""
    before = attacked.arrived
    connection = target.address.connect()
    connection.sendall(target.post(BODY))
    wait_for(lambda: attacked.arrived > before or not open_ones([connection]), "it has arrived")
    reset(connection)


def test_streams_of_one_connection_have_no_more_than_a_clients_share(attacked: Attacked) -> None:
    before = attacked.arrived
    with attacked.others_are_served(), Http2(attacked.target.address) as connection:
        streams = set()
        for _ in range(10 * SHARE):
            streams.add(connection.frames.get_next_available_stream_id())
            connection.frames.send_headers(max(streams), headers(attacked.proxy))
        connection.flush()
        connection.wait_for(streams)
    assert Counter(connection.outcomes.values())["429"] == 9 * SHARE
    assert attacked.arrived == before


def test_streams_that_are_cancelled_at_once_do_no_harm(attacked: Attacked) -> None:
    before = attacked.arrived
    with attacked.others_are_served():
        for _ in range(5):
            rapid_resets(attacked.target.address, headers(attacked.proxy), 200)
    assert attacked.arrived - before <= 5 * SHARE


def headers(proxy: Proxy) -> list[Header]:
    return [
        *((":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", PATH)),
        ("authorization", f"Bearer {proxy.token}"),
    ]

"""Bodies and connections of ill will, sent to TorchServe itself, while another client is served.

What its frontend has no defence against is shown as such: it waits for ever for whoever is slow.
`./scripts/proxy` in front of it does not (tests/proxy/test_hostile_clients.py).
"""

import time
from collections.abc import Iterator

import psutil
import pytest
import requests

from server_control.runtime import java_process
from tests import attacks, bombs
from tests.attacks import Target
from tests.bystander import Bystander, bystander
from tests.raw_http import Address, exchange, held, open_ones, request, statuses
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for

ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}
FORM = f"Content-Type: {bombs.FORM}"
# Of both workers: one picture of 49 million pixels takes more while it is decoded.
LEFT_BYTES = 300_000_000


@pytest.fixture
def target(demo_server: Server) -> Target:
    address = demo_server.configuration.values["inference_address"]
    return Target(Address(int(address.rpartition(":")[2])))


@pytest.fixture(autouse=True)
def good(demo_server: Server) -> Iterator[Bystander]:
    """Have another client ask all the time; its requests must all be answered, and rightly."""

    def ask() -> object:
        return requests.post(demo_server.url, bombs.UMBRELLA, timeout=TIMEOUT_S).json()

    workers = demo_server.workers()
    with bystander(ask, ANSWER) as good:
        yield good
    assert demo_server.workers() == workers, "a worker has ended"


def java(server: Server) -> psutil.Process:
    process = java_process(server.note())
    assert process is not None
    return process


def memory(server: Server) -> int:
    return sum(each.memory_info().rss for each in server.workers())


# Bodies.


def test_pictures_that_say_they_are_huge_are_refused(demo_server: Server, target: Target) -> None:
    before = memory(demo_server)
    for name, picture in bombs.declared_huge().items():
        assert {name: target.ask(picture)} == {name: "422"}
    assert memory(demo_server) - before < LEFT_BYTES


def test_pictures_as_large_as_allowed_are_answered_one_after_the_other(
    demo_server: Server, target: Target
) -> None:
    before = memory(demo_server)
    assert attacks.tally(target, [bombs.legal(name) for name in ("PNG", "GIF")]) == {"200": 2}
    assert memory(demo_server) - before < LEFT_BYTES


def test_metadata_that_inflates_is_not_inflated(demo_server: Server, target: Target) -> None:
    before = memory(demo_server)
    for name, picture in bombs.metadata().items():
        assert {name: target.ask(picture)} == {name: "422"}
    assert memory(demo_server) - before < LEFT_BYTES


@pytest.mark.parametrize("way", ["form", "json"])
def test_a_thousand_images_are_too_many(target: Target, way: str) -> None:
    if way == "form":
        answer = exchange(target.address, target.post(bombs.form(1000, bombs.UMBRELLA[:99]), FORM))
    else:
        answer = exchange(target.address, target.post(bombs.document(1000)))
    assert statuses(answer) == [400]
    assert b'"TooManyImagesError"' in answer


def test_a_form_of_very_many_parts_is_refused(target: Target) -> None:
    assert target.ask(bombs.form(20_000, b"x"), FORM) == "400"


def test_json_that_nests_very_deep_is_refused(target: Target) -> None:
    assert target.ask(bombs.nested(5_000_000)) == "400"


# Connections.


def test_headers_and_queries_without_measure_are_refused(target: Target) -> None:
    # TorchServe takes headers of 8 kB together, and a first line of 4 kB.
    for name, status in attacks.header_floods(target).items():
        assert {name: status} == {name: "200" if name == "one of 7 kB that goes on" else "400"}
    assert attacks.long_targets(target, (1000, 5000, 100_000)) == {
        1000: "200",
        5000: "400",
        100_000: "400",
    }


def test_torchserve_waits_for_the_slow_for_ever_and_serves_the_others(
    demo_server: Server, target: Target, good: Bystander
) -> None:
    process = java(demo_server)
    before = process.num_fds()
    start = request(f"POST {target.path}", "Content-Length: 1000000")
    with held(target.address, 100, start) as bodies, held(target.address, 100, start[:-2]) as heads:
        began = time.monotonic()
        good.goes_on()
        # Twice what the proxy's own tests allow a client.
        wait_for(lambda: time.monotonic() - began > 2)
        assert len(open_ones(bodies)) == len(open_ones(heads)) == 100
        assert process.num_fds() >= before + 200
    wait_for(lambda: process.num_fds() <= before + 20)


@pytest.mark.parametrize("sent", [1000, None], ids=["in the body", "after it"])
def test_who_breaks_off_leaves_nothing(
    demo_server: Server, target: Target, sent: int | None
) -> None:
    process = java(demo_server)
    before = process.num_fds()
    attacks.resets(target, 100, bombs.UMBRELLA, sent)
    wait_for(lambda: process.num_fds() <= before + 20)


def test_half_a_body_is_no_request(target: Target) -> None:
    assert attacks.half_closed(target, 20, bombs.UMBRELLA, sent=1000) == {"closed": 20}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Content-Length: 1000000000000000000",), b"x"),
        (("Content-Length: -1",), b"x"),
        (("Content-Length: +1",), b"x"),
        (("Content-Length: 1", "Content-Length: 2"), b"xy"),
        (("Transfer-Encoding: chunked",), b"xyz\r\nx\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"FFFFFFFFFFFFFFFFF\r\nx"),
        (("Transfer-Encoding: chunked",), b"7FFFFFFF\r\nx"),
        (("Transfer-Encoding: chunked",), b"1;" + b"a" * 1_000_000 + b"\r\nx\r\n0\r\n\r\n"),
    ],
    ids=["huge", "negative", "plus", "two", "no-chunk", "overflow", "huge-chunk", "extension"],
)
def test_a_body_of_no_length_harms_nobody(
    target: Target, headers: tuple[str, ...], body: bytes
) -> None:
    sent = request(f"POST {target.path}", *headers, body=body)
    answer = exchange(target.address, sent, last=True)
    assert set(statuses(answer)) <= {400, 413, 415}, answer

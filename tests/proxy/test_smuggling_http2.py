"""What HTTP/2 lets a client say that HTTP/1 behind the proxy would understand otherwise.

Lengths that are not those of the data, headers of HTTP/1, and line breaks in whatever becomes a
line there. The proxy may refuse them or pass on the request as one of the length that came.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.harness import Proxy, remote, running
from tests.proxy.http2 import Header, Http2
from tests.proxy.keeping_host import KeepingHost, keeping_host
from tests.raw_http import Address

BODY = b"picture"
HIDDEN = b"GET /predictions/densenet121?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LINES = "a\r\nContent-Length: 0\r\n\r\n" + HIDDEN.decode()
CHUNKS = b"0\r\n\r\n" + HIDDEN
PATH = "/predictions/densenet121"
REFUSED = {"400", "404", "405", "reset", "closed"}


@pytest.fixture(scope="module")
def attacked(
    certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, KeepingHost]]:
    folder = tmp_path_factory.mktemp("proxy")
    with keeping_host() as host:
        limits = "body_timeout_s = 1\nidle_timeout_s = 1"
        with running(Proxy(folder, certificates, [remote("one", host.url)], limits=limits)) as made:
            yield made, host


def ask(proxy: Proxy, body: bytes, *extra: Header, **pseudo: str) -> str:
    start = {"method": "POST", "scheme": "https", "authority": "localhost", "path": PATH} | pseudo
    headers = [(f":{name}", value) for name, value in start.items()]
    token = ("authorization", f"Bearer {proxy.token}")
    address = Address(proxy.port, proxy.folder / "server.pem")
    with Http2(address) as connection:
        return connection.ask([*headers, token, *extra], body)


@pytest.mark.parametrize("length", ["7", ""], ids=["length", "no-length"])
def test_a_request_arrives_once(attacked: tuple[Proxy, KeepingHost], length: str) -> None:
    proxy, host = attacked
    before = len(host.arrived)
    extra = [("content-length", length)] if length else []
    assert ask(proxy, BODY, *extra) == "200"
    assert [each.body for each in host.arrived[before:]] == [BODY]
    assert host.arrived[-1].headers["content-length"] == ["7"]


@pytest.mark.parametrize("length", ["3", "0", "107", "+7", "7, 7", "-1", "0x7"])
def test_a_length_that_is_not_that_of_the_data_is_refused(
    attacked: tuple[Proxy, KeepingHost], length: str
) -> None:
    proxy, host = attacked
    before = len(host.arrived)
    assert ask(proxy, BODY + HIDDEN, ("content-length", length)) in REFUSED
    assert host.arrived[before:] == []
    assert host.faults == []


@pytest.mark.parametrize(
    "headers",
    [
        [("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("content-length", str(len(CHUNKS)))],
        [("connection", "transfer-encoding"), ("transfer-encoding", "chunked")],
    ],
    ids=["alone", "length", "connection"],
)
def test_chunks_of_http1_are_no_chunks(
    attacked: tuple[Proxy, KeepingHost], headers: list[Header]
) -> None:
    proxy, host = attacked
    before = len(host.arrived)
    answer = ask(proxy, CHUNKS, *headers)
    # nginx counts the bytes of the data and passes them on as what they are.
    assert answer in REFUSED or [each.body for each in host.arrived[before:]] == [CHUNKS]
    assert [each.target for each in host.arrived[before:]] in ([], [PATH])
    assert host.faults == []


@pytest.mark.parametrize(
    "extra",
    [
        ("accept", LINES), ("content-type", LINES), ("traceparent", LINES), ("x-request-id", LINES),
        ("inference-header-content-length", LINES), ("accept", "a\0b"), ("accept", "a\nb: c"),
        (f"x: {LINES}", "y"), ("accept: x\r\nb", "y"), ("Content-Length", "0"), ("", "x"),
    ],
    ids=repr,
)  # fmt: skip
def test_no_header_becomes_two(attacked: tuple[Proxy, KeepingHost], extra: Header) -> None:
    proxy, host = attacked
    before = len(host.arrived)
    assert ask(proxy, BODY, extra) in REFUSED
    assert host.arrived[before:] == []


@pytest.mark.parametrize(
    "pseudo",
    [
        {"path": f"{PATH} HTTP/1.1\r\nX: y"}, {"path": f"{PATH}?a b"},
        {"path": f"{PATH}?a\r\nb: c"}, {"path": PATH[1:]}, {"path": "*"}, {"path": ""},
        {"method": f"GET {PATH}?smuggled HTTP/1.1\r\n\r\nPOST"}, {"method": "get"},
        {"authority": LINES}, {"scheme": LINES},
    ],
    ids=repr,
)  # fmt: skip
def test_no_first_line_becomes_two(
    attacked: tuple[Proxy, KeepingHost], pseudo: dict[str, str]
) -> None:
    proxy, host = attacked
    before = len(host.arrived)
    answer = ask(proxy, BODY, **pseudo)
    assert answer in REFUSED or [each.body for each in host.arrived[before:]] == [BODY]
    assert host.targets("smuggled") == []
    assert host.faults == []

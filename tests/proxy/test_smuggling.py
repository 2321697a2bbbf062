"""Requests of which two servers may think differently: where one ends, and whose it is.

The attacker has a token of their own; what they smuggle has none, and asks for a path of its own.
The host behind keeps its connections and takes what is left of a body for a request. It must never
see what was smuggled, nor a request without a plain length, and another client's request meanwhile
must arrive as it was sent.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bystander import bystander
from tests.proxy.harness import Proxy, remote, running
from tests.proxy.keeping_host import KeepingHost, digest, keeping_host
from tests.raw_http import Address, exchange, request, statuses

BODY = b"picture"
# A request of its own, and one that would swallow the next client's up to its token.
HIDDEN = b"GET /predictions/densenet121?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
SWALLOWING = b"POST /predictions/densenet121?smuggled HTTP/1.1\r\nContent-Length: 900\r\n\r\n"
END = b"0\r\n\r\n"
CHUNKS = b"7\r\npicture\r\n" + END
ONE_BY_ONE = b"".join(b"1\r\n%c\r\n" % each for each in BODY) + END
LONG = b"7;" + b"a" * 100_000 + b"\r\npicture\r\n" + END
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAIAAAAA")
CHUNKED = "Transfer-Encoding: chunked"
OURS = "POST /predictions/densenet121"
LENGTH = f"Content-Length: {len(BODY)}"
TOO_LONG = f"Content-Length: {len(BODY) + 100}"


@dataclass(frozen=True)
class Shape:
    """What is sent, with the attacker's token unless it says otherwise, and what it gets.

    `arrives` tells whether the host sees one request, with the body `BODY`.
    """

    name: str
    lines: tuple[str, ...]
    body: bytes
    expected: list[int]
    start: str = OURS
    token: bool = True
    arrives: bool = False


def refused(
    name: str, *lines: str, body: bytes = BODY + HIDDEN, status: int = 400, start: str = OURS
) -> Shape:
    return Shape(name, lines, body, [status], start)


def taken(
    name: str, *lines: str, body: bytes = BODY, then: tuple[int, ...] = (), start: str = OURS
) -> Shape:
    """Return a shape that is one good request, whatever is told of the bytes behind it."""
    return Shape(name, lines, body, [200, *then], start, arrives=True)


TWO_LENGTHS = [
    refused("CL.TE", f"Content-Length: {len(END + SWALLOWING)}", CHUNKED, body=END + SWALLOWING),
    refused("TE.CL", CHUNKED, "Content-Length: 4", body=b"5c\r\n" + HIDDEN + b"\r\n0\r\n\r\n"),
    refused("CL.TE in capitals", LENGTH, "TRANSFER-ENCODING: CHUNKED", body=CHUNKS + HIDDEN),
    refused("CL.TE behind a bare LF", LENGTH, f"X: y\n{CHUNKED}", body=CHUNKS + HIDDEN),
    refused("CL.TE with HTTP/1.0", LENGTH, CHUNKED, start=f"{OURS} HTTP/1.0"),
    refused("TE with HTTP/1.0", CHUNKED, body=CHUNKS + HIDDEN, start=f"{OURS} HTTP/1.0"),
    refused("two lengths", LENGTH, TOO_LONG),
    refused("two lengths, the long one first", TOO_LONG, LENGTH),
    refused("one length twice", LENGTH, LENGTH),
    refused("a list of lengths", "Content-Length: 7, 7"),
    refused("two tokens", LENGTH, "Authorization: Bearer other"),
    refused("two hosts", LENGTH, "Host: other"),
]  # fmt: skip

OBSCURED = [
    refused(f"TE.TE {name}", LENGTH, line, body=CHUNKS + HIDDEN)
    for name, line in [
        ("unknown", "Transfer-Encoding: xchunked"),
        ("identity", "Transfer-Encoding: identity"),
        ("list", "Transfer-Encoding: chunked, identity"),
        ("empty", "Transfer-Encoding:"),
        ("quoted", 'Transfer-Encoding: "chunked"'),
        ("vertical tab", "Transfer-Encoding: \x0bchunked"),
        ("tab", "Transfer-Encoding:\tchunked"),
        ("twice", f"{CHUNKED}\r\nTransfer-Encoding: x"),
        ("space before the colon", "Transfer-Encoding : chunked"),
        ("tab before the colon", "Transfer-Encoding\t: chunked"),
        ("colon on the next line", "Transfer-Encoding\r\n: chunked"),
        ("folded name", "X: y\r\n Transfer-Encoding: chunked"),
        ("folded value", "Transfer-Encoding:\r\n chunked"),
        ("bare CR", f"X: y\r{CHUNKED}"),
        ("NUL in the name", "Transfer-Encoding\0: chunked"),
        ("NUL in the value", "Transfer-Encoding: chunked\0"),
        ("NUL in another", "X: a\0b"),
        ("no name", ": chunked"),
    ]
]

LENGTHS = [
    refused(f"length {text!r}", f"Content-Length: {text}", status=status)
    for text, status in [
        ("+7", 400), ("-7", 400), ("-1", 400), ("0x7", 400), ("7.0", 400), ("7e0", 400), ("", 400),
        ("7 7", 400), ("\xb2", 400), ("1" + 18 * "0", 413), ("9" * 30, 400), (str(2**63 - 1), 413),
        (str(2**63), 400), (str(2**64 + 7), 400),
    ]
]  # fmt: skip

CHUNK_SIZES = [
    refused(f"chunks {name}", CHUNKED, body=body + HIDDEN)
    for name, body in [
        ("no number", b"xyz\r\npicture\r\n0\r\n\r\n"),
        ("prefix", b"0x7\r\npicture\r\n0\r\n\r\n"),
        ("negative", b"-7\r\npicture\r\n0\r\n\r\n"),
        ("plus", b"+7\r\npicture\r\n0\r\n\r\n"),
        ("no size", b"\r\npicture\r\n0\r\n\r\n"),
        ("overflow", b"FFFFFFFFFFFFFFFFF\r\npicture"),
        ("overflow to 7", b"10000000000000007\r\npicture\r\n0\r\n\r\n"),
        ("huge", b"7FFFFFFFFFFFFFF0\r\npicture"),
        ("too short", b"3\r\npicture\r\n0\r\n\r\n"),
        ("bare CR", b"7\rpicture\r0\r\r"),
    ]
]

ONE_REQUEST = [
    taken("plain", LENGTH, "Connection: close"),
    taken("chunks", CHUNKED, body=CHUNKS),
    taken("chunks in capitals", "Transfer-Encoding: CHUNKED", body=CHUNKS),
    taken("chunks of a byte", CHUNKED, body=ONE_BY_ONE),
    taken("chunk extension", CHUNKED, body=b'7;a="b"\r\npicture\r\n0;c\r\n\r\n'),
    taken("chunk extension of 100 kB", CHUNKED, body=LONG),
    taken("trailers", CHUNKED, body=b"7\r\npicture\r\n0\r\nContent-Length: 99\r\nX: y\r\n\r\n"),
    taken("bare LF", f"X: y\nZ: z\n{LENGTH}"),
    taken("underscores", LENGTH, "Transfer_Encoding: chunked", "Content_Length: 1"),
    taken("length is a hop's", LENGTH, "Connection: content-length, authorization, close"),
    taken("upgrade to h2c", LENGTH, *H2C),
    taken("absolute URI", LENGTH, start="POST http://evil.example/predictions/densenet121"),
    taken("length too small", LENGTH, body=BODY + HIDDEN, then=(401,)),
    taken("length too small, swallowing", LENGTH, body=BODY + SWALLOWING, then=(400,)),
    taken("behind the last chunk", CHUNKED, body=CHUNKS + HIDDEN, then=(401,)),
    taken("pipelined", LENGTH, body=BODY + b"\r\n\r\n" + HIDDEN * 3, then=(401, 401, 401)),
]  # fmt: skip

NO_REQUEST = [
    refused("CONNECT", body=b"", start="CONNECT localhost:8081 HTTP/1.1"),
    refused("asterisk", body=b"", start="OPTIONS * HTTP/1.1"),
    refused("HTTP/2 in words", start="PRI * HTTP/2.0", body=b"SM\r\n\r\n"),
    refused("HTTP/3.0", LENGTH, start=f"{OURS} HTTP/3.0"),
    refused("space in the path", LENGTH, start="POST /predictions/densenet121 HTTP/1.1 HTTP/1.1"),
    Shape("absolute URI, hidden path", (LENGTH,), BODY + HIDDEN, [404, 401], "POST http://a/models"),
    Shape("CR LF in the path", (LENGTH,), BODY + HIDDEN, [404, 401], f"{OURS}%20HTTP/1.1%0d%0aX:y"),
    refused("NUL in the path", LENGTH, start=f"{OURS}\0"),
    Shape("HTTP/0.9", (), HIDDEN, [], "GET /predictions/densenet121\r\n\r\nGET / HTTP/1.1"),
    Shape("length too large", (TOO_LONG,), BODY, []),
    Shape("no token, CL.0", (f"Content-Length: {len(HIDDEN)}",), HIDDEN, [401], token=False),
    Shape("CL.0 of /live", (f"Content-Length: {len(HIDDEN)}",), HIDDEN, [200], "GET /live"),
    Shape("CL.0 of the page", (f"Content-Length: {len(HIDDEN)}",), HIDDEN, [413], "GET /"),
    Shape("CL.0 of nothing", (f"Content-Length: {len(HIDDEN)}",), HIDDEN, [404], "GET /nothing"),
]  # fmt: skip

SHAPES = [*TWO_LENGTHS, *OBSCURED, *LENGTHS, *CHUNK_SIZES, *ONE_REQUEST, *NO_REQUEST]


@dataclass(frozen=True)
class Attacked:
    answers: dict[str, bytes]
    host: KeepingHost
    proxy: Proxy


@pytest.fixture(scope="module")
def attacked(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Return what came of all shapes at once, while another client's requests arrived whole."""
    folder = tmp_path_factory.mktemp("proxy")
    limits = "header_timeout_s = 1\nbody_timeout_s = 1\nidle_timeout_s = 1"
    with keeping_host() as host:
        proxy = Proxy(folder, certificates, [remote("one", host.url)], limits=limits)
        other = {"Authorization": f"Bearer {proxy.add_client('other')}", "X-Request-ID": "other"}
        told = {"target": "/predictions/densenet121", "id": ["other"], "sha256": digest(b"others")}
        address = Address(proxy.port, folder / "server.pem")
        with (
            running(proxy),
            bystander(lambda: proxy.post(headers=other, data=b"others").json(), told),
            ThreadPoolExecutor(24) as pool,
        ):
            sent = [bytes_of(shape, proxy.token) for shape in SHAPES]
            answers = list(pool.map(lambda each: exchange(address, each), sent))
            names = [shape.name for shape in SHAPES]
            yield Attacked(dict(zip(names, answers, strict=True)), host, proxy)


def bytes_of(shape: Shape, token: str) -> bytes:
    lines = [f"X-Request-ID: {id_of(shape)}", *shape.lines]
    if shape.token:
        lines.insert(0, f"Authorization: Bearer {token}")
    return request(shape.start, *lines, body=shape.body)


def id_of(shape: Shape) -> str:
    return f"shape-{SHAPES.index(shape)}"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_is_one_request_or_none(attacked: Attacked, shape: Shape) -> None:
    answer = attacked.answers[shape.name]
    arrived = [
        each for each in attacked.host.arrived if each.headers["x-request-id"] == [id_of(shape)]
    ]
    assert statuses(answer) == shape.expected, answer
    assert [each.body for each in arrived] == [BODY] * shape.arrives


def test_the_host_never_sees_what_was_smuggled(attacked: Attacked) -> None:
    assert attacked.host.targets("smuggled") == []
    assert attacked.host.faults == []


def test_the_host_sees_only_what_it_was_asked(attacked: Attacked) -> None:
    assert {each.target for each in attacked.host.arrived} == {"/predictions/densenet121"}


def test_what_is_refused_is_json(attacked: Attacked) -> None:
    answers = {name: attacked.answers[name] for name in attacked.answers}
    assert [name for name, answer in answers.items() if b"<html" in answer.lower()] == []

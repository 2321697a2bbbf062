"""What hostile clients do with their connections, the same to TorchServe and to the proxy.

Each attack takes a `Target` and how much of it, and returns what came of it by a word: a status,
`closed`, `open`. Nothing here is slower than the target's own timeouts.
"""

import ssl
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from socket import socket

from tests.bombs import UMBRELLA
from tests.raw_http import (
    Address,
    answer_to,
    drip,
    half_close,
    held,
    open_ones,
    read_all,
    read_answer,
    request,
    reset,
    statuses,
)

Outcome = Counter[str]
HALF_A_HELLO = bytes.fromhex("16030102000100")  # a record of TLS: 512 bytes, of which two come
_PARALLEL = 16
_LOOK_S = 0.1


@dataclass(frozen=True)
class Target:
    """Where predictions are made; `headers` has the attacker's token, if there is one."""

    address: Address
    headers: tuple[str, ...] = ()
    path: str = "/predictions/densenet121"
    close: tuple[str, ...] = field(default=("Connection: close",))

    def post(self, body: bytes, *headers: str, length: int | None = None) -> bytes:
        """Return the bytes of a request; `length` is what it says of its body."""
        size = f"Content-Length: {len(body) if length is None else length}"
        return request(f"POST {self.path}", *self.headers, *self.close, size, *headers, body=body)

    def ask(self, body: bytes, *headers: str) -> str:
        """Send a request and return the status of its answer, or `closed`."""
        return str(answer_to(self.address, self.post(body, *headers)) or "closed")


def outcome(answer: bytes) -> str:
    found = statuses(answer)
    return " ".join(map(str, found)) if found else "closed"


def tally(target: Target, bodies: Iterable[bytes], *headers: str, parallel: int = 1) -> Outcome:
    """Send each body in a request of its own and count the answers."""
    with ThreadPoolExecutor(parallel) as pool:
        return Counter(pool.map(lambda body: target.ask(body, *headers), bodies))


def idle(target: Target, number: int, hold_s: float, *, handshake: bool = True) -> Outcome:
    """Hold connections on which nothing is sent, for so long or until all are closed."""
    with held(target.address, number, handshake=handshake) as connections:
        return _left(connections, hold_s)


def unfinished_handshakes(target: Target, number: int, hold_s: float) -> Outcome:
    """Begin to speak TLS on each connection and stop in the middle of the first message."""
    with held(target.address, number, HALF_A_HELLO, handshake=False) as connections:
        return _left(connections, hold_s)


def slow_headers(target: Target, number: int, hold_s: float, pause_s: float = 0.2) -> Outcome:
    """Send the headers of a request a few bytes at a time, and never the end of them."""
    start = request(f"POST {target.path}", *target.headers)[:-2]
    return _trickle(target, number, start, b"X: y\r\n", hold_s, pause_s)


def slow_bodies(target: Target, number: int, hold_s: float, pause_s: float = 0.2) -> Outcome:
    """Declare a body of 10 MB and send a byte at a time."""
    start = target.post(b"", length=10_000_000)
    return _trickle(target, number, start, b"x", hold_s, pause_s)


def _trickle(
    target: Target, number: int, start: bytes, piece: bytes, hold_s: float, pause_s: float
) -> Outcome:
    with held(target.address, number, start) as connections:
        deadline = time.monotonic() + hold_s
        left = connections
        while left and time.monotonic() < deadline:
            left = drip(left, piece)
            time.sleep(pause_s)
        return _counted(len(left), number)


def _left(connections: list[socket], hold_s: float) -> Outcome:
    """Wait until all are closed, or so long, and count them."""
    deadline = time.monotonic() + hold_s
    while (left := open_ones(connections)) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return _counted(len(left), len(connections))


def _counted(left: int, number: int) -> Outcome:
    return +Counter(open=left, closed=number - left)  # without zeros


def slow_readers(target: Target, number: int, body: bytes, hold_s: float) -> Outcome:
    """Ask for a long answer and read nothing of it; then tell how much of it comes."""
    sent, connections = target.post(body), []
    try:
        for _ in range(number):
            connections.append(target.address.connect(receive_buffer=2048))
            connections[-1].sendall(sent)
        time.sleep(hold_s)
        return Counter(str(read_answer(each) or "cut off") for each in connections)
    finally:
        for each in connections:
            each.close()


def half_closed(target: Target, number: int, body: bytes, sent: int | None = None) -> Outcome:
    """Send a request, or the first `sent` bytes of its body, and say that nothing more comes."""

    def ask(_: int) -> str:
        with target.address.connect() as connection:
            whole = target.post(body)
            connection.sendall(whole if sent is None else whole[: len(whole) - len(body) + sent])
            half_close(connection)
            return outcome(read_all(connection))

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return Counter(pool.map(ask, range(number)))


def resets(target: Target, number: int, body: bytes, sent: int | None = None) -> Outcome:
    """Send a request, or the first `sent` bytes of its body, and break the connection."""

    def ask(_: int) -> str:
        connection = target.address.connect()
        whole = target.post(body)
        with suppress(ConnectionError, ssl.SSLError):
            connection.sendall(whole if sent is None else whole[: len(whole) - len(body) + sent])
        reset(connection)
        return "reset"

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return Counter(pool.map(ask, range(number)))


def header_floods(target: Target) -> dict[str, str]:
    """Send headers without measure, each kind in a request with a good picture."""
    kinds = {
        "1000 headers": [f"X-{number}: {'y' * 20}" for number in range(1000)],
        "one of 64 kB": ["X: " + "y" * 65536],
        "one of 7 kB that goes on": ["Accept: " + "y" * 7000],
        "three of 7 kB that go on": [
            f"{name}: " + "y" * 7000 for name in ("Accept", "Content-Type", "Traceparent")
        ],
    }
    return {name: target.ask(UMBRELLA, *headers) for name, headers in kinds.items()}


def long_targets(target: Target, query_bytes: Iterable[int]) -> dict[int, str]:
    """Send queries of these lengths."""
    found = {}
    for size in query_bytes:
        start = f"POST {target.path}?{'q' * size}"
        head = (*target.headers, *target.close, f"Content-Length: {len(UMBRELLA)}")
        sent = request(start, *head, body=UMBRELLA)
        found[size] = str(answer_to(target.address, sent) or "closed")
    return found

"""HTTP as nobody of good will sends it: bytes over a socket as they are, and what comes back.

An `Address` is where to. `exchange` returns everything that is answered until the other side
closes. Every wait has a deadline, which is a failure: nobody may keep a hostile client waiting.
"""

import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

TIMEOUT_S = 60.0
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True)
class Address:
    """A port of this machine; with a `certificate` it speaks TLS and is who that names."""

    port: int
    certificate: Path | None = None

    def connect(self, *, handshake: bool = True, receive_buffer: int = 0) -> socket.socket:
        """Return a connection; `receive_buffer` is how many bytes may wait here to be read."""
        plain = socket.socket()
        plain.settimeout(TIMEOUT_S)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            plain.connect(("127.0.0.1", self.port))
            if self.certificate is None or not handshake:
                return plain
            return _context(self.certificate).wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise


_contexts: dict[Path, ssl.SSLContext] = {}


def _context(certificate: Path) -> ssl.SSLContext:
    # Reading it takes longer than a handshake.
    if certificate not in _contexts:
        context = ssl.create_default_context(cafile=str(certificate))
        # A connection that is reset is an end like any other here.
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        _contexts[certificate] = context
    return _contexts[certificate]


def request(start: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a request with these lines for its head; nothing is added but `Host`."""
    lines = [start if start.count(" ") > 1 else f"{start} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def exchange(address: Address, sent: bytes, *, last: bool = False) -> bytes:
    """Send bytes and return all that is answered until the other side closes.

    `last` says that nothing more comes.
    """
    with address.connect() as connection:
        # It may have refused and closed before all was sent.
        with suppress(ConnectionError, ssl.SSLError):
            connection.sendall(sent)
            if last:
                half_close(connection)
        return read_all(connection)


def answer_to(address: Address, sent: bytes) -> int | None:
    """Send a request and return the status of its answer; None without a whole one."""
    with address.connect() as connection:
        with suppress(ConnectionError, ssl.SSLError):
            connection.sendall(sent)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> int | None:
    """Read one answer and return its status; None without a whole one.

    TorchServe keeps a connection after a good answer, whatever the client says of it.
    """
    answer = HTTPResponse(connection)
    try:
        answer.begin()
        answer.read()
    except (HTTPException, ConnectionError, ssl.SSLError):
        return None
    return answer.status


def read_all(connection: socket.socket) -> bytes:
    """Return all that is answered until the other side closes or resets the connection."""
    received, deadline = b"", time.monotonic() + TIMEOUT_S
    with suppress(ConnectionError, ssl.SSLError):
        while piece := connection.recv(1 << 16):
            received += piece
            assert time.monotonic() < deadline, "the connection is still open"
    return received


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the answers that were sent one after the other."""
    return [int(each) for each in _STATUS_LINE.findall(answer)]


def half_close(connection: socket.socket) -> None:
    """Say with FIN that nothing more comes, and go on reading."""
    # The other side may have ended it already.
    with suppress(OSError):
        # An SSLSocket's own shutdown would forget its keys.
        socket.socket.shutdown(connection, socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    """End a connection as a crashed client does: with RST, which a lingering time of 0 s is."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def held(
    address: Address, number: int, sent: bytes = b"", *, handshake: bool = True
) -> Iterator[list[socket.socket]]:
    """Hold so many connections open for the time of the block, each with the same bytes sent."""
    with ExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = stack.enter_context(address.connect(handshake=handshake))
            connection.sendall(sent)
            connections.append(connection)
        yield connections


def drip(connections: Sequence[socket.socket], piece: bytes) -> list[socket.socket]:
    """Send a few bytes on each connection and return those that are still open."""
    return [each for each in connections if _is_open(each) and _sent(each, piece)]


def open_ones(connections: Sequence[socket.socket]) -> list[socket.socket]:
    """Return the connections that the other side has not closed; what it says is dropped."""
    return [each for each in connections if _is_open(each)]


def _sent(connection: socket.socket, piece: bytes) -> bool:
    try:
        connection.sendall(piece)
    except (ConnectionError, ssl.SSLError):
        return False
    return True


def _is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        while connection.recv(1 << 16):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except (ConnectionError, ssl.SSLError):
        return False
    finally:
        connection.settimeout(TIMEOUT_S)
    return False

"""HTTP/2 as nobody of good will speaks it: frames are sent whether or not they fit together."""

import socket
import ssl
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamEnded, StreamReset

from tests.raw_http import TIMEOUT_S, Address

Header = tuple[str, str]


@dataclass
class Http2:
    """One connection; `outcomes` has what became of each stream: a status, or `reset`."""

    address: Address
    outcomes: dict[int, str] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    over: bool = False

    def __enter__(self) -> Self:
        assert self.address.certificate is not None
        context = ssl.create_default_context(cafile=str(self.address.certificate))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", self.address.port), timeout=TIMEOUT_S)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        assert self._socket.selected_alpn_protocol() == "h2"
        # What we send is wrong on purpose.
        self.frames = H2Connection(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.frames.initiate_connection()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, headers: list[Header], body: bytes) -> str:
        """Send a request and return what becomes of it."""
        stream = self.send(headers, body)
        self.flush()
        self.wait_for({stream})
        return self.outcomes.get(stream, "closed")

    def send(self, headers: list[Header], body: bytes) -> int:
        """Put a request among the frames that are to be sent, and return its stream."""
        stream = self.frames.get_next_available_stream_id()
        self.frames.send_headers(stream, headers)
        self.frames.send_data(stream, body, end_stream=True)
        return stream

    def flush(self) -> None:
        """Send the frames, unless the other side has closed meanwhile."""
        with suppress(ConnectionError, ssl.SSLError):
            self._socket.sendall(self.frames.data_to_send())

    def wait_for(self, streams: set[int]) -> None:
        """Read until these have ended, or all has."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.over and not streams <= self.ended:
            assert time.monotonic() < deadline, "the streams have not ended"
            self._read()

    def _read(self) -> None:
        try:
            received = self._socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            received = b""
        self.over = self.over or not received
        for event in self.frames.receive_data(received) if received else []:
            if isinstance(event, ResponseReceived):
                self.outcomes[event.stream_id] = dict(event.headers)[b":status"].decode()
            elif isinstance(event, StreamReset):
                self.outcomes.setdefault(event.stream_id, "reset")
                self.ended.add(event.stream_id)
            elif isinstance(event, StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, ConnectionTerminated):
                self.over = True
        self.flush()


def rapid_resets(address: Address, headers: list[Header], number: int) -> Counter[str]:
    """Send requests and cancel each at once (CVE-2023-44487), all on one connection."""
    with Http2(address) as connection:
        for _ in range(number):
            stream = connection.send(headers, b"picture")
            connection.frames.reset_stream(stream, error_code=8)
        connection.flush()
        return Counter(sent=number)

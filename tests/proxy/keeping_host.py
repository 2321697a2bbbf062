"""A fake host that keeps its connections, as TorchServe does, and notes every request on them.

What is left of a body is taken for the next request here: that is what smuggling needs. Hosts of
`tests/unit/local_http.py` close each connection and would never see it.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

from reverse_proxy.hosts import LOCAL_READY
from tests.proxy.harness import READY, TIMEOUT_S


@dataclass(frozen=True)
class Arrived:
    """A request: its target as it was sent, its headers in lower case, its body."""

    target: str
    headers: dict[str, list[str]]
    body: bytes


@dataclass
class KeepingHost:
    """What has arrived so far; `faults` is what was no request, or one of two lengths.

    A query `more=N` asks for an answer of N bytes, `held=1` for none before `gate` is set.
    """

    url: str = ""
    gate: Event = field(default_factory=Event)
    arrived: list[Arrived] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def targets(self, word: str) -> list[str]:
        """Return the targets of the requests that have this word there or in a header."""
        return [each.target for each in self.arrived if word in f"{each.target}{each.headers}"]


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@contextmanager
def keeping_host() -> Iterator[KeepingHost]:
    """Run one that tells the target, the id and the digest of the body."""
    host = KeepingHost()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == LOCAL_READY:
                self._answer(READY.encode())
                return
            headers = {name.lower(): self.headers.get_all(name, []) for name in self.headers}
            lengths = headers.get("content-length", ["0"])
            if "transfer-encoding" in headers or len(lengths) > 1 or not lengths[0].isdecimal():
                host.faults.append(repr(headers))
            body = self.rfile.read(int(lengths[0]))
            host.arrived.append(Arrived(self.path, headers, body))
            told = {"target": self.path, "id": headers["x-request-id"], "sha256": digest(body)}
            wishes = parse_qs(urlsplit(self.path).query)
            if "held" in wishes:
                host.gate.wait(TIMEOUT_S)
            self._answer(json.dumps(told).encode().ljust(int(wishes.get("more", ["0"])[0])))

        do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked may be gone
                self.wfile.write(body)

        def send_error(self, code: int, message: str | None = None, _: str | None = None) -> None:
            host.faults.append(f"{code} {message}: {self.requestline!r}")
            self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's stderr for what the code under test says."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host
        finally:
            host.gate.set()
            server.shutdown()
            thread.join()

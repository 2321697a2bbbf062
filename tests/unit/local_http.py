"""A web server of one test, on a free loopback port: `with serving(answer) as server`.

`answer` gets each `Request`, several at a time, and returns an `Answer`; `server.requests` keeps
what arrived. With a folder `tls`, as `scripts/make-certificate` writes it, the server speaks TLS.
"""

import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes
    headers: Message = field(default_factory=Message, compare=False)
    method: str = field(default="GET", compare=False)

    def form(self) -> dict[str, bytes]:
        """Return the parts of a multipart body by field name."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = {}
        for part in BytesParser().parsebytes(head + self.body).walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):  # the form itself has none
                form[str(part.get_param("name", header="content-disposition"))] = content
        return form


@dataclass(frozen=True)
class Answer:
    """What is sent; `missing` bytes are promised in Content-Length and never come.

    With `reset` nothing is: the connection is torn down.
    """

    body: bytes = b""
    status: int = 200
    missing: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False


@dataclass(frozen=True)
class Server:
    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving(
    answer: Callable[[Request], Answer], port: int = 0, tls: Path | None = None
) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            request = Request(self.path, body, self.headers, self.command)
            server.requests.append(request)
            reply = answer(request)
            if reply.reset:
                # Closed with a lingering time of 0 s a connection ends in RST, not FIN.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            self.end_headers()
            with suppress(ConnectionError):  # the client may have given up
                self.wfile.write(reply.body)

        do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's stderr for what the code under test says."""

    class Listener(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), ssl.SSLError):  # a client that wants another server
                super().handle_error(request, client_address)

    with Listener(("127.0.0.1", port), Handler) as listener:
        scheme = "http"
        if tls is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "server.pem", tls / "server.key")
            listener.socket = context.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )
        server = Server(f"{scheme}://127.0.0.1:{listener.server_port}")
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


@contextmanager
def refusing() -> Iterator[str]:
    """Yield a URL whose port is held but not listened on: connections are refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"

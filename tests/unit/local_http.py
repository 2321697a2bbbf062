"""A web server of one test, on a free loopback port: `with serving(answer) as server`.

`answer` gets each `Request` and returns an `Answer`; `server.requests` keeps what arrived.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread


@dataclass(frozen=True)
class Request:
    path: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is sent; `missing` bytes are promised in Content-Length and never come."""

    body: bytes = b""
    status: int = 200
    missing: int = 0


@dataclass(frozen=True)
class Server:
    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = Request(self.path, self.rfile.read(length))
            server.requests.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            self.end_headers()
            self.wfile.write(reply.body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_arguments: object) -> None:
            """Keep the test's stderr for what the code under test says."""

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = Server(f"http://127.0.0.1:{listener.server_port}")
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

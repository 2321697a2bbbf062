"""Requests to our own server: past the proxies of the environment, to nobody but it.

Where it speaks TLS it is known by the very certificate that it was started with, whatever host
name that is for and whoever signed it; a private network needs no authority for its own calls.
"""

from _thread import start_new_thread
from collections.abc import Callable
from copy import copy
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

import requests

from densenet_client.pinned import Pinned

TIMEOUT_S = 5.0


def request(
    method: str,
    url: str,
    *,
    certificate: Path | None = None,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    files: dict[str, BinaryIO] | None = None,
) -> requests.Response:
    """Send one request; raise `requests.RequestException` where there is no answer of our server.

    `certificate` is the PEM file that the server must show, `token` the one it is to be sent.
    An interrupt ends the waiting for it at once.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send() -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            if certificate is not None:
                session.mount("https://", Pinned(certificate))
                session.verify = False  # by a chain; the fingerprint is checked instead
            return session.request(
                method,
                url,
                headers=headers,
                timeout=timeout_s,
                files=files,
                allow_redirects=False,  # not even a redirect leads to anybody else
            )

    return _in_a_thread(send)


def _in_a_thread(send: Callable[[], requests.Response]) -> requests.Response:
    """Return what `send` returns, or raise what it raises, from a thread of its own.

    What a signal's handler raises comes up in the main thread, wherever that is. Within urllib3 it
    may be in a finalizer, where it is dropped, or in a lock, which is then held for ever. So
    nothing that urllib3 cleans up after leaves the thread: a copy of an answer has its content
    without its connection. Nor is anything waited for that is locked in Python, as the start of a
    `Thread` is: its lock may be open when the interrupt comes, and be opened once more.
    """
    outcome: SimpleQueue[requests.Response | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(copy(send()))
        except requests.RequestException as error:
            outcome.put(type(error)(str(error)))
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            outcome.put(error)

    start_new_thread(run, ())
    found = outcome.get()
    if isinstance(found, BaseException):
        raise found
    return found

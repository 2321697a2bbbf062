"""Sessions of requests that wait for a busy server, carry a token, and mind proxies.

Again are tried, with growing pauses or after what `Retry-After` says: 503 (queue full, worker
starting), 429 (a reverse proxy), and broken connections. Classifying twice does no harm, so POST
is among them.
"""

import ipaddress
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import Retry
from urllib3.exceptions import ReadTimeoutError

from densenet_client.pinned import Pinned

CONNECT_TIMEOUT_S = 5.0  # who does not accept by then will not answer either
_BUSY = (429, 503)
# Pauses of 0, 1, 2, 4, 8 s: longer than a worker of TorchServe takes to start anew.
_BACKOFF_S = 0.5
_JITTER_S = 0.25  # clients that were sent away together should not come back together
_LONGEST_RETRY_AFTER_S = 60
_CONNECTIONS = 64  # kept open; more threads than this open and close one for each request


def server_session(
    retries: int, token: str | None, certificate: Path | None = None
) -> requests.Session:
    """Return a session for one server; `token` goes to no other host, after a redirect neither.

    `certificate` is the PEM file of the one that the server must show.
    """
    session = requests.Session()
    patience = _patience(retries)
    # A server that was there is waited for when it refuses; one that never was is told of at once.
    kind = partial(Pinned, certificate) if certificate else HTTPAdapter
    adapter = kind(max_retries=patience.new(connect=0), pool_maxsize=_CONNECTIONS)

    def answered(*_response: object, **_options: object) -> None:
        adapter.max_retries = patience

    session.hooks["response"] = [answered]
    _mount(session, adapter)
    if token is not None:
        # As `auth`: a plain header would be replaced by what a ~/.netrc has for the host.
        session.auth = _Bearer(token)
    return session


def web_session(retries: int) -> requests.Session:
    """Return a session for images on any host, which knows no token."""
    session = requests.Session()
    _mount(session, HTTPAdapter(max_retries=_patience(retries).new(connect=0)))
    return session


def proxies_for(url: str) -> dict[str, str]:
    """Return what requests needs to reach this machine without a proxy of the environment."""
    host = urlsplit(url).hostname or ""
    return {"no_proxy": host} if _is_this_machine(host) else {}


class _Patience(Retry):
    def increment(self, *arguments: Any, **named: Any) -> Self:  # noqa: ANN401 - handed on
        # A server that did not finish in time is not helped by the same work once more.
        if isinstance(named.get("error"), ReadTimeoutError):
            raise named["error"]
        return super().increment(*arguments, **named)


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _patience(retries: int) -> Retry:
    return _Patience(
        retries,
        other=0,  # like a certificate, which stays what it is
        allowed_methods=None,
        status_forcelist=_BUSY,
        backoff_factor=_BACKOFF_S,
        backoff_jitter=_JITTER_S,
        retry_after_max=_LONGEST_RETRY_AFTER_S,
        raise_on_status=False,  # the last answer has the message
    )


def _mount(session: requests.Session, adapter: HTTPAdapter) -> None:
    session.mount("http://", adapter)
    session.mount("https://", adapter)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified

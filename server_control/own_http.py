"""Requests to our own server: past the proxies of the environment, to nobody but it.

Where it speaks TLS it is known by the very certificate that it was started with, whatever host
name that is for and whoever signed it; a private network needs no authority for its own calls.
"""

from pathlib import Path
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
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
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

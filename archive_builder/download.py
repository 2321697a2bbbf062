"""Download a file whose SHA-256 is known, or leave nothing behind.

The target appears when the hash is right, and only then. A cut transfer starts anew at the
next call: the file is 32 MB.
"""

import hashlib
import sys
from pathlib import Path

import requests

from archive_builder.files import replacing

CONNECT_TIMEOUT_S = 5.0  # without a network the demo weights should not keep one waiting
READ_TIMEOUT_S = 30.0  # between two pieces, not for the whole file
_PIECE_BYTES = 1 << 20


class DownloadError(Exception):
    """The file could not be had: no connection, an error status, a cut transfer."""


class WrongFileError(DownloadError):
    """Something was received, but not the file: its hash is another."""


def download(url: str, target: Path, sha256_prefix: str) -> None:
    """Fetch `url` into `target`; the file's SHA-256 must begin with `sha256_prefix`."""
    with replacing(target) as partial:
        try:
            found = _fetch(url, partial)
        except requests.RequestException as error:
            message = f"{url}: {_reason(error)}"
            raise DownloadError(message) from error
        if not found.startswith(sha256_prefix):
            message = f"{url}: SHA-256 begins with {found[:8]}, not with {sha256_prefix}"
            raise WrongFileError(message)


def _fetch(url: str, partial: Path) -> str:
    """Write the body of `url` to `partial` and return its SHA-256."""
    timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    digest = hashlib.sha256()
    received = 0
    with requests.get(url, stream=True, timeout=timeout) as response, partial.open("wb") as file:
        response.raise_for_status()
        total = int(response.headers.get("Content-Length", 0))
        for piece in response.iter_content(_PIECE_BYTES):
            file.write(piece)
            digest.update(piece)
            received += len(piece)
            _show_progress(url, received, total)
    return digest.hexdigest()


def _show_progress(url: str, received: int, total: int) -> None:
    if sys.stderr.isatty():
        share = f" of {total / 1e6:.1f}" if total else ""
        end = "\n" if received == total else ""
        print(f"\r{url}: {received / 1e6:.1f}{share} MB", end=end, file=sys.stderr, flush=True)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP status {error.response.status_code}"
    # The most specific first: requests derives the first two from ConnectionError.
    reasons = {
        requests.exceptions.SSLError: "the server's certificate is not accepted",
        requests.exceptions.ProxyError: "the proxy does not pass it on",
        requests.exceptions.ChunkedEncodingError: "the transfer was cut",
        requests.ConnectionError: "no connection",
        requests.Timeout: "no answer in time",
    }
    known = (reason for kind, reason in reasons.items() if isinstance(error, kind))
    return next(known, str(error))

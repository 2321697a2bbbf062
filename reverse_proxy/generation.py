"""Which configuration an nginx answers by: each tells its generation on a private socket.

A reload that fails, for an address that is taken, say, fails in nginx's log alone.
"""

import hashlib
import http.client
import socket
from pathlib import Path

_TIMEOUT_S = 1.0


def generation_of(*texts: str) -> str:
    """Return the name of the generation that these texts make."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:16]


def answered_by(path: Path) -> str:
    """Return the generation that answers on the socket; "" for none."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/generation")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

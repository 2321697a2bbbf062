"""A server known by the very certificate that it shows, whatever host name that is for.

For servers whose certificate file is at hand: neither name nor authority is asked about.
"""

import hashlib
import re
import ssl
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Pinned(HTTPAdapter):
    """Connects to nobody who does not show the certificate of the PEM file.

    For requests with `verify=False`: the fingerprint is checked in place of a chain. Raises
    `requests.exceptions.SSLError` where there is no certificate in the file.
    """

    def __init__(self, certificate: Path, **named: Any) -> None:  # noqa: ANN401 - handed on
        self._fingerprint = _fingerprint(certificate)
        super().__init__(**named)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - handed on
        """Have every connection check the fingerprint."""
        # A context of our own: that of urllib3 reads the system's authorities, 20 ms for nothing.
        context = create_urllib3_context(cert_reqs=ssl.CERT_NONE)
        super().init_poolmanager(
            *arguments, assert_fingerprint=self._fingerprint, ssl_context=context, **named
        )


def _fingerprint(certificate: Path) -> str:
    try:
        text = certificate.read_text(encoding="ascii", errors="replace")
        # The file may hold a chain; the server's own certificate comes first.
        pem = _PEM.search(text)
        der = ssl.PEM_cert_to_DER_cert(pem[0] if pem else text)
    except (OSError, ValueError) as error:
        # Also while it is being removed.
        message = f"no certificate to know the server by: {error}"
        raise requests.exceptions.SSLError(message) from error
    return hashlib.sha256(der).hexdigest()

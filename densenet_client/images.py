"""An image in any form -> its bytes, at most `max_bytes` of them; `PredictionError` otherwise."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError

from densenet_client.answers import PredictionError
from densenet_client.transport import CONNECT_TIMEOUT_S, proxies_for

# A path, a text that is a path or an http(s) URL, the encoded bytes, or a file open for reading.
Image = str | os.PathLike[str] | bytes | BinaryIO

_PIECE_BYTES = 1 << 16


def is_url(text: str) -> bool:
    """Tell an http(s) URL from a path."""
    return re.match("https?://", text, re.IGNORECASE) is not None


@dataclass(frozen=True)
class ImageReader:
    """Reads images with one set of limits; `timeout_s` is for the whole of a transfer."""

    session: requests.Session
    timeout_s: float
    max_bytes: int

    def read(self, image: Image) -> bytes:
        """Return the encoded image; an open file is read from where it stands and left open."""
        try:
            if isinstance(image, bytes | bytearray):
                content = bytes(image)
            elif isinstance(image, str) and is_url(image):
                content = self._fetch(image)
            elif isinstance(image, str | os.PathLike):
                with Path(image).open("rb") as file:
                    content = file.read(self.max_bytes + 1)
            else:
                content = image.read(self.max_bytes + 1)
        # requests' own errors are OSErrors too; ValueError is a name with a null byte.
        except (OSError, HTTPError, ValueError) as error:
            raise PredictionError(_reason(error)) from error
        if len(content) > self.max_bytes:
            raise PredictionError(f"more than {self.max_bytes} bytes are not sent")
        return content

    def _fetch(self, url: str) -> bytes:
        deadline = time.monotonic() + self.timeout_s
        timeout = (min(CONNECT_TIMEOUT_S, self.timeout_s), self.timeout_s)
        with self.session.get(
            url, stream=True, timeout=timeout, proxies=proxies_for(url)
        ) as response:
            if not response.ok:
                raise PredictionError(f"it was answered with {response.status_code}, no image")
            content = bytearray()
            # read1 returns with what has arrived, so that a trickle meets the deadline too.
            while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
                content += piece
                if len(content) > self.max_bytes:
                    break
                if time.monotonic() > deadline:
                    raise PredictionError(f"it did not arrive within {self.timeout_s:g} s")
        return bytes(content)


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, HTTPError):
        return "the transfer was cut"
    return getattr(error, "strerror", None) or str(error)

"""`Client`: images in, predictions out, over HTTP."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from densenet_client.answers import (
    Explanation,
    NoServerError,
    Prediction,
    PredictionError,
    error_from,
    explanation_from,
    prediction_from,
)
from densenet_client.images import Image, ImageReader
from densenet_client.ordered import in_order
from densenet_client.transport import (
    CONNECT_TIMEOUT_S,
    proxies_for,
    server_session,
    web_session,
)

DEFAULT_URL = "http://127.0.0.1:8080/predictions/densenet121"
TIMEOUT_S = 60.0
MAX_IMAGE_BYTES = 32 << 20  # max_request_size of config.properties
_PNG = b"\x89PNG\r\n\x1a\n"
_Answer = TypeVar("_Answer", bound=Prediction)


class Client:
    """One server, for as many requests and from as many threads as one likes.

    `url` is where predictions are asked for, `ca` a PEM file with the authority's certificate where
    the system does not know it, `certificate` one with the server's own, by which it is known
    whatever its name; `timeout_s` is how long an answer may take in seconds, `retries` how often a
    request is repeated that met a busy server or a broken connection, and `max_image_bytes` the
    largest image that is read. ValueError tells of a URL, token or certificate that cannot be one.
    As a context manager it closes its connections at the end.

    An image is a path, a URL (a text beginning with http:// or https://, fetched from here), the
    encoded bytes, or a file open for reading. Every method raises `PredictionError`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = 5,
        max_image_bytes: int = MAX_IMAGE_BYTES,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the URL must be like {DEFAULT_URL}, not {url}")
        if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ValueError("the token must be ASCII characters without blanks")
        for file in (ca, certificate):
            if file is not None and not file.is_file():
                raise ValueError(f"no certificate at {file}")
        self.url = url
        self._verify = False if certificate else str(ca) if ca else None
        self._timeout_s = timeout_s
        self._server = server_session(retries, token, certificate)
        self._web = web_session(retries)
        self._images = ImageReader(self._web, timeout_s, max_image_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()
        self._web.close()

    @property
    def explanation_url(self) -> str:
        """Where explanations are asked for; ValueError when `url` does not lead there."""
        before, found, model = self.url.rpartition("/predictions/")
        if not found:
            raise ValueError(f"explanations need a URL like {DEFAULT_URL}, not {self.url}")
        return f"{before}/explanations/{model}"

    def read(self, image: Image) -> bytes:
        """Return the image's encoded bytes, to use them in several calls."""
        return self._images.read(image)

    def predict(
        self, image: Image, *, top_k: int | None = None, min_probability: float | None = None
    ) -> Prediction:
        """Return the class of an image.

        `top_k` asks for that many classes with probabilities, `min_probability` (0 to 1) sets
        from which probability on an image counts as recognised.
        """
        fields = {"top_k": top_k, "min_probability": min_probability}
        return _parsed(prediction_from, self._post(self.url, image, fields))

    def explain(
        self,
        image: Image,
        *,
        top_k: int | None = None,
        min_probability: float | None = None,
        target: str | None = None,
    ) -> Explanation:
        """Return the class of an image and its heat map; of the class `target`, where given."""
        fields = {"top_k": top_k, "min_probability": min_probability, "target": target}
        return _parsed(explanation_from, self._post(self.explanation_url, image, fields))

    def overlay(
        self, image: Image, *, top_k: int | None = None, target: str | None = None
    ) -> bytes:
        """Return a PNG: the central square with the heat map over it.

        `top_k`, up to 10, asks for as many of them side by side, one a class.
        """
        fields = {"top_k": top_k, "target": target}
        response = self._post(self.explanation_url, image, fields, accept="image/png")
        if not response.content.startswith(_PNG):
            raise PredictionError(f"{self.explanation_url} answered with no PNG")
        return response.content

    def predict_many(
        self,
        images: Iterable[Image],
        *,
        concurrency: int = 8,
        top_k: int | None = None,
        min_probability: float | None = None,
    ) -> Iterator[Prediction | PredictionError]:
        """Yield the class of each image, in order, or the `PredictionError` in its place.

        `concurrency` requests run at a time, and no more images than that are taken or in memory.
        """

        def answer(image: Image) -> Prediction | PredictionError:
            try:
                return self.predict(image, top_k=top_k, min_probability=min_probability)
            except PredictionError as error:
                return error

        return in_order(answer, images, concurrency)

    def _post(
        self, url: str, image: Image, fields: dict[str, Any], accept: str = "application/json"
    ) -> requests.Response:
        content = self._images.read(image)
        try:
            response = self._server.post(
                url,
                data={key: str(value) for key, value in fields.items() if value is not None},
                # Without a file name the part would be a text field; the real one is private.
                files={"file": ("image", content)},
                headers={"Accept": accept},
                timeout=(min(CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s),
                proxies=proxies_for(url),
                # With each request: of a session's setting the environment would make nothing.
                verify=self._verify,
            )
        except requests.RequestException as error:
            raise self._failure(error, url) from error
        if not response.ok:
            raise error_from(response)
        return response

    def _failure(self, error: requests.RequestException, url: str) -> PredictionError:
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
            return NoServerError(f"no server at {url}; start one with ./scripts/serve")
        # The most specific first: requests derives the first two from ConnectionError.
        reasons = {
            requests.exceptions.SSLError: f"{url} has no TLS, or no valid certificate",
            requests.exceptions.ProxyError: f"the proxy does not lead to {url}",
            requests.Timeout: f"no answer from {url} within {self._timeout_s:g} s",
            requests.ConnectionError: f"the connection to {url} broke",
        }
        known = (text for kind, text in reasons.items() if isinstance(error, kind))
        return PredictionError(next(known, str(error)))


def _parsed(read: Callable[[Any], _Answer], response: requests.Response) -> _Answer:
    try:
        return read(response.json())
    except (ValueError, KeyError, TypeError) as error:
        message = f"{response.url} is no DenseNet-121: it answered {response.text[:200]!r}"
        raise PredictionError(message) from error

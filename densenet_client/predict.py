"""One image file in, one `Prediction` out, over HTTP."""

from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

import requests

DEFAULT_URL = "http://127.0.0.1:8080/predictions/densenet121"
_TIMEOUT_S = 60.0
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class PredictionError(Exception):
    """The file could not be read, the server not reached, or the image was refused."""


class Prediction(NamedTuple):
    """The class of an image: its WordNet id and its name."""

    class_id: str
    class_name: str


def predict(path: Path, url: str = DEFAULT_URL) -> Prediction:
    """Send the file as form field `file`, as the PyTorch tutorial does, and return its class."""
    try:
        with path.open("rb") as file:
            response = _post(url, file)
    except OSError as error:  # requests' own errors are OSErrors too
        raise PredictionError(_reason(error, url)) from error
    if not response.ok:
        raise PredictionError(f"{response.status_code} {_message(response)}")
    try:
        answer = response.json()
        return Prediction(answer["class_id"], answer["class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise PredictionError(f"{url} is no DenseNet-121: it answered {response.text!r}") from error


def _post(url: str, file: BinaryIO) -> requests.Response:
    with requests.Session() as session:
        # A proxy of the environment reaches other machines, not this one.
        session.trust_env = urlsplit(url).hostname not in _LOOPBACK
        return session.post(url, files={"file": file}, timeout=_TIMEOUT_S)


def _reason(error: OSError, url: str) -> str:
    if isinstance(error, requests.ConnectionError):
        return f"no server at {url}; start one with ./scripts/serve"
    return error.strerror or str(error)


def _message(response: requests.Response) -> str:
    """Return the message of an error in TorchServe's form, or its bare text."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text or response.reason

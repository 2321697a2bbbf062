"""What a server answers, as values: a `Prediction`, an `Explanation` or a `PredictionError`.

The functions that read an answer raise ValueError, KeyError or TypeError for what is none.
"""

from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

import requests


class PredictionError(Exception):
    """No answer to one image: not readable, no server, or refused.

    `status` is the HTTP status and `type` the name of the error in the README's table; both are
    None where the server said nothing. `message` is the reason without the status.
    """

    def __init__(self, message: str, status: int | None = None, type_: str | None = None) -> None:
        super().__init__(message if status is None else f"{status} {message}")
        self.message = message
        self.status = status
        self.type = type_


class NoServerError(PredictionError):
    """Nothing listens at the URL: no other image would be answered either."""


@dataclass(frozen=True)
class Candidate:
    """One of the `top_k` classes; `probability` is 0 to 1.

    `heatmap` is a greyscale PNG of 224 x 224, where explanations were asked for.
    """

    class_id: str
    class_name: str
    probability: float
    heatmap: bytes | None = None


@dataclass(frozen=True)
class Prediction:
    """The class of an image: its WordNet id and name; both None when it was not recognised.

    With `top_k`, `predictions` has the most probable classes, best first, and `probability` (0
    to 1) is that of the first, recognised or not; else they are empty and None.
    """

    class_id: str | None
    class_name: str | None
    probability: float | None = None
    predictions: tuple[Candidate, ...] = ()

    @property
    def recognised(self) -> bool:
        """Whether the image was taken for one of the classes."""
        return self.class_id is not None


@dataclass(frozen=True)
class Explanation(Prediction):
    """A prediction and where the model looked.

    `heatmap` is a greyscale PNG of 224 x 224 over the central square of the image; black is no
    influence, white the greatest.
    """

    heatmap: bytes = field(kw_only=True)


def prediction_from(answer: Any) -> Prediction:  # noqa: ANN401 - whatever JSON holds
    """Read a prediction from the JSON of an answer; keys it does not know are ignored."""
    return Prediction(**_fields(answer))


def explanation_from(answer: Any) -> Explanation:  # noqa: ANN401 - whatever JSON holds
    """Read an explanation from the JSON of an answer."""
    return Explanation(**_fields(answer), heatmap=b64decode(answer["heatmap"], validate=True))


def error_from(response: requests.Response) -> PredictionError:
    """Read an error in TorchServe's form, or take the bare text of the response."""
    try:
        answer = response.json()
        return PredictionError(str(answer["message"]), response.status_code, answer.get("type"))
    except (ValueError, KeyError, TypeError):
        return PredictionError(response.text or response.reason, response.status_code)


def _fields(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON holds
    return {
        "class_id": _text_or_none(answer["class_id"]),
        "class_name": _text_or_none(answer["class_name"]),
        "probability": float(answer["probability"]) if "probability" in answer else None,
        "predictions": tuple(map(_candidate, answer.get("predictions", []))),
    }


def _candidate(entry: Any) -> Candidate:  # noqa: ANN401 - whatever JSON holds
    heatmap = b64decode(entry["heatmap"], validate=True) if "heatmap" in entry else None
    return Candidate(entry["class_id"], entry["class_name"], float(entry["probability"]), heatmap)


def _text_or_none(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")

"""What is sent: good requests of every form, and bad ones, each with the status that it must get.

A case's weight is its share of a hundred requests. Of bad input there is about one in ten: more
than any service sees, less than would make the rate one of refusals.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from archive_builder import MODEL_NAME
from reliability.fuzzing.structures import png

_BOUNDARY = "soak-5f1d"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"
_BINARY = "application/octet-stream"
_JSON = "application/json"
_PREDICTIONS = f"/predictions/{MODEL_NAME}"


@dataclass(frozen=True)
class Case:
    """Requests of one kind; they take turns. `status` is what each of them must be answered."""

    name: str
    weight: int
    status: int
    content_type: str
    bodies: tuple[bytes, ...]
    path: str = _PREDICTIONS


def cases(photographs: Sequence[Path]) -> list[Case]:
    """Return the mix, made of at least two encoded photographs."""
    pictures = tuple(path.read_bytes() for path in photographs)
    texts = [base64.b64encode(picture).decode() for picture in pictures]
    documents = tuple(json.dumps({"instances": list(pair)}).encode() for pair in pairwise(texts))
    pairs = _forms(*({"one": _file(a), "two": _file(b)} for a, b in pairwise(pictures)))
    three = _forms(*({"file": _file(picture), "top_k": "3"} for picture in pictures))
    many = json.dumps({"instances": ["QQ=="] * 1000}).encode()
    explanations = f"/explanations/{MODEL_NAME}"
    return [
        Case("photograph", 62, 200, _BINARY, pictures),
        Case("form with top_k", 15, 200, _FORM, three),
        Case("form of two images", 6, 200, _FORM, pairs),
        Case("JSON of two images", 4, 200, _JSON, documents),
        Case("explanation", 3, 200, _BINARY, pictures, explanations),
        Case("truncated", 2, 422, _BINARY, tuple(each[: len(each) // 2] for each in pictures)),
        Case("no image", 2, 415, _BINARY, (b"GIF87 is a picture, this is none" * 300,)),
        Case("format that is off", 1, 415, _BINARY, (b"%!PS-Adobe-3.0 EPSF-3.0\n" * 100,)),
        Case("decompression bomb", 2, 422, _BINARY, (bomb(),)),
        Case("nothing", 1, 400, _BINARY, (b"",)),
        Case("JSON that is none", 1, 400, _JSON, (b'{"instances": [' * 500,)),
        Case("too many images", 1, 400, _JSON, (many,)),
    ]


def essence(answer: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return an answer without its probabilities and heat maps: what must always be the same."""
    if isinstance(answer, Mapping):
        left_out = {"probability", "heatmap"}
        return {key: essence(value) for key, value in answer.items() if key not in left_out}
    return [essence(each) for each in answer] if isinstance(answer, list) else answer


def bomb() -> bytes:
    """Return a PNG of 30 kB whose header promises 30000 x 30000 pixels."""
    return png(30000, 30000, (b"IDAT", zlib.compress(bytes(30_000_000))))


def _forms(*forms: Mapping[str, Any]) -> tuple[bytes, ...]:
    return tuple(encode_multipart_formdata(form, _BOUNDARY)[0] for form in forms)


def _file(picture: bytes) -> tuple[str, bytes, str]:
    return "photograph.jpg", picture, "image/jpeg"

"""Requests that nothing is wrong with, of every form: their answers must always stay the same."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from reliability.fuzzing.wire import Parameter, Request


@dataclass(frozen=True)
class Neighbour:
    """A good request."""

    name: str
    request: Request


def neighbours(samples: Path) -> list[Neighbour]:
    """Return one of each form, of the project's own pictures."""
    pictures = [path.read_bytes() for path in sorted(samples.glob("*.png"))]
    texts = [base64.b64encode(content).decode() for content in pictures]
    listed = json.dumps({"instances": [{"b64": text} for text in texts[:2]], "top_k": 3})
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": texts[2:3]}
    parts = tuple(
        Parameter(name, "image/png", content)
        for name, content in zip(("one", "two"), pictures[3:5], strict=True)
    )
    length = sum(len(part.value) + 200 for part in parts)
    form = (("content-type", "multipart/form-data; boundary=b"), ("content-length", str(length)))
    explained = (("explain", "True"),)
    return [
        Neighbour("picture", Request.raw(pictures[0], "image/png")),
        Neighbour("list", Request.raw(listed.encode(), "application/json")),
        Neighbour("tensor", Request.raw(json.dumps({"inputs": [tensor]}).encode())),
        Neighbour("form", Request(parts, form)),
        Neighbour("explanation", Request.raw(pictures[5], "image/png", explained)),
    ]

"""An answer in, what is wrong with it out: its status, its form, and that it keeps the contract.

The contract is the service's own description of itself, openapi.yaml, and the error table of the
README as it is written down here.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from archive_builder import MODEL_NAME
from densenet_classifier.openapi import openapi_document
from reliability.fuzzing.cases import Case

# What a request can be told that is wrong with it. 500 and 503 would be the server's own fault.
ALLOWED = frozenset({200, 400, 413, 415, 422})
# Of a probability with the real network, as in tests/server/test_same_answer.py.
TOLERANCE = 0.0001
_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWN = 300  # characters


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    content_type: str
    content: bytes
    weights: str = ""

    def __str__(self) -> str:
        """Return it as a line of a report has it."""
        return f"{self.status} {self.content_type} {self.content[:_SHOWN]!r}"


def faults(case: Case, answer: Answer) -> list[str]:
    """Say what is wrong with the answer to a case."""
    wrong = []
    if answer.status not in ALLOWED:
        wrong.append(f"status {answer.status} is none that a request may be answered with")
    if case.expected is not None and answer.status != case.expected:
        wrong.append(f"status {answer.status} instead of {int(case.expected)}")
    if not answer.weights:
        wrong.append("the header X-Model-Weights is missing")
    return wrong + _form_faults(answer, explains=case.request.explains)


def alike(answer: Answer, other: Answer) -> bool:
    """Tell whether two answers are the same but for what a network's batches do to the digits."""
    if answer == other:
        return True
    heads = [(each.status, each.content_type, each.weights) for each in (answer, other)]
    if heads[0] != heads[1] or answer.content_type != "application/json":
        return False
    return _alike(json.loads(answer.content), json.loads(other.content))


def _alike(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return abs(value - other) <= TOLERANCE
    if isinstance(value, dict) and isinstance(other, dict):
        # A heat map is a picture: its shades follow the digits.
        keys = value.keys() - {"heatmap"}
        same = value.keys() == other.keys()
        return same and all(_alike(value[key], other[key]) for key in keys)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_alike, value, other))
    return value == other


def _form_faults(answer: Answer, *, explains: bool) -> list[str]:
    if answer.content_type == "application/json":
        return list(json_faults(answer.content, answer.status, explains=explains))
    if answer.status != HTTPStatus.OK:
        return [f"an error as {answer.content_type}"]
    if answer.content_type == "image/png":
        good = explains and answer.content.startswith(_PNG)
        return [] if good else ["a picture that nobody asked for"]
    documents = ("text/html; charset=utf-8", *_DESCRIPTIONS)
    good = answer.content_type in documents
    return [] if good else [f"the content type {answer.content_type!r}"]


_DESCRIPTIONS = ("application/openapi+json", "application/vnd.oai.openapi+json")


@lru_cache(maxsize=4096)  # most answers come again and again, word for word
def json_faults(content: bytes, status: int, *, explains: bool) -> tuple[str, ...]:
    """Say what is wrong with an answer in JSON, of any status."""
    try:
        body = json.loads(content, parse_constant=_refuse)
    except ValueError as error:
        return (f"no JSON: {error}",)
    if status != HTTPStatus.OK:
        wrong = _against("RequestError", body)
        code = body.get("code") if isinstance(body, dict) else None
        return wrong if code == status else (*wrong, f"the code {code} with status {status}")
    if isinstance(body, dict) and "engine" in body:
        return ()  # the description of the model
    name = "Explained" if explains else "Predicted"
    return _against(name, body)


def _against(name: str, body: object) -> tuple[str, ...]:
    errors = sorted(_validator(name).iter_errors(body), key=str)
    return tuple(f"{name}: {error.message[:_SHOWN]}" for error in errors)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


@cache
def _validator(name: str) -> Draft202012Validator:
    """Return the judge of a schema, or of the JSON of a response, of the description."""
    document: dict[str, Any] = json.loads(openapi_document(MODEL_NAME))
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    step = "components/schemas/" + name
    if name in document["components"]["responses"]:
        step = f"components/responses/{name}/content/application~1json/schema"
    return Draft202012Validator({"$ref": f"urn:document#/{step}"}, registry=registry)

"""What was found out about each image in, the body of an answer out, in the form that was asked.

An entry is what is known of one image: `class_id` and `class_name` (None where nothing was
recognised), and unless the answer is brief `probability`, `predictions`, `heatmap`. An outcome is
an entry, or what is wrong with the image.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Protocol

from densenet_classifier.errors import RequestError
from densenet_classifier.tensors import TensorRequest, tensor_answer

Entry = dict[str, Any]
Outcome = Entry | RequestError
Answer = tuple[HTTPStatus, dict[str, Any]]


class Form(Protocol):
    """How the outcomes of one request become its answer.

    `tells_probability` is whether an entry's probability is told without being asked for.
    """

    tells_probability: ClassVar[bool]

    def answer(self, outcomes: Sequence[Outcome]) -> Answer:
        """Return status and body of the answer to a request that could be read."""

    def refusal(self, error: RequestError) -> Answer:
        """Return status and body of the answer to a request that could not."""


class SingleForm:
    """One image: its entry, or its error with the error's status."""

    tells_probability: ClassVar[bool] = False

    def answer(self, outcomes: Sequence[Outcome]) -> Answer:
        """Return the one outcome."""
        (outcome,) = outcomes
        if isinstance(outcome, RequestError):
            return self.refusal(outcome)
        return HTTPStatus.OK, outcome

    def refusal(self, error: RequestError) -> Answer:
        """Return the error in TorchServe's own form."""
        return error.status, error.body()


@dataclass(frozen=True)
class ListForm(SingleForm):
    """Several images: `predictions`, an entry or an `error` for each, in their order."""

    names: tuple[str | None, ...]

    def answer(self, outcomes: Sequence[Outcome]) -> Answer:
        """Return the outcomes, each with the name of its image where it had one."""
        named = zip(self.names, outcomes, strict=True)
        return HTTPStatus.OK, {"predictions": [_named(name, each) for name, each in named]}


@dataclass(frozen=True)
class TensorForm:
    """The Open Inference Protocol: an output tensor for each value; errors have its key `error`."""

    tells_probability: ClassVar[bool] = True

    model_name: str
    request: TensorRequest | None = None

    def answer(self, outcomes: Sequence[Outcome]) -> Answer:
        """Return the tensors; an error of the only image is the answer's."""
        if self.request is None:
            raise ValueError("there is no answer to a request that was not read")
        if len(outcomes) == 1 and isinstance(outcomes[0], RequestError):
            return self.refusal(outcomes[0])
        entries = [_named(None, outcome) for outcome in outcomes]
        return HTTPStatus.OK, tensor_answer(self.request, self.model_name, entries)

    def refusal(self, error: RequestError) -> Answer:
        """Return the error in both forms, TorchServe's and the protocol's."""
        return error.status, {**error.body(), "error": str(error)}


def png_text(png: bytes) -> str:
    """Return a PNG as it stands in an answer."""
    return base64.b64encode(png).decode()


def _named(name: str | None, outcome: Outcome) -> Entry:
    entry = {"error": outcome.body()} if isinstance(outcome, RequestError) else outcome
    return entry if name is None else {"name": name, **entry}

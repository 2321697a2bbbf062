"""One answer as TorchServe takes it: status, content and headers, set in the context of a batch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from densenet_classifier.answers import Answer, Form
from densenet_classifier.errors import RequestError
from densenet_classifier.telemetry import NOTHING_SEEN, Seen

JSON = "application/json"
PNG = "image/png"


@dataclass(frozen=True)
class Response:
    """One answer, and what was seen of its request."""

    status: HTTPStatus
    content: str | bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: Seen = NOTHING_SEEN

    @classmethod
    def of(cls, answer: Answer, seen: Seen = NOTHING_SEEN) -> "Response":
        """Return an answer of the package as JSON."""
        status, body = answer
        return cls(status, json.dumps(body), seen=seen)

    @classmethod
    def refused(cls, form: Form, error: RequestError, images: int = 0) -> "Response":
        """Return the answer to a request that is refused, in its own form."""
        status, body = form.refusal(error)
        retry = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return cls(status, json.dumps(body), headers=retry, seen=Seen.refused(error, images))

    def send(self, context: Any, index: int) -> str | bytes:  # noqa: ANN401
        """Set status and headers in the context of a batch; return the content."""
        context.set_response_status(int(self.status), self.status.phrase, index)
        context.set_response_content_type(index, self.content_type)
        for name, value in self.headers.items():
            context.set_response_header(index, name, value)
        return self.content

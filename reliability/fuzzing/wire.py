"""A request as TorchServe's Java side hands it to a worker, through TorchServe's own reader.

The message has a name, a content type and bytes for the body or for each part of a form, and the
request's headers; what the handler sees of them is up to TorchServe's code, which reads them here
as it does in a worker. https://github.com/pytorch/serve, ts/protocol/otf_message_handler.py
"""

import importlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

_BODY = "body"
_END = struct.pack("!i", -1)
_PREDICT = b"I"


@dataclass(frozen=True)
class Parameter:
    """The body, or a part of a form; a plain field of a form has no content type."""

    name: str
    content_type: str
    value: bytes


@dataclass(frozen=True)
class Request:
    """A request as the Java side sends it on, with the headers of the client and its own."""

    parameters: tuple[Parameter, ...]
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def raw(
        cls, body: bytes, content_type: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> "Request":
        """Return a request with a body that is no form."""
        own = (("content-type", content_type), ("content-length", str(len(body))))
        return cls((Parameter(_BODY, content_type, body),), (*own, *headers))

    @property
    def size(self) -> int:
        """Return how many bytes were sent, but for headers."""
        return sum(len(each.value) for each in self.parameters)

    @property
    def contents(self) -> tuple[bytes, ...]:
        """Return the body, or that of each part."""
        return tuple(each.value for each in self.parameters)

    @property
    def explains(self) -> bool:
        """Whether it was sent to /explanations: of two headers the last counts."""
        return dict(self.headers).get("explain") == "True"


def received(requests: Sequence[Request]) -> Any:  # noqa: ANN401
    """Return the batch as TorchServe's worker reads it from its socket."""
    # As handler/sitecustomize.py sets it for a worker.
    with mock.patch.dict(os.environ, TS_DECODE_INPUT_REQUEST="false"):
        _, batch = _reader().retrieve_msg(
            _Socket(_PREDICT + b"".join(map(_encoded, requests)) + _END)
        )
    return batch


@cache
def _reader() -> Any:  # noqa: ANN401
    return importlib.import_module("ts.protocol.otf_message_handler")


class _Socket:
    """What the reader asks of a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def recv(self, size: int) -> memoryview:
        """Return the next bytes."""
        taken, self._content = self._content[:size], self._content[size:]
        return taken


def _encoded(request: Request) -> bytes:
    headers = b"".join(_text(name) + _text(value) for name, value in request.headers)
    parameters = b"".join(
        _text(each.name) + _text(each.content_type) + _counted(each.value)
        for each in request.parameters
    )
    return _text("fuzz") + headers + _END + parameters + _END


def _text(text: str) -> bytes:
    return _counted(text.encode(errors="replace"))


def _counted(content: bytes) -> bytes:
    return struct.pack("!i", len(content)) + content

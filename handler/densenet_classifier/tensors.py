"""The Open Inference Protocol, version 2, over HTTP: a request's tensor in, tensors of answers out.

https://github.com/kserve/open-inference-protocol, with the binary tensor data extension for
requests. There is one input, of any name: BYTES, an image an element, as base64 in `data` or, in
binary data, also the image itself. The outputs have the images as their first dimension; what an
image has no value for (not recognised, an error) is an empty text or 0.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from densenet_classifier.documents import MAX_NAME, Part, decode_base64, require_few
from densenet_classifier.errors import InvalidDocumentError, NoImageError, RequestError, shown
from densenet_classifier.formats import format_of
from densenet_classifier.options import Options

_LENGTH = struct.Struct("<I")  # before each element of a binary BYTES tensor

# Output -> datatype. Those of the second row have a second dimension, `top_k`.
OUTPUTS = {
    "class_id": "BYTES", "class_name": "BYTES", "probability": "FP32",
    "top_k_class_id": "BYTES", "top_k_class_name": "BYTES", "top_k_probability": "FP32",
    "heatmap": "BYTES", "top_k_heatmap": "BYTES",
    "error": "BYTES",
}  # fmt: skip
_ALWAYS = ("class_id", "class_name", "probability")  # the others where an image has a value
_EMPTY = {"BYTES": "", "FP32": 0.0}
_MAX_DIMENSIONS = 8  # an image an element needs one
_CANDIDATE = "top_k_"

Entry = dict[str, Any]


@dataclass(frozen=True)
class TensorRequest:
    """What a request of the protocol carries, and what its answer has to repeat."""

    parts: tuple[Part, ...]
    options: Options
    request_id: str | None
    outputs: tuple[str, ...]  # by name; none named means all there are


def is_tensor_request(document: object) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a decoded JSON document is a request of this protocol."""
    return isinstance(document, Mapping) and "inputs" in document


def read_tensors(document: Mapping[str, Any], binary: bytes = b"") -> TensorRequest:
    """Read a request; `binary` is what followed the JSON document in the body."""
    match document["inputs"]:
        case [{"datatype": "BYTES", "shape": [*shape]} as tensor]:
            pass
        case _:
            message = "'inputs' must hold one tensor with the datatype BYTES and a shape."
            raise InvalidDocumentError(message)
    values = [_mapping(tensor), _mapping(document)]
    size = values[0].get("binary_data_size")
    parts = _inline(tensor.get("data")) if size is None else _binary(binary, size)
    if not parts:
        raise NoImageError("The tensor of images is empty.")
    if not _fits(shape, len(parts)):
        message = f"The shape of the tensor does not fit its {len(parts)} elements."
        raise InvalidDocumentError(message)
    request_id = document.get("id")
    if isinstance(request_id, str) and len(request_id) > MAX_NAME:
        message = f"The id may have {MAX_NAME} characters, not {len(request_id)}."
        raise InvalidDocumentError(message)
    return TensorRequest(
        parts,
        Options.from_mapping(values[1]).overriding(Options.from_mapping(values[0])),
        request_id if isinstance(request_id, str) else None,
        _requested(document.get("outputs")),
    )


def tensor_answer(
    request: TensorRequest, model_name: str, entries: Sequence[Entry]
) -> dict[str, Any]:
    """Return the answer whose outputs hold one value, or one row of `top_k` values, an entry."""
    columns = {name: [_value(entry, name) for entry in entries] for name in OUTPUTS}
    names = request.outputs or tuple(
        name
        for name, column in columns.items()
        if name in _ALWAYS or any(value is not None for value in column)
    )
    outputs = [_tensor(name, columns[name]) for name in names]
    identity = {} if request.request_id is None else {"id": request.request_id}
    return {"model_name": model_name, **identity, "outputs": outputs}


def _mapping(holder: Mapping[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters")
    return dict(parameters) if isinstance(parameters, Mapping) else {}


def _fits(shape: list[Any], elements: int) -> bool:
    return (
        len(shape) <= _MAX_DIMENSIONS
        and all(type(side) is int and 0 < side <= elements for side in shape)
        and math.prod(shape) == elements
    )


def _requested(outputs: object) -> tuple[str, ...]:
    if outputs is None:
        return ()
    items = outputs if isinstance(outputs, list) else [None]
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if not all(isinstance(name, str) and name in OUTPUTS for name in names):
        raise InvalidDocumentError(f"'outputs' must name some of {', '.join(OUTPUTS)}.")
    return tuple(dict.fromkeys(str(name) for name in names))


def _inline(data: object) -> tuple[Part, ...]:
    if not isinstance(data, list):
        raise InvalidDocumentError("The tensor has no 'data', a list of base64 texts.")
    elements = _flat(data)
    require_few(len(elements))
    return tuple(_part(text) for text in elements)


def _flat(data: list[Any]) -> list[Any]:
    """Return the elements of a list that the protocol allows to be nested like the shape."""
    for _ in range(_MAX_DIMENSIONS):
        if not data or not all(isinstance(item, list) for item in data):
            break
        require_few(len(data))
        data = [item for row in data for item in row]
    return data


def _part(text: object) -> Part:
    if not isinstance(text, str):
        return Part(InvalidDocumentError("An element of the tensor is no base64 text."))
    try:
        return Part(decode_base64(text))
    except RequestError as error:
        return Part(error)


def _binary(content: bytes, size: object) -> tuple[Part, ...]:
    if not isinstance(size, int) or size != len(content):
        message = f"binary_data_size is {shown(size)}; {len(content)} bytes followed the JSON."
        raise InvalidDocumentError(message)
    parts: list[Part] = []
    at = 0
    while at < len(content):
        require_few(len(parts) + 1)
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack(content[at:start].ljust(_LENGTH.size, b"\xff"))[0]
        if at > len(content):
            raise InvalidDocumentError("The binary data ends within an element.")
        element = content[start:at]
        parts.append(
            Part(element) if format_of(element) else _part(element.decode("ascii", "replace"))
        )
    return tuple(parts)


def _value(entry: Entry, name: str) -> Any:  # noqa: ANN401
    if name == "error":
        return entry["error"]["message"] if "error" in entry else None
    if not name.startswith(_CANDIDATE):
        return entry.get(name)
    key = name.removeprefix(_CANDIDATE)
    values = [candidate.get(key) for candidate in entry.get("predictions", [])]
    return None if None in values or not values else values


def _tensor(name: str, column: list[Any]) -> dict[str, Any]:
    datatype = OUTPUTS[name]
    empty = _EMPTY[datatype]
    if not name.startswith(_CANDIDATE):
        shape = [len(column)]
        data = [empty if value is None else value for value in column]
    else:
        width = max((len(row) for row in column if row), default=0)
        shape = [len(column), width]
        data = [value for row in column for value in (row or [empty] * width)]
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}

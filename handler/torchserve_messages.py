"""TorchServe's rows and headers in, a plain `Request` out.

A row holds a form's parts and a query's fields by name, or the raw body under `body`: bytes, or
where TorchServe decodes (`sitecustomize.py` keeps it from doing so) text where text/* was declared
and the document where JSON was. The headers are the client's, in
its own spelling, TorchServe's `explain`, and under each part's name the type of that part.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from densenet_classifier.answers import ListForm, SingleForm, TensorForm
from densenet_classifier.documents import MAX_NAME, Part, read_document, require_few_values
from densenet_classifier.errors import (
    DuplicatePartError,
    InvalidDocumentError,
    NoImageError,
    RequestError,
)
from densenet_classifier.formats import format_of
from densenet_classifier.negotiation import preferred
from densenet_classifier.options import OPTION_NAMES, Options
from densenet_classifier.request import Request
from densenet_classifier.tensors import is_tensor_request, read_tensors
from torchserve_responses import JSON, PNG

Row = Mapping[str, Any]
Headers = Mapping[str, Any]

RAW_BODY = "body"  # the name under which TorchServe passes a body that is no form
# The tutorial's name of the form field, and TorchServe's.
IMAGE_FIELDS = ("file", "data")

# What a form's part may take beside its content, in bytes: the boundary (at most 70, RFC 2046)
# and its headers, with a file name of up to 255 bytes on Linux, thrice that where it is quoted.
# The part's own name comes on top.
PART_OVERHEAD = 1024

_HEAD = 64  # bytes of a body that tell what it is
_BEFORE_JSON = b"\xef\xbb\xbf\xfe\xff\0 \t\r\n"

_WHAT_TO_DO = (
    "POST an image as the body or as form field 'file'. GET with 'Accept: text/html' answers a "
    "page to try it in, with 'Accept: application/openapi+json' the description of all requests."
)


def asks_for_description(row: Row, headers: Headers) -> bool:
    """Tell whether this is TorchServe's own `GET /models/{name}?customized=true`.

    TorchServe marks it with the header `describe` and an empty row. Where a client sends the
    header with its request, the row has a body, and the body is answered.
    """
    return not row and headers.get("describe") == "True"


def asks_for_document(row: Row, headers: Headers, offered: Sequence[str]) -> str:
    """Return which of the media types is asked for where no image is sent: GET, or as good as."""
    nothing = set(row) == {RAW_BODY} and row[RAW_BODY] in (b"", "")
    return preferred(header(headers, "accept"), offered) if nothing else offered[0]


def read_request(row: Row, headers: Headers, model_name: str) -> Request:
    """Read one request. What is wrong with it becomes its `error`; nothing is raised."""
    request = Request(SingleForm())
    try:
        request = _read_images(row, headers, model_name)
        return _read_wishes(request, row, headers)
    except RequestError as error:
        return replace(request, error=error)


def header(headers: Headers, name: str) -> str:
    """Return the client's header, however it spells its name; "" where there is none."""
    values = (value for key, value in headers.items() if key.lower() == name)
    return next((value for value in values if isinstance(value, str)), "")


def _length(headers: Headers, name: str) -> int | None:
    """Return the number of bytes that a header tells."""
    text = header(headers, name)
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _read_images(row: Row, headers: Headers, model_name: str) -> Request:
    """Return the images of a form or of the body.

    Raises `NoImageError`, `DuplicatePartError` or `InvalidDocumentError`.
    """
    _require_all_parts(row, headers)
    names = _file_names(row, headers)
    if names and names != [RAW_BODY]:
        parts = [_part(row[name], name) for name in names]
        named = tuple(part.name for part in parts)
        return Request(ListForm(named) if len(parts) > 1 else SingleForm(), parts)
    if RAW_BODY in row:
        return _read_body(row[RAW_BODY], headers, model_name)
    arrived = f"the form fields {_shown(list(row))}" if row else "no form field"
    raise NoImageError(f"No image in the request: {arrived} arrived. {_WHAT_TO_DO}")


def _read_body(body: object, headers: Headers, model_name: str) -> Request:
    if not isinstance(body, bytes | bytearray | str):
        return _read_document(body, b"", model_name)
    content = _as_bytes(body)
    if not content:
        raise NoImageError(f"No image in the request: its body has 0 bytes. {_WHAT_TO_DO}")
    # Behind a byte order mark, and in UTF-16 and UTF-32, too: `json.loads` knows them.
    if format_of(content) or bytes(content[:_HEAD]).lstrip(_BEFORE_JSON)[:1] not in (b"{", b"["):
        return Request(SingleForm(), [Part(content)])
    # The binary tensor data extension tells in a header where its JSON ends.
    end = _length(headers, "inference-header-content-length")
    require_few_values(content[:end])
    try:
        document = json.loads(content[:end])
    except json.JSONDecodeError as error:
        message = f"The body looks like JSON and is none: {error}."
        raise InvalidDocumentError(message) from error
    # Not UTF-8, a number of thousands of digits, or too deep.
    except (ValueError, RecursionError) as error:
        message = (
            "The body looks like JSON and is none that can be read: it is not UTF-8, is too deep, "
            "or has a number of too many digits."
        )
        raise InvalidDocumentError(message) from error
    return _read_document(document, b"" if end is None else bytes(content[end:]), model_name)


def _read_document(document: object, binary: bytes, model_name: str) -> Request:
    if is_tensor_request(document):
        try:
            tensors = read_tensors(document, binary)
        except RequestError as error:
            return Request(TensorForm(model_name), error=error)
        return Request(TensorForm(model_name, tensors), tensors.parts, tensors.options)
    content = read_document(document)
    names = tuple(part.name for part in content.parts)
    form = ListForm(names) if content.is_list else SingleForm()
    return Request(form, content.parts, content.options)


def _read_wishes(request: Request, row: Row, headers: Headers) -> Request:
    """Add what form fields, the query and headers ask for. Raises `InvalidOptionError`."""
    fields = {name: _as_text(row[name]) for name in OPTION_NAMES if name in row}
    options = Options.from_mapping(fields).overriding(request.options)
    explain = headers.get("explain") == "True"
    as_picture = explain and preferred(header(headers, "accept"), (JSON, PNG)) == PNG
    return replace(request, options=options, explain=explain, as_picture=as_picture)


def _require_all_parts(row: Row, headers: Headers) -> None:
    """Notice that TorchServe kept only the last of several parts of one name."""
    if not header(headers, "content-type").lower().startswith("multipart/form-data"):
        return
    if not row:
        message = "No part of the form could be read: does its boundary fit the header's?"
        raise NoImageError(message)
    length = _length(headers, "content-length") or 0
    arrived = sum(_size(value) for value in row.values())
    names = sum(_size(name) for name in row)
    if length > arrived + names + PART_OVERHEAD * (len(row) + 1):
        message = (
            f"Of {length} bytes only {arrived} arrived, in the parts {_shown(list(row))}: of "
            "several parts with one name the last wins. Give each part a name of its own."
        )
        raise DuplicatePartError(message)


def _size(value: object) -> int:
    """Return how many bytes something was sent as; about, where TorchServe decoded its JSON."""
    if not isinstance(value, bytes | bytearray | str):
        value = json.dumps(value, ensure_ascii=False)
    return len(_as_bytes(value))


def _file_names(row: Row, headers: Headers) -> list[str]:
    """Return the names of what is sent as a file, without inputs that were left empty."""
    fields = [name for name in row if name not in OPTION_NAMES]
    files = [name for name in fields if _is_file(row[name], headers.get(name))]
    # Over gRPC nothing declares a type.
    files = files or [name for name in fields if name in IMAGE_FIELDS]
    # A browser sends a part for a file input that was left empty.
    return [name for name in files if row[name]] or files[:1]


def _is_file(value: object, declared: object) -> bool:
    # TorchServe lists a part's content type under the part's name: a plain field has none, a file
    # always one, which TorchServe supplies where the client did not.
    if not isinstance(declared, Mapping):
        # A header of the request that is called like the part hides it.
        return _is_image(value)
    if declared.get("content-type"):
        return True
    # A plain field may hold an image too, or a text that begins like one, as "BMW" does. Text
    # holds no NUL; the header of every image does.
    return _is_image(value) and b"\0" in value[:_HEAD]


def _is_image(value: object) -> TypeGuard[bytes | bytearray]:
    return isinstance(value, bytes | bytearray) and format_of(value) is not None


def _part(value: object, name: str) -> Part:
    if len(name) > MAX_NAME:
        message = f"The name of a part may have {MAX_NAME} characters, not {len(name)}."
        return Part(InvalidDocumentError(message), name[:MAX_NAME])
    if isinstance(value, bytes | bytearray | str):
        return Part(_as_bytes(value), name)
    message = "A part of the form is a JSON document. Send the image itself as a part."
    return Part(InvalidDocumentError(message), name)


def _as_bytes(value: bytes | bytearray | str) -> bytes | bytearray:
    # TorchServe decodes what is declared text/* and is valid UTF-8.
    return value.encode(errors="replace") if isinstance(value, str) else value


def _as_text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else value


def _shown(names: Sequence[str]) -> str:
    """Return names that a client chose, as many and as long as a message can bear."""
    shown = [name[:40] for name in names[:8]]
    return ", ".join(shown if len(names) <= len(shown) else [*shown, "..."])

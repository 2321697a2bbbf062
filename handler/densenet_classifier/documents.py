"""A JSON document in, the images and options it carries out; one form a client.

- `{"instances": [image, ...]}` (TensorFlow Serving, KServe V1) or a plain list of images;
- one image as an object.

An image is base64 text, a data URL, or an object with such a text under `b64`, `data` or
`image_bytes`, or with `{"b64": ...}` under one of the latter two; the object may carry a `name`.
What is wrong with the document is raised as `InvalidDocumentError`; what is wrong with one image
of a list stays in that image's place.
"""

import base64
import binascii
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densenet_classifier.errors import (
    InvalidDocumentError,
    NoImageError,
    RequestError,
    TooManyImagesError,
)
from densenet_classifier.options import NO_OPTIONS, Options
from densenet_classifier.settings import MAX_IMAGES

IMAGE_KEYS = ("b64", "data", "image_bytes")
MAX_NAME = 255  # characters of what the answer repeats, so that nobody's name fills it
_ACCEPTED = (
    'Send {"instances": [{"b64": "..."}, ...]}, a list of base64 texts, one object {"b64": '
    "\"...\"}, or the image itself, as the body or as form field 'file'."
)
# RFC 4648, section 5: the alphabet for URLs differs in these two. What breaks lines is left out:
# splitting there would make a string of each line, and there may be millions.
_STANDARD_ALPHABET = str.maketrans("-_", "+/", string.whitespace)
# What a document may have of the characters before its values: an image of MAX_IMAGES needs a few,
# and a body of 32 MiB could hold 16 million values, a gigabyte.
MAX_VALUES = 100_000


@dataclass(frozen=True)
class Part:
    """One image of a request as it arrived: its bytes, or what is wrong with it, and its name."""

    content: bytes | bytearray | RequestError
    name: str | None = None


@dataclass(frozen=True)
class Document:
    """What a JSON document carries; `is_list` tells whether the answer is a list as well."""

    parts: tuple[Part, ...]
    options: Options
    is_list: bool


def read_document(document: object) -> Document:
    """Read a decoded JSON document."""
    if isinstance(document, list):
        return Document(_parts(document), NO_OPTIONS, is_list=True)
    if isinstance(document, Mapping) and "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise InvalidDocumentError(f"'instances' is no list. {_ACCEPTED}")
        return Document(_parts(instances), _options(document), is_list=True)
    if isinstance(document, Mapping) and any(key in document for key in IMAGE_KEYS):
        return Document((_part(document),), _options(document), is_list=False)
    raise InvalidDocumentError(f"The JSON document has none of the known forms. {_ACCEPTED}")


def require_few(images: int) -> None:
    """Raise `TooManyImagesError` before more images are read than any server would accept."""
    if images > MAX_IMAGES:
        message = f"{images} images arrived; no server accepts more than {MAX_IMAGES}."
        raise TooManyImagesError(message)


def require_few_values(text: bytes | bytearray) -> None:
    """Raise `InvalidDocumentError` for JSON that is too large when it is decoded."""
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        message = f"The JSON document has more than {MAX_VALUES} values, lists and objects."
        raise InvalidDocumentError(message)


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 text, in one of two alphabets, also broken into lines.

    A data URL is accepted as well. Raises `InvalidDocumentError`.
    """
    if text.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.endswith(";base64"):
            raise InvalidDocumentError("The data URL is not one of base64.")
    text = text.translate(_STANDARD_ALPHABET)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidDocumentError("The image is not valid base64.") from error


def _options(document: Mapping[str, Any]) -> Options:
    """Read options beside the images, or from `parameters`, as KServe's clients send them."""
    parameters = document.get("parameters")
    nested = parameters if isinstance(parameters, Mapping) else {}
    return Options.from_mapping(document).overriding(Options.from_mapping(nested))


def _parts(instances: list[Any]) -> tuple[Part, ...]:
    if not instances:
        raise NoImageError(f"The list of images is empty. {_ACCEPTED}")
    require_few(len(instances))
    return tuple(_part(instance) for instance in instances)


def _part(instance: object) -> Part:
    name = instance.get("name") if isinstance(instance, Mapping) else None
    if not isinstance(name, str):
        name = None
    elif len(name) > MAX_NAME:
        message = f"The name of an image may have {MAX_NAME} characters, not {len(name)}."
        return Part(InvalidDocumentError(message))
    try:
        return Part(decode_base64(_text(instance)), name)
    except RequestError as error:
        return Part(error, name)


def _text(instance: object) -> str:
    """Return the base64 text of one image."""
    if isinstance(instance, Mapping):
        keys = [key for key in IMAGE_KEYS if key in instance]
        if len(keys) == 1:
            value = instance[keys[0]]
            instance = value.get("b64") if isinstance(value, Mapping) else value
    if isinstance(instance, str):
        return instance
    expected = " or ".join(f"{{'{key}': ...}}" for key in IMAGE_KEYS)
    raise InvalidDocumentError(f"An image must be base64 text, or an object {expected}.")

"""Seed and number in, one case out: always the same one.

A case is one request with at least one thing wrong about it, or nothing at all: a file as it is,
which has to be accepted or refused by its format alone.
"""

import json
import random
import struct
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from reliability.fuzzing import amplified
from reliability.fuzzing.documents import document
from reliability.fuzzing.forms import CONTENT_TYPES, form, headers
from reliability.fuzzing.mutations import mutate
from reliability.fuzzing.seeds import Seed, gather
from reliability.fuzzing.wire import Request

_ONE_IN_AMPLIFIED = 500  # each may take a second


@dataclass(frozen=True)
class Case:
    """One request; `expected` is the status where it is known beforehand."""

    number: int
    kind: str
    request: Request
    expected: HTTPStatus | None = None


class Cases:
    """The cases of one seed."""

    def __init__(self, seed: int, assets: Path | None = None, *, amplify: bool = True) -> None:
        self._seed = seed
        self._files = gather(assets)
        self._off = [file for file in self._files if not file.accepted]
        self._amplify = amplify

    def __getitem__(self, number: int) -> Case:
        """Return a case by its number, which may be any."""
        # As text: not all that `Random` takes gives different states, and none a platform's own.
        generator = random.Random(f"{self._seed}/{number}")  # noqa: S311
        kind = generator.random()
        if self._amplify and generator.randrange(_ONE_IN_AMPLIFIED) == 0:
            return self._amplified(generator, number)
        if kind < 0.1:
            return self._as_it_is(generator, number)
        if kind < 0.65:
            return self._mutated(generator, number)
        if kind < 0.85:
            return self._document(generator, number)
        request = form(generator, self._images(generator))
        return Case(number, "form", request)

    def _as_it_is(self, generator: random.Random, number: int) -> Case:
        file = generator.choice(self._off if generator.random() < 0.8 else self._files)
        request = Request.raw(file.content, generator.choice(CONTENT_TYPES[:4]))
        expected = None if file.accepted else HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return Case(number, f"{_group(file)} as it is", request, expected)

    def _mutated(self, generator: random.Random, number: int) -> Case:
        file = generator.choice(self._files)
        content = mutate(generator, file.content, generator.choice(self._files).content)
        request = Request.raw(content, generator.choice(CONTENT_TYPES), headers(generator))
        return Case(number, f"{_group(file)} mutated", request)

    def _document(self, generator: random.Random, number: int) -> Case:
        content = document(generator, self._images(generator))
        declared = generator.choice(("application/json", "application/json", "", "text/plain"))
        if generator.random() < 0.15:
            return Case(number, "document with binary data", self._binary(generator))
        return Case(number, "document", Request.raw(content, declared, headers(generator)))

    def _binary(self, generator: random.Random) -> Request:
        """Return a tensor whose elements follow the document as they are."""
        elements = self._images(generator)
        binary = b"".join(struct.pack("<I", len(each)) + each for each in elements)
        size = generator.choice((len(binary), len(binary), 0, -1, len(binary) + 1))
        tensor = {
            "name": "image",
            "shape": [len(elements)],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": size},
        }
        text = json.dumps({"inputs": [tensor]}).encode()
        end = generator.choice((len(text), len(text), len(text) - 1, 10**15))
        if generator.random() < 0.3:
            binary = mutate(generator, binary, b"")
        own = ("Inference-Header-Content-Length", str(end))
        body = text + binary
        return Request.raw(body, "application/octet-stream", (own, *headers(generator)))

    def _amplified(self, generator: random.Random, number: int) -> Case:
        if generator.random() < 0.3:
            declared = generator.choice(("application/json", "", "text/plain"))
            request = Request.raw(amplified.document(generator), declared)
            return Case(number, "amplified document", request)
        name, make = generator.choice(list(amplified.FILES.items()))
        return Case(number, f"amplified: {name}", Request.raw(make(generator)))

    def _images(self, generator: random.Random) -> list[bytes]:
        files = generator.choices(self._files, k=generator.randint(1, 3))
        other = partial(generator.choice, self._files)
        return [
            file.content
            if generator.random() < 0.3
            else mutate(generator, file.content, other().content)
            for file in files
        ]


def _group(file: Seed) -> str:
    return file.format if file.accepted else "format that is off"

"""Bytes in, the same bytes damaged out: what happens to files, and what fuzzers have found to hurt.

Each mutation takes the generator that decides everything; equal generators give equal bytes.
"""

import random
from collections.abc import Callable

from reliability.fuzzing.structures import damage_structure

Mutation = Callable[[random.Random, bytes], bytes]

# Borders of signed and unsigned numbers, where readers of headers go wrong.
_INTERESTING = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 100, 127, 128, 129, 254, 255, 256, 257, 1000,
    1024, 4096, 32767, 32768, 65534, 65535, 65536, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
)  # fmt: skip
_HEADER = 128  # bytes in which most of the numbers stand
_MOST_MUTATIONS = 4


def mutate(generator: random.Random, content: bytes, other: bytes) -> bytes:
    """Return the content with one to four mutations; `other` is what a splice takes from."""
    if generator.random() < 0.4:
        content = damage_structure(generator, content)
    if generator.random() < 0.1:
        content = _splice(generator, content, other)
    for _ in range(generator.randrange(_MOST_MUTATIONS)):
        content = generator.choice(_MUTATIONS)(generator, content)
    return content


def flip_bits(generator: random.Random, content: bytes) -> bytes:
    """Turn one to eight bits over."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 8) if content else 0):
        changed[_place(generator, content)] ^= 1 << generator.randrange(8)
    return bytes(changed)


def truncate(generator: random.Random, content: bytes) -> bytes:
    """Keep what stands before some place."""
    return content[: _place(generator, content)]


def _replace_byte(generator: random.Random, content: bytes) -> bytes:
    return _overwrite(content, _place(generator, content), generator.randbytes(1))


def _write_interesting(generator: random.Random, content: bytes) -> bytes:
    """Write a number of one, two, four or eight bytes, of either order."""
    size = generator.choice((1, 2, 2, 4, 4, 8))
    number = generator.choice(_INTERESTING)
    number = -number % 256**size if generator.random() < 0.2 else number % 256**size
    order = "big" if generator.random() < 0.5 else "little"
    return _overwrite(content, _place(generator, content), number.to_bytes(size, order))


def _delete_block(generator: random.Random, content: bytes) -> bytes:
    start, end = _block(generator, content)
    return content[:start] + content[end:]


def _repeat_block(generator: random.Random, content: bytes) -> bytes:
    start, end = _block(generator, content)
    times = generator.choice((1, 1, 2, 3, 50))
    return content[:end] + content[start:end] * times + content[end:]


def _move_block(generator: random.Random, content: bytes) -> bytes:
    start, end = _block(generator, content)
    rest = content[:start] + content[end:]
    at = _place(generator, rest)
    return rest[:at] + content[start:end] + rest[at:]


def _insert_noise(generator: random.Random, content: bytes) -> bytes:
    at = _place(generator, content)
    return content[:at] + generator.randbytes(generator.choice((1, 2, 4, 64, 500))) + content[at:]


def _fill_block(generator: random.Random, content: bytes) -> bytes:
    start, end = _block(generator, content)
    return (
        content[:start] + bytes([generator.choice((0, 255, 127))]) * (end - start) + content[end:]
    )


def _append(generator: random.Random, content: bytes) -> bytes:
    return content + generator.randbytes(generator.choice((1, 100, 3000)))


def _splice(generator: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(generator, content)] + other[_place(generator, other) :]


_MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, flip_bits, truncate, _replace_byte, _write_interesting, _write_interesting,
    _write_interesting, _delete_block, _repeat_block, _move_block, _insert_noise, _fill_block,
    _append,
)  # fmt: skip


def _place(generator: random.Random, content: bytes) -> int:
    """Return an index of the content, 0 where it is empty; every other time in the header."""
    size = min(len(content), _HEADER) if generator.random() < 0.5 else len(content)
    return generator.randrange(size) if size else 0


def _block(generator: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(generator, content)
    return start, min(len(content), start + generator.choice((1, 2, 4, 8, 16, 64, 512, 4096)))


def _overwrite(content: bytes, at: int, what: bytes) -> bytes:
    return content[:at] + what[: len(content) - at] + content[at + len(what) :]

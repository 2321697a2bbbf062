"""Documents that no client of good will would send: any JSON, but with the keys that matter."""

import random
from collections.abc import Sequence
from typing import Any

_SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 10**30, 0.5, float("nan"), float("inf"), "", "BYTES", "5",
    "QUJD", "QUJD\n", "#", "data:image/png;base64,QUJD", "data:", "0", "\ud800", "x" * 99,
]  # fmt: skip
_OPTIONS = ["top_k", "min_probability", "target"]


def any_json(generator: random.Random, keys: Sequence[str], depth: int = 4) -> Any:  # noqa: ANN401
    """Return a value as `json.loads` might, of at most this depth."""
    kind = generator.random() if depth else 1.0
    size = generator.randrange(4)
    if kind < 0.3:
        return [any_json(generator, keys, depth - 1) for _ in range(size)]
    if kind < 0.75:
        names = generator.choices([*keys, *keys, *_OPTIONS, "other"], k=size + 1)
        return {name: any_json(generator, keys, depth - 1) for name in names}
    return generator.choice(_SCALARS)


def nested(depth: int) -> object:
    """Return a list in a list in a list."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value

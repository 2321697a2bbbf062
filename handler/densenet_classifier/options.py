"""What a request may ask for beside its images: plain values in, one frozen record out.

A value may be text (form field, query) or a number (JSON). Whatever else it is, or a number out
of range, is an `InvalidOptionError` that names the range.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from densenet_classifier.errors import InvalidOptionError, shown

# Not all that `float` reads: no underscores, no words, no other digits than ASCII's.
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)

MAX_TOP_K = 1000  # the classes of ImageNet-1k; a model with fewer answers all it has
MAX_HEAT_MAPS_OF_REQUEST = 64  # so that an answer stays small, and soon to be had
MAX_HEAT_MAPS = 10  # of one image, whose heat maps are a few kilobytes each


@dataclass(frozen=True)
class Options:
    """The options of one request; None where it does not say.

    top_k: how many of the most probable classes are wanted, 1 to 1000.
    min_probability: the probability from which on a class counts as recognised, 0 to 1.
    target: id of the class whose heat map is wanted.
    """

    top_k: int | None = None
    min_probability: float | None = None
    target: str | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Options":
        """Read the options among `values`; other keys are ignored, None means not given."""
        top_k, least, target = (values.get(name) for name in OPTION_NAMES)
        return cls(
            top_k=None if top_k is None else _top_k(top_k),
            min_probability=None if least is None else _min_probability(least),
            target=None if target is None else _target(target),
        )

    def overriding(self, other: "Options") -> "Options":
        """Return these options, and where one is not given, that of `other`."""
        return replace(
            other, **{name: each for name, each in vars(self).items() if each is not None}
        )


NO_OPTIONS = Options()
OPTION_NAMES = tuple(field.name for field in fields(Options))


def _top_k(value: object) -> int:
    number = _number(value)
    if number is None or not number.is_integer() or not 1 <= number <= MAX_TOP_K:
        message = f"top_k must be a whole number from 1 to {MAX_TOP_K}, not {shown(value)}."
        raise InvalidOptionError(message)
    return int(number)


def _min_probability(value: object) -> float:
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        message = f"min_probability must be a number from 0 to 1, not {shown(value)}."
        raise InvalidOptionError(message)
    return number


def _target(value: object) -> str:
    if not isinstance(value, str) or not value:
        message = f"target must be the id of a class, like n02124075, not {shown(value)}."
        raise InvalidOptionError(message)
    return value


def _number(value: object) -> float | None:
    # A bool is an int to isinstance; `"top_k": true` is a mistake all the same.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return None

"""Judged photographs -> the figures of a report; shares and probabilities are 0 to 1."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.outcomes import Judged

_Z = 1.959964  # of the normal distribution: 95 % lie within so many standard deviations


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (1927), which is also right near 0 and 1.

        Photographs are taken for independent draws: it tells what another such set would give,
        not what another kind of photographs would.
        """
        share, total, square = self.value, self.total, _Z**2
        scale = 1 + square / total
        middle = (share + square / (2 * total)) / scale
        half = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / scale
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Confusion:
    """How often photographs of one class were taken for another, and the first of them."""

    label: str
    answer: str
    answer_name: str
    count: int
    example: Path


@dataclass(frozen=True)
class Agreement:
    """How near the answers are to the reference's.

    `largest_change` and `mean_change` are of the probability of the class answered.
    """

    share: Share
    largest_change: float
    mean_change: float


@dataclass(frozen=True)
class Figures:
    """What a report tells about all photographs; no `agreement` without a reference."""

    top1: Share
    top5: Share
    agreement: Agreement | None
    confusions: tuple[Confusion, ...]


def figures(judged: Sequence[Judged]) -> Figures:
    """Return the figures about photographs, at least one."""
    total = len(judged)
    return Figures(
        top1=Share(sum(each.right for each in judged), total),
        top5=Share(sum(each.among for each in judged), total),
        agreement=_agreement(judged),
        confusions=_confusions(judged),
    )


def _agreement(judged: Sequence[Judged]) -> Agreement | None:
    compared = [each for each in judged if each.reference]
    changes = [each.change for each in compared if each.change is not None]
    if not changes:
        return None
    share = Share(sum(bool(each.agrees) for each in compared), len(compared))
    return Agreement(share, max(changes), sum(changes) / len(changes))


def _confusions(judged: Sequence[Judged]) -> tuple[Confusion, ...]:
    """Return the confusions, the most frequent first and then by id."""
    wrong: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for each in judged:
        if not each.right:
            wrong[each.label, each.best.class_id].append(each)
    found = (
        Confusion(label, answer, group[0].best.class_name, len(group), group[0].path)
        for (label, answer), group in wrong.items()
    )
    return tuple(sorted(found, key=lambda each: (-each.count, each.label, each.answer)))

"""What becomes of one photograph: an `Answered`, a `Skipped`, and in the end a `Judged`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from archive_builder.photographs import Photograph, read_photographs
from densenet_classifier.images import Pixels
from densenet_classifier.settings import Settings
from densenet_client import Candidate

T = TypeVar("T")

TOP = 5  # classes of an answer: what top-5 counts
BATCH = 16  # photographs that are decoded, and run through a network, together


@dataclass(frozen=True)
class Skipped:
    """A file that is not judged, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Answered:
    """The most probable classes of a photograph, at most `TOP`, best first."""

    path: Path
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Referred:
    """What the reference says: its best class, and how probable it finds the one answered."""

    best: Candidate
    of_answer: float


@dataclass(frozen=True)
class Judged:
    """A photograph of the class `label`, the answer to it, and the reference's, if there is one."""

    path: Path
    label: str
    candidates: tuple[Candidate, ...]
    reference: Referred | None = None

    @property
    def best(self) -> Candidate:
        """The most probable class."""
        return self.candidates[0]

    @property
    def right(self) -> bool:
        """Whether the most probable class is the photograph's."""
        return self.best.class_id == self.label

    @property
    def among(self) -> bool:
        """Whether the photograph's class is among the first `TOP`."""
        return self.label in {each.class_id for each in self.candidates[:TOP]}

    @property
    def change(self) -> float | None:
        """How far the probability of the class answered is from the reference's, 0 to 1."""
        if self.reference is None:
            return None
        return abs(self.best.probability - self.reference.of_answer)

    @property
    def agrees(self) -> bool | None:
        """Whether the reference finds the same class most probable."""
        if self.reference is None:
            return None
        return self.best.class_id == self.reference.best.class_id


def read(path: Path, settings: Settings, *, reduce: bool = True) -> Pixels | Skipped:
    """Decode a file as the service does, or tell why that cannot be done; `reduce` as there."""
    try:
        (result,) = read_photographs([path], settings, reduce=reduce)
    except OSError as error:
        return Skipped(path, error.strerror or str(error))
    return result.pixels if isinstance(result, Photograph) else Skipped(path, str(result.error))


def in_chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items as lists of `BATCH`, the last one of what is left."""
    iterator = iter(items)
    while chunk := list(islice(iterator, BATCH)):
        yield chunk

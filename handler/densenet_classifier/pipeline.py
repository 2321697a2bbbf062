"""Requests in, their outcomes out: decode each image, classify all together, tell what was found.

Three steps for a batch of requests, so that the images of all of them go through the network
together. An image that fails, for its own fault or the server's, becomes its own outcome.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.documents import Part
from densenet_classifier.errors import InternalError, OverloadedError, RequestError
from densenet_classifier.images import Allowance, Picture, Pixels
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

T = TypeVar("T")
U = TypeVar("U")

logger = logging.getLogger(__name__)


class Map(Protocol):
    """`map`, or what does the same with several threads."""

    def __call__(self, step: Callable[[U], T], items: Iterable[U], /) -> Iterable[T]:
        """Return the step's result for each item, in their order."""


@dataclass(frozen=True)
class Prepared:
    """A request with its images decoded: uint8 [224, 224, 3], or what is wrong with each."""

    request: Request
    images: tuple[Pixels | RequestError, ...]


@dataclass(frozen=True)
class Classified:
    """A request with the findings about its images."""

    request: Request
    findings: tuple[Finding | RequestError, ...]


class Budget:
    """The time for one batch: whoever is late gets `OverloadedError` instead of the others.

    TorchServe ends a worker that takes longer than `responseTimeout`, and with it all requests of
    the batch. Each step may use the time up to its share.
    """

    DECODING = 0.25
    CLASSIFYING = 0.5
    TELLING = 0.75

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._start = time.monotonic()

    def is_spent(self, share: float) -> bool:
        """Tell whether this share of the time is over."""
        return time.monotonic() - self._start > share * self._seconds


def prepare(
    requests: Sequence[Request], settings: Settings, budget: Budget, each: Map = map
) -> list[Prepared]:
    """Decode the images of all requests, those of small requests first.

    So a request that takes all the time there is takes it from itself. `each` is the `map` of a
    pool of threads, for which one image is not worth the while.
    """
    order = sorted(range(len(requests)), key=lambda index: _size(requests[index]))
    # Several requests side by side, or the images of one.
    among, within = (map, each) if len(requests) == 1 else (each, map)

    def step(index: int) -> Prepared:
        return _prepare(requests[index], settings, budget, within)

    prepared = dict(zip(order, among(step, order), strict=True))
    return [prepared[index] for index in range(len(requests))]


def classify(batch: Sequence[Prepared], classifier: Classifier, budget: Budget) -> list[Classified]:
    """Run the network over the images of all requests together, those of small requests first."""
    order = sorted(range(len(batch)), key=lambda index: len(batch[index].images))
    images = [
        (image, batch[index].request.explain) for index in order for image in batch[index].images
    ]
    found = iter(_find(images, classifier, budget))
    classified = {
        index: Classified(batch[index].request, tuple(next(found) for _ in batch[index].images))
        for index in order
    }
    return [classified[index] for index in range(len(batch))]


def outcomes(
    classified: Classified, tell: Callable[[Finding], T], budget: Budget
) -> list[T | RequestError]:
    """Return what `tell` makes of each finding; errors stay where they are."""
    return [
        each if isinstance(each, RequestError) else _told(each, tell, budget)
        for each in classified.findings
    ]


def _size(request: Request) -> tuple[int, int]:
    contents = (part.content for part in request.parts)
    return len(request.parts), sum(
        0 if isinstance(content, RequestError) else len(content) for content in contents
    )


def _prepare(request: Request, settings: Settings, budget: Budget, each: Map) -> Prepared:
    allowance = Allowance(settings)
    opened = [_open(part, settings, allowance) for part in request.parts]
    step = partial(_decode, budget=budget)
    images = each(step, opened) if len(opened) > 1 else map(step, opened)
    return Prepared(request, tuple(images))


def _open(part: Part, settings: Settings, allowance: Allowance) -> Picture | RequestError:
    if isinstance(part.content, RequestError):
        return part.content
    return _guarded("Decoding", Picture.open, part.content, settings, allowance)


def _decode(picture: Picture | RequestError, budget: Budget) -> Pixels | RequestError:
    if isinstance(picture, RequestError):
        return picture
    if budget.is_spent(Budget.DECODING):
        return OverloadedError()
    return _guarded("Decoding", picture.pixels)


def _told(finding: Finding, tell: Callable[[Finding], T], budget: Budget) -> T | RequestError:
    if budget.is_spent(Budget.TELLING):
        return OverloadedError()
    return _guarded("Answering", tell, finding)


def _find(
    images: Sequence[tuple[Pixels | RequestError, bool]], classifier: Classifier, budget: Budget
) -> list[Finding | RequestError]:
    """Return the finding about each image, explained or not; errors stay where they are."""
    decoded = [(image, explain) for image, explain in images if isinstance(image, np.ndarray)]
    results: list[Finding | RequestError] = []
    for at in range(0, len(decoded), classifier.engine.batch):
        pixels, explain = zip(*decoded[at : at + classifier.engine.batch], strict=True)
        if budget.is_spent(Budget.CLASSIFYING):
            results += [OverloadedError() for _ in pixels]
            continue
        run = _guarded("The network", classifier.classify, pixels, explain)
        results += run if isinstance(run, list) else [run for _ in pixels]
    found = iter(results)
    return [image if isinstance(image, RequestError) else next(found) for image, _ in images]


def _guarded(what: str, step: Callable[..., T], *arguments: object) -> T | RequestError:
    # The last barrier: an unforeseen fault costs these images, not their neighbours.
    try:
        return step(*arguments)
    except RequestError as error:
        return error
    except Exception:
        logger.exception("%s failed", what)
        return InternalError()

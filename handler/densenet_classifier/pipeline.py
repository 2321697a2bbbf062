"""Requests in, their outcomes out: decode each image, classify all together, tell what was found.

Three steps for a batch of requests, so that the images of all of them go through the network
together. An image that fails, for its own fault or the server's, becomes its own outcome.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from densenet_classifier.classifier import Classifier
from densenet_classifier.documents import Part
from densenet_classifier.entries import Finding
from densenet_classifier.errors import InternalError, OverloadedError, RequestError
from densenet_classifier.gradcam import FeatureMaps
from densenet_classifier.images import Allowance, Pixels, decode
from densenet_classifier.network import BATCH, Probabilities
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

T = TypeVar("T")

logger = logging.getLogger(__name__)


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


def prepare(requests: Sequence[Request], settings: Settings, budget: Budget) -> list[Prepared]:
    """Decode the images of all requests, those of small requests first.

    So a request that takes all the time there is takes it from itself.
    """
    prepared: dict[int, Prepared] = {}
    for index in sorted(range(len(requests)), key=lambda index: _size(requests[index])):
        allowance = Allowance(settings)
        parts = requests[index].parts
        images = tuple(_decode(part, settings, allowance, budget) for part in parts)
        prepared[index] = Prepared(requests[index], images)
    return [prepared[index] for index in range(len(requests))]


def classify(batch: Sequence[Prepared], classifier: Classifier, budget: Budget) -> list[Classified]:
    """Run the network over the images of all requests together, and explain where it is asked."""
    order = sorted(range(len(batch)), key=lambda index: len(batch[index].images))
    images = [image for index in order for image in batch[index].images]
    explained = [
        image for index in order if batch[index].request.explain for image in batch[index].images
    ]
    probabilities = iter(_together(images, classifier.probabilities, budget))
    features = iter(_together(explained, classifier.features, budget))
    classified: dict[int, Classified] = {}
    for index in order:
        request, decoded = batch[index].request, batch[index].images
        findings = tuple(
            _finding(image, next(probabilities), next(features) if request.explain else None)
            for image in decoded
        )
        classified[index] = Classified(request, findings)
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


def _decode(
    part: Part, settings: Settings, allowance: Allowance, budget: Budget
) -> Pixels | RequestError:
    if isinstance(part.content, RequestError):
        return part.content
    if budget.is_spent(Budget.DECODING):
        return OverloadedError()
    try:
        return decode(part.content, settings, allowance)
    except RequestError as error:
        return error
    # The last barrier: an unforeseen fault costs this image, not its neighbours.
    except Exception:
        logger.exception("Decoding failed")
        return InternalError()


def _told(finding: Finding, tell: Callable[[Finding], T], budget: Budget) -> T | RequestError:
    if budget.is_spent(Budget.TELLING):
        return OverloadedError()
    try:
        return tell(finding)
    except Exception:
        logger.exception("Answering failed")
        return InternalError()


def _together(
    images: Sequence[Pixels | RequestError],
    step: Callable[[Sequence[Pixels]], Sequence[T]],
    budget: Budget,
) -> list[T | RequestError]:
    """Return the step's results in the place of the images; errors stay where they are."""
    decoded = [image for image in images if not isinstance(image, RequestError)]
    results: list[T | RequestError] = []
    for at in range(0, len(decoded), BATCH):
        some = decoded[at : at + BATCH]
        if budget.is_spent(Budget.CLASSIFYING):
            results += [OverloadedError() for _ in some]
            continue
        try:
            results += step(some)
        except Exception:
            logger.exception("The network failed")
            results += [InternalError() for _ in some]
    found = iter(results)
    return [image if isinstance(image, RequestError) else next(found) for image in images]


def _finding(
    image: Pixels | RequestError,
    probabilities: Probabilities | RequestError,
    features: FeatureMaps | RequestError | None,
) -> Finding | RequestError:
    if isinstance(image, RequestError):
        return image
    if isinstance(probabilities, RequestError):
        return probabilities
    if isinstance(features, RequestError):
        return features
    return Finding(image, probabilities, features)

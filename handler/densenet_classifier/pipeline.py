"""Requests in, their outcomes out: decode each image, classify all together, tell what was found.

Three steps for a batch of requests, so that the images of all of them go through the network
together. An image that fails, for its own fault or the server's, becomes its own outcome.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from densenet_classifier.classifier import Classifier
from densenet_classifier.documents import Part
from densenet_classifier.entries import Finding
from densenet_classifier.errors import InternalError, RequestError
from densenet_classifier.gradcam import FeatureMaps
from densenet_classifier.images import Allowance, Pixels, decode
from densenet_classifier.network import Probabilities
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


def prepare(request: Request, settings: Settings) -> Prepared:
    """Decode the images of a request."""
    allowance = Allowance(settings)
    return Prepared(request, tuple(_decode(part, settings, allowance) for part in request.parts))


def classify(batch: Sequence[Prepared], classifier: Classifier) -> list[Classified]:
    """Run the network over the images of all requests together, and explain where it is asked."""
    images = [image for each in batch for image in each.images]
    explained = [image for each in batch if each.request.explain for image in each.images]
    probabilities = iter(_together(images, classifier.probabilities))
    features = iter(_together(explained, classifier.features))
    return [
        Classified(
            each.request,
            tuple(
                _finding(
                    image, next(probabilities), next(features) if each.request.explain else None
                )
                for image in each.images
            ),
        )
        for each in batch
    ]


def outcomes(classified: Classified, tell: Callable[[Finding], T]) -> list[T | RequestError]:
    """Return what `tell` makes of each finding; errors stay where they are."""
    return [
        each if isinstance(each, RequestError) else _told(each, tell)
        for each in classified.findings
    ]


def _decode(part: Part, settings: Settings, allowance: Allowance) -> Pixels | RequestError:
    if isinstance(part.content, RequestError):
        return part.content
    try:
        return decode(part.content, settings, allowance)
    except RequestError as error:
        return error
    # The last barrier: an unforeseen fault costs this image, not its neighbours.
    except Exception:
        logger.exception("Decoding failed")
        return InternalError()


def _told(finding: Finding, tell: Callable[[Finding], T]) -> T | RequestError:
    try:
        return tell(finding)
    except Exception:
        logger.exception("Answering failed")
        return InternalError()


def _together(
    images: Sequence[Pixels | RequestError], step: Callable[[Sequence[Pixels]], Sequence[T]]
) -> list[T | RequestError]:
    """Return the step's results in the place of the images; errors stay where they are."""
    decoded = [image for image in images if not isinstance(image, RequestError)]
    results: Iterator[T | RequestError]
    try:
        results = iter(step(decoded) if decoded else [])
    except Exception:
        logger.exception("The network failed")
        results = iter([InternalError() for _ in decoded])
    return [image if isinstance(image, RequestError) else next(results) for image in images]


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

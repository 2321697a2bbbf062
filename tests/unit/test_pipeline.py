import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from densenet_classifier import images as images_module
from densenet_classifier import pipeline
from densenet_classifier.answers import SingleForm
from densenet_classifier.classifier import Classifier
from densenet_classifier.documents import Part
from densenet_classifier.entries import Finding
from densenet_classifier.errors import NoImageError, OverloadedError
from densenet_classifier.images import Pixels
from densenet_classifier.network import BATCH, Probabilities
from densenet_classifier.pipeline import Budget, classify, outcomes, prepare
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")

Spend = Callable[[float], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Spend:
    """Return a function that lets seconds pass for all budgets made in the test."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def spend(seconds: float) -> None:
        now[0] += seconds

    return spend


@pytest.fixture(scope="module")
def classifier(unpacked: Any) -> Classifier:
    return Classifier.load(unpacked)


@pytest.fixture
def slow_decoding(clock: Spend, monkeypatch: pytest.MonkeyPatch) -> Spend:
    """Return a function that lets each decoding take so many seconds."""

    def take(seconds: float) -> None:
        def decode(*arguments: Any) -> Pixels:
            clock(seconds)
            return images_module.decode(*arguments)

        monkeypatch.setattr(pipeline, "decode", decode)

    return take


def request_of(*contents: bytes | bytearray) -> Request:
    return Request(SingleForm(), [Part(content) for content in contents])


def kinds(values: Sequence[object]) -> list[str]:
    return [type(value).__name__ for value in values]


def test_each_step_has_its_share_of_the_time(clock: Spend) -> None:
    budget = Budget(60)
    shares = (Budget.DECODING, Budget.CLASSIFYING, Budget.TELLING)
    seen = []
    for _ in range(4):
        seen.append([budget.is_spent(share) for share in shares])
        clock(15.001)
    assert seen == [
        [False, False, False],
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_without_a_limit_no_time_is_too_long(clock: Spend) -> None:
    budget = Budget()
    clock(1e9)
    assert not budget.is_spent(Budget.DECODING)


def test_small_requests_are_decoded_before_one_takes_all_the_time(
    slow_decoding: Spend, images: list[bytearray]
) -> None:
    slow_decoding(10)
    large, small = request_of(*images[:3]), request_of(images[3])
    first, second = prepare([large, small], Settings(), Budget(60))
    assert (first.request, second.request) == (large, small)
    assert kinds(second.images) == ["ndarray"]
    assert kinds(first.images) == ["ndarray", "OverloadedError", "OverloadedError"]


def test_of_requests_of_one_image_the_lighter_is_decoded_first(
    slow_decoding: Spend, images: list[bytearray]
) -> None:
    slow_decoding(20)
    heavy = request_of(bytes(images[0]) + bytes(10_000))
    prepared = prepare([heavy, request_of(images[1])], Settings(), Budget(60))
    assert kinds([each.images[0] for each in prepared]) == ["OverloadedError", "ndarray"]


def test_images_that_the_network_has_no_time_for(
    clock: Spend,
    monkeypatch: pytest.MonkeyPatch,
    classifier: Classifier,
    images: list[bytearray],
) -> None:
    genuine = Classifier.probabilities

    def slow(self: Classifier, pixels: Sequence[Pixels]) -> list[Probabilities]:
        clock(40)
        return genuine(self, pixels)

    monkeypatch.setattr(Classifier, "probabilities", slow)
    many = request_of(*images[:1] * BATCH, b"")
    one = request_of(images[1])
    budget = Budget(60)
    large, small = classify(prepare([many, one], Settings(), budget), classifier, budget)
    assert kinds(small.findings) == ["Finding"]
    # The run that took the small request's image took all but one of the large one's.
    assert kinds(large.findings) == [
        *["Finding"] * (BATCH - 1),
        OverloadedError.__name__,
        NoImageError.__name__,
    ]


def test_answers_that_there_is_no_time_for(
    clock: Spend, classifier: Classifier, images: list[bytearray]
) -> None:
    budget = Budget(60)
    prepared = prepare([request_of(images[0], b"")], Settings(), budget)
    (classified,) = classify(prepared, classifier, budget)

    def tell(_: Finding) -> str:
        return "told"

    assert kinds(outcomes(classified, tell, budget)) == ["str", "NoImageError"]
    clock(46)
    assert kinds(outcomes(classified, tell, budget)) == ["OverloadedError", "NoImageError"]

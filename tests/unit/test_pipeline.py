import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from densenet_classifier.answers import SingleForm
from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.documents import Part
from densenet_classifier.errors import NoImageError, OverloadedError, UnsupportedImageError
from densenet_classifier.images import Picture, Pixels
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
    return Classifier.load(unpacked, Settings(engine="openvino", precision="float32"))


@pytest.fixture
def slow_decoding(clock: Spend, monkeypatch: pytest.MonkeyPatch) -> Spend:
    """Return a function that lets each decoding take so many seconds."""

    def take(seconds: float) -> None:
        def pixels(picture: Picture) -> Pixels:
            clock(seconds)
            return genuine(picture)

        genuine = Picture.pixels
        monkeypatch.setattr(Picture, "pixels", pixels)

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


def test_what_is_wrong_with_a_header_is_told_even_when_the_time_is_over(
    slow_decoding: Spend, images: list[bytearray]
) -> None:
    slow_decoding(20)
    (prepared,) = prepare([request_of(images[0], b"", images[1])], Settings(), Budget(60))
    assert kinds(prepared.images) == ["ndarray", "NoImageError", "OverloadedError"]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_pool_prepares_the_same_in_the_same_order(
    threads: int, images: list[bytearray], truncated: bytearray
) -> None:
    refused = Part(UnsupportedImageError("no image"))
    large = Request(SingleForm(), [*request_of(*images, b"", truncated).parts, refused])
    requests = [large, request_of(images[3]), request_of(), request_of(truncated, images[1])]
    # Too little for the last image of the first request; a PNG's pixels count twice.
    settings = Settings(max_request_pixels=5 * 2 * 64 * 48)
    expected = prepare(requests, settings, Budget())
    with ThreadPoolExecutor(threads) as pool:
        found = prepare(requests, settings, Budget(), pool.map)
    assert [each.request for each in found] == requests
    assert kinds(expected[0].images) == [
        *["ndarray"] * 5, "NoImageError", "TooManyPixelsError", "UnsupportedImageError"
    ]  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        assert kinds(one.images) == kinds(other.images)
        for image, same in zip(one.images, other.images, strict=True):
            if isinstance(image, np.ndarray) and isinstance(same, np.ndarray):
                assert np.array_equal(image, same)
            else:
                assert str(image) == str(same)


def test_a_pool_decodes_and_the_pixels_of_a_request_are_counted_before(
    images: list[bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: set[str] = set()
    genuine = Picture.pixels

    def pixels(picture: Picture) -> Pixels:
        names.add(threading.current_thread().name.partition("_")[0])
        return genuine(picture)

    def open_(*arguments: Any) -> Picture:
        assert threading.current_thread() is threading.main_thread()
        return genuine_open(*arguments)

    genuine_open = Picture.open
    monkeypatch.setattr(Picture, "pixels", pixels)
    monkeypatch.setattr(Picture, "open", open_)
    with ThreadPoolExecutor(2, thread_name_prefix="pool") as pool:
        (prepared,) = prepare([request_of(*images)], Settings(), Budget(), pool.map)
    assert kinds(prepared.images) == ["ndarray"] * 5
    assert names == {"pool"}


def test_a_pool_keeps_to_the_time(slow_decoding: Spend, images: list[bytearray]) -> None:
    slow_decoding(20)
    with ThreadPoolExecutor(1) as pool:
        (prepared,) = prepare([request_of(*images[:3])], Settings(), Budget(60), pool.map)
    assert kinds(prepared.images) == ["ndarray", "OverloadedError", "OverloadedError"]


def test_a_fault_in_a_pool_costs_only_its_image(
    images: list[bytearray], pixels: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(picture: Picture) -> Pixels:
        found = genuine(picture)
        if np.array_equal(found, pixels[1]):
            message = "the disk is full"
            raise OSError(message)
        return found

    genuine = Picture.pixels
    monkeypatch.setattr(Picture, "pixels", broken)
    with ThreadPoolExecutor(2) as pool:
        (prepared,) = prepare([request_of(*images[:3])], Settings(), Budget(), pool.map)
    assert kinds(prepared.images) == ["ndarray", "InternalError", "ndarray"]


def test_images_that_the_network_has_no_time_for(
    clock: Spend,
    monkeypatch: pytest.MonkeyPatch,
    classifier: Classifier,
    images: list[bytearray],
) -> None:
    genuine = Classifier.classify

    def slow(self: Classifier, pixels: Sequence[Pixels], explain: Sequence[bool]) -> list[Finding]:
        clock(40)
        return genuine(self, pixels, explain)

    monkeypatch.setattr(Classifier, "classify", slow)
    batch = classifier.engine.batch
    many = request_of(*images[:1] * batch, b"")
    one = request_of(images[1])
    budget = Budget(60)
    large, small = classify(prepare([many, one], Settings(), budget), classifier, budget)
    assert kinds(small.findings) == ["Finding"]
    # The run that took the small request's image took all but one of the large one's.
    assert kinds(large.findings) == [
        *["Finding"] * (batch - 1),
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

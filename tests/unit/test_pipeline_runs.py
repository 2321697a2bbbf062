"""Which images go through the network together, and what a run is asked for."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from densenet_classifier.answers import SingleForm
from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.documents import Part
from densenet_classifier.engine import Outputs
from densenet_classifier.images import Pixels
from densenet_classifier.pipeline import Budget, classify, outcomes, prepare
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def classifier(unpacked: Path) -> Classifier:
    return Classifier.load(unpacked, Settings(engine="openvino", precision="float32"))


@pytest.fixture
def runs(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The runs of the engine: how many images each had, and whether features were asked for."""
    seen: list[tuple[int, bool]] = []
    genuine = classifier.engine.run

    def run(images: Sequence[Pixels], *, features: bool) -> Outputs:
        seen.append((len(images), features))
        return genuine(images, features=features)

    monkeypatch.setattr(classifier.engine, "run", run)
    return seen


def explaining(request: Request) -> Request:
    return dataclasses.replace(request, explain=True)


def request_of(*contents: bytes | bytearray) -> Request:
    return Request(SingleForm(), [Part(content) for content in contents])


def kinds(values: Sequence[object]) -> list[str]:
    return [type(value).__name__ for value in values]


def test_what_comes_too_late_is_refused_in_every_run_that_there_would_be(
    classifier: Classifier, images: list[bytearray], runs: list[tuple[int, bool]]
) -> None:
    several = 2 * classifier.engine.batch + 1
    prepared = prepare([request_of(*images[:1] * several)], Settings(), Budget())
    (found,) = classify(prepared, classifier, Budget(0.0))
    assert kinds(found.findings) == ["OverloadedError"] * several
    assert runs == []


def test_a_run_that_fails_costs_only_its_own_images(
    classifier: Classifier, images: list[bytearray], monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Classifier.classify
    batch = classifier.engine.batch

    def broken(
        self: Classifier, pixels: Sequence[Pixels], explain: Sequence[bool]
    ) -> list[Finding]:
        if len(pixels) == batch:
            message = "the network is broken"
            raise RuntimeError(message)
        return genuine(self, pixels, explain)

    monkeypatch.setattr(Classifier, "classify", broken)
    prepared = prepare([request_of(*images[:1] * batch, images[1])], Settings(), Budget())
    (found,) = classify(prepared, classifier, Budget())
    assert kinds(found.findings) == [*["InternalError"] * batch, "Finding"]


def test_every_image_gets_its_own_finding(
    classifier: Classifier, images: list[bytearray], runs: list[tuple[int, bool]]
) -> None:
    requests = [request_of(images[4], b"", images[2], images[0]), request_of(images[3], images[1])]
    found = classify(prepare(requests, Settings(), Budget()), classifier, Budget())
    assert [each.request for each in found] == requests
    classes = [
        [int(each.probabilities.argmax()) for each in one.findings if isinstance(each, Finding)]
        for one in found
    ]
    assert classes == [[4, 2, 0], [3, 1]]
    assert runs == [(4, False), (1, False)]


def test_an_explained_image_costs_one_run(
    classifier: Classifier, images: list[bytearray], runs: list[tuple[int, bool]]
) -> None:
    prepared = prepare([explaining(request_of(images[0]))], Settings(), Budget())
    (found,) = classify(prepared, classifier, Budget())
    told = outcomes(found, lambda finding: classifier.heat_map(finding, 0).shape, Budget())
    assert told == [(224, 224)]
    assert runs == [(1, True)]


def test_features_are_asked_for_only_in_runs_with_somebody_who_explains(
    classifier: Classifier, images: list[bytearray], runs: list[tuple[int, bool]]
) -> None:
    many = request_of(*images, *images[:3])
    prepared = prepare([many, explaining(request_of(images[0]))], Settings(), Budget())
    plain, explained = classify(prepared, classifier, Budget())
    assert runs == [(4, True), (4, False), (1, False)]
    features = [
        [each.features is not None for each in found.findings if isinstance(each, Finding)]
        for found in (plain, explained)
    ]
    assert features == [[False] * 8, [True]]

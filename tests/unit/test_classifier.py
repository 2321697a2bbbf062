import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import densenet121

from densenet_classifier import __version__
from densenet_classifier.classifier import Classifier, Probabilities, softmax
from densenet_classifier.engine import Engine, Outputs
from densenet_classifier.errors import InvalidOptionError
from densenet_classifier.gradcam import heat_map
from densenet_classifier.images import Pixels
from densenet_classifier.network import normalize
from densenet_classifier.settings import Settings
from densenet_classifier.weights import sha256_of

pytestmark = pytest.mark.usefixtures("one_thread")


class SpyEngine:
    """An engine that tells how many images each run had, and whether features were asked for."""

    name, precision, device = "spy", "float32", "cpu"

    def __init__(self, engine: Engine) -> None:
        self.batch = engine.batch
        self.runs: list[tuple[int, bool]] = []
        self._engine = engine

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        self.runs.append((len(images), features))
        return self._engine.run(images, features=features)


@pytest.fixture(scope="module", params=["openvino", "torch"])
def exact(request: pytest.FixtureRequest, unpacked: Path) -> Classifier:
    """A classifier in float32 with each of the engines."""
    return Classifier.load(unpacked, Settings(engine=request.param, precision="float32"))


@pytest.fixture(scope="module")
def classifier(unpacked: Path) -> Classifier:
    return Classifier.load(unpacked)


@pytest.fixture(scope="module")
def reference(network_state: dict[str, torch.Tensor], pixels: list[Pixels]) -> Probabilities:
    """What torchvision's own network says of the pictures."""
    network = densenet121(weights=None, num_classes=5)
    network.load_state_dict(network_state)
    with torch.inference_mode():
        logits = network.eval()(normalize(np.stack(pixels)))
    result: Probabilities = logits.softmax(dim=1).numpy()
    return result


def probabilities(classifier: Classifier, images: Sequence[Pixels]) -> Probabilities:
    """Return a row for each image, which go through the network as many at a time as it takes."""
    step = classifier.engine.batch
    runs = [images[at : at + step] for at in range(0, len(images), step)]
    findings = [each for run in runs for each in classifier.classify(run, [False] * len(run))]
    return np.stack([finding.probabilities for finding in findings])


def test_each_picture_gets_its_label(
    classifier: Classifier, pixels: list[Pixels], labels: list[list[str]]
) -> None:
    best = [classifier.most_probable(row, 1) for row in probabilities(classifier, pixels)]
    assert [list(classifier.labels[index]) for (index,) in best] == labels


def test_probabilities_are_those_of_torchvisions_network(
    exact: Classifier, pixels: list[Pixels], reference: Probabilities
) -> None:
    found = probabilities(exact, pixels)
    assert found.shape == (5, 5)
    assert found.dtype == np.float32
    assert np.abs(found - reference).max() < 1e-4


def test_probabilities_of_any_precision_are_near_torchvisions(
    classifier: Classifier, pixels: list[Pixels], reference: Probabilities
) -> None:
    # What bf16 was measured to cost.
    assert np.abs(probabilities(classifier, pixels) - reference).max() < 0.03


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_images_are_answered_alone_as_among_others(
    count: int, exact: Classifier, pixels: list[Pixels]
) -> None:
    alone = np.concatenate([probabilities(exact, [image]) for image in pixels[:count]])
    assert np.abs(probabilities(exact, pixels[:count]) - alone).max() < 1e-4


def test_the_order_of_the_images_is_kept(exact: Classifier, pixels: list[Pixels]) -> None:
    turned = probabilities(exact, pixels[::-1])[::-1]
    assert np.abs(probabilities(exact, pixels) - turned).max() < 1e-4


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_there_is_a_finding_for_each_image(
    count: int, exact: Classifier, pixels: list[Pixels]
) -> None:
    findings = exact.classify(pixels[:count], [False] * count)
    assert isinstance(findings, list)
    assert [each.probabilities.shape for each in findings] == [(5,)] * count
    assert all(each.pixels is image for each, image in zip(findings, pixels[:count], strict=True))


def test_findings_stay_when_the_network_runs_again(exact: Classifier, pixels: list[Pixels]) -> None:
    (finding,) = exact.classify(pixels[:1], [True])
    assert finding.features is not None
    before = finding.probabilities.copy(), finding.features.copy()
    exact.classify(pixels[1:2], [True])
    assert np.array_equal(finding.probabilities, before[0])
    assert np.array_equal(finding.features, before[1])


def test_the_pixels_are_left_as_they_were(exact: Classifier, pixels: list[Pixels]) -> None:
    before = [image.copy() for image in pixels[:4]]
    exact.classify(pixels[:4], [True] * 4)
    assert np.array_equal(before, pixels[:4])


@pytest.mark.parametrize(
    "explain",
    [(True,), (False,), (False, True, False), (True, True, True, True), (False,) * 4],
    ids=str,
)
def test_one_run_gives_all_findings_and_features_where_somebody_explains(
    explain: tuple[bool, ...], exact: Classifier, pixels: list[Pixels]
) -> None:
    spy = SpyEngine(exact.engine)
    watched = dataclasses.replace(exact, engine=spy)
    findings = watched.classify(pixels[: len(explain)], explain)
    for finding in findings:
        if finding.features is not None:
            watched.heat_map(finding, 0)
            watched.heat_map(finding, 3)
    assert spy.runs == [(len(explain), any(explain))]
    assert [finding.features is not None for finding in findings] == list(explain)


def test_an_explanation_changes_nothing_about_the_probabilities(
    exact: Classifier, pixels: list[Pixels]
) -> None:
    (plain,), (explained,) = (exact.classify(pixels[:1], [each]) for each in (False, True))
    assert np.array_equal(plain.probabilities, explained.probabilities)


@pytest.mark.parametrize("count", [3, 4])
def test_features_among_others_are_those_of_the_image(
    count: int, exact: Classifier, pixels: list[Pixels]
) -> None:
    among = exact.classify(pixels[:count], [True] * count)
    for image, finding in zip(pixels[:count], among, strict=True):
        (alone,) = exact.classify([image], [True])
        assert alone.features is not None
        assert finding.features is not None
        # Of the greatest: float32 sums in another order.
        assert np.abs(alone.features - finding.features).max() < 1e-4 * alone.features.max()


def test_a_heat_map_is_that_of_grad_cam(
    exact: Classifier, network_state: dict[str, torch.Tensor], pixels: list[Pixels]
) -> None:
    (finding,) = exact.classify(pixels[:1], [True])
    assert finding.features is not None
    weights = network_state["classifier.weight"].numpy()
    expected = heat_map(finding.features, weights[3])
    assert np.array_equal(exact.heat_map(finding, 3), expected)


def test_without_explanation_there_is_no_heat_map(
    classifier: Classifier, pixels: list[Pixels]
) -> None:
    findings = classifier.classify(pixels[:2], [True, False])
    assert classifier.heat_map(findings[0], 0).shape == (224, 224)
    with pytest.raises(ValueError, match="without explanation"):
        classifier.heat_map(findings[1], 0)


class TestSoftmax:
    def test_is_that_of_torch(self) -> None:
        logits = np.random.default_rng(1).normal(0, 5, (7, 1000)).astype(np.float32)
        expected = torch.from_numpy(logits).softmax(dim=1).numpy()
        assert np.abs(softmax(logits) - expected).max() < 1e-6

    def test_sums_to_one_in_float32(self) -> None:
        logits = np.random.default_rng(2).normal(0, 9, (7, 1000)).astype(np.float32)
        found = softmax(logits)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-5

    def test_bears_logits_whose_powers_no_float_holds(self) -> None:
        found = softmax(np.array([[1e4, 1e4], [-1e4, 1e4]], np.float32))
        assert found.tolist() == [[0.5, 0.5], [0, 1]]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [3]), (2, [3, 0]), (5, [3, 0, 4, 1, 2]), (1000, [3, 0, 4, 1, 2])]
)
def test_the_most_probable_come_first(
    count: int, expected: list[int], classifier: Classifier
) -> None:
    probabilities = np.array([0.2, 0.1, 0.05, 0.5, 0.15], np.float32)
    assert classifier.most_probable(probabilities, count) == expected


def test_equally_probable_classes_keep_their_order(classifier: Classifier) -> None:
    # So many that a sort which is not stable would show.
    equal = np.tile(np.array([0.0005, 0.0015], np.float32), 500)
    assert classifier.most_probable(equal, 1000) == [*range(1, 1000, 2), *range(0, 1000, 2)]


@pytest.mark.parametrize("index", range(5))
def test_a_class_is_found_by_its_id(index: int, classifier: Classifier) -> None:
    assert classifier.index_of(f"n0000000{index}") == index


@pytest.mark.parametrize("class_id", ["n00000005", "", "0", "class 1", "N00000001", "x" * 10**6])
def test_an_unknown_id_is_refused(class_id: str, classifier: Classifier) -> None:
    with pytest.raises(InvalidOptionError, match="target: this model has no class") as caught:
        classifier.index_of(class_id)
    assert str(caught.value).endswith(f"no class {class_id[:40]!r}.")


def test_the_description(exact: Classifier, unpacked: Path) -> None:
    assert exact.describe() == {
        "version": __version__,
        "weights": {"name": "custom:test", "sha256": sha256_of(unpacked / "weights.pth")},
        "engine": exact.engine.name,
        "precision": "float32",
        "device": "cpu",
        "classes": 5,
    }


def test_without_a_gpu_the_engine_is_openvino(classifier: Classifier) -> None:
    assert classifier.describe()["engine"] == "openvino"


def test_the_description_can_be_written_as_json(classifier: Classifier) -> None:
    assert json.loads(json.dumps(classifier.describe())) == classifier.describe()

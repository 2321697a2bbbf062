import dataclasses
import json
import shutil
from pathlib import Path
from unittest.mock import sentinel

import numpy as np
import pytest
from torch import nn

from densenet_classifier import __version__, network
from densenet_classifier import classifier as classifier_module
from densenet_classifier.classifier import Classifier
from densenet_classifier.errors import InvalidOptionError
from densenet_classifier.gradcam import GradCam
from densenet_classifier.images import Pixels
from densenet_classifier.labels import LabelsError
from densenet_classifier.network import Probabilities, TorchEngine
from densenet_classifier.weights import WeightsError, load_network, sha256_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def classifier(unpacked: Path) -> Classifier:
    return Classifier.load(unpacked)


@pytest.fixture
def fresh(classifier: Classifier) -> Classifier:
    """A classifier that has never explained anything."""
    return dataclasses.replace(classifier)


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(unpacked, tmp_path / "copy")


def test_each_picture_gets_its_label(
    classifier: Classifier, pixels: list[Pixels], labels: list[list[str]]
) -> None:
    best = [classifier.most_probable(row, 1) for row in classifier.probabilities(pixels)]
    assert [list(classifier.labels[index]) for (index,) in best] == labels


def test_one_row_of_probabilities_for_each_image(
    classifier: Classifier, pixels: list[Pixels]
) -> None:
    rows = classifier.probabilities(pixels[:3])
    assert isinstance(rows, list)
    assert [row.shape for row in rows] == [(5,)] * 3


def test_no_image_gives_no_row_and_does_not_run_the_network(classifier: Classifier) -> None:
    idle = dataclasses.replace(classifier, engine=sentinel.engine)
    assert idle.probabilities([]) == []


def test_many_images_go_through_the_network_in_batches(
    classifier: Classifier, pixels: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "BATCH", 2)
    shapes = []

    def probabilities(_: TorchEngine, batch: Pixels) -> Probabilities:
        shapes.append(batch.shape)
        return batch[:, 0, 0, :1].astype(np.float32)

    monkeypatch.setattr(TorchEngine, "probabilities", probabilities)
    rows = classifier.probabilities(pixels)
    assert shapes == [(2, 224, 224, 3), (2, 224, 224, 3), (1, 224, 224, 3)]
    assert [row[0] for row in rows] == [image[0, 0, 0] for image in pixels]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [3]), (2, [3, 0]), (5, [3, 0, 4, 1, 2]), (1000, [3, 0, 4, 1, 2])]
)
def test_the_most_probable_come_first(
    count: int, expected: list[int], classifier: Classifier
) -> None:
    probabilities = np.array([0.2, 0.1, 0.05, 0.5, 0.15], np.float32)
    assert classifier.most_probable(probabilities, count) == expected


def test_equally_probable_classes_keep_their_order(classifier: Classifier) -> None:
    equal = np.full(5, 0.2, np.float32)
    assert classifier.most_probable(equal, 5) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("index", range(5))
def test_a_class_is_found_by_its_id(index: int, classifier: Classifier) -> None:
    assert classifier.index_of(f"n0000000{index}") == index


@pytest.mark.parametrize("class_id", ["n00000005", "", "0", "class 1", "N00000001", "x" * 10**6])
def test_an_unknown_id_is_refused(class_id: str, classifier: Classifier) -> None:
    with pytest.raises(InvalidOptionError, match="target: this model has no class") as caught:
        classifier.index_of(class_id)
    assert len(str(caught.value)) < 100


def test_predictions_load_nothing_for_explanations(
    fresh: Classifier, pixels: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_module, "load_network", None)
    assert len(fresh.probabilities(pixels[:1])) == 1


def test_explanations_load_the_network_once(
    fresh: Classifier, pixels: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(path: Path) -> nn.Module:
        loaded.append(path)
        return load_network(path)

    monkeypatch.setattr(classifier_module, "load_network", load)
    for _ in range(2):
        (features,) = fresh.features(pixels[:1])
        fresh.heat_map(features, 0)
    assert loaded == [fresh.folder / "weights.pth"]


def test_a_heat_map_is_that_of_grad_cam(
    classifier: Classifier, network_file: Path, pixels: list[Pixels]
) -> None:
    cam = GradCam(load_network(network_file))
    (features,) = classifier.features(pixels[:1])
    assert np.allclose(features, cam.features(pixels[:1])[0], atol=1e-5)
    assert np.array_equal(classifier.heat_map(features, 3), cam.heat_map(features, 3))


def test_the_name_of_the_model_is_that_of_the_archive(copy: Path) -> None:
    record = json.loads((copy / "archive.json").read_text())
    (copy / "archive.json").write_text(json.dumps(record | {"model_name": "flowers"}))
    assert Classifier.load(copy).model_name == "flowers"


def test_the_description(classifier: Classifier, unpacked: Path) -> None:
    assert classifier.describe() == {
        "version": __version__,
        "weights": {"name": "custom:test", "sha256": sha256_of(unpacked / "weights.pth")},
        "engine": "torch",
        "precision": "float32",
        "classes": 5,
    }


def test_the_description_can_be_written_as_json(classifier: Classifier) -> None:
    assert json.loads(json.dumps(classifier.describe())) == classifier.describe()


def test_weights_that_the_archive_was_not_built_from_are_refused(copy: Path) -> None:
    identity = {"name": "custom:test", "sha256": "0" * 64}
    record = {"model_name": "densenet121", "weights": identity}
    (copy / "archive.json").write_text(json.dumps(record))
    with pytest.raises(
        WeightsError, match=f"has SHA-256 [0-9a-f]{{64}}, the archive says {'0' * 64}"
    ):
        Classifier.load(copy)


def test_one_changed_byte_of_the_weights_is_found(copy: Path) -> None:
    content = bytearray((copy / "weights.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "weights.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        Classifier.load(copy)


@pytest.mark.parametrize("count", [4, 6])
def test_labels_of_another_number_of_classes_are_refused(copy: Path, count: int) -> None:
    rows = {str(index): [f"n{index}", "name"] for index in range(count)}
    (copy / "index_to_name.json").write_text(json.dumps(rows))
    with pytest.raises(LabelsError, match=f"5 outputs .* the file has {count} rows"):
        Classifier.load(copy)

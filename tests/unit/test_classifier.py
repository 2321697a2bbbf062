import dataclasses
import json
import shutil
from pathlib import Path
from unittest.mock import sentinel

import numpy as np
import pytest

from densenet_classifier import __version__
from densenet_classifier.classifier import Classifier
from densenet_classifier.images import Pixels
from densenet_classifier.labels import LabelsError
from densenet_classifier.weights import WeightsError, sha256_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def classifier(unpacked: Path) -> Classifier:
    return Classifier.load(unpacked)


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(unpacked, tmp_path / "copy")


def test_each_picture_gets_its_label(
    classifier: Classifier, pixels: list[Pixels], labels: list[list[str]]
) -> None:
    found = [classifier.label(row) for row in classifier.probabilities(pixels)]
    assert [list(label) for label in found] == labels


def test_one_row_of_probabilities_for_each_image(
    classifier: Classifier, pixels: list[Pixels]
) -> None:
    rows = classifier.probabilities(pixels[:3])
    assert isinstance(rows, list)
    assert [row.shape for row in rows] == [(5,)] * 3


def test_no_image_gives_no_row_and_does_not_run_the_network(classifier: Classifier) -> None:
    idle = dataclasses.replace(classifier, engine=sentinel.engine)
    assert idle.probabilities([]) == []


@pytest.mark.parametrize("best", range(5))
def test_the_label_is_that_of_the_most_probable_class(classifier: Classifier, best: int) -> None:
    probabilities = np.full(5, 0.15, np.float32)
    probabilities[best] = 0.4
    assert classifier.label(probabilities).class_name == f"class {best}"


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
    (copy / "archive.json").write_text(json.dumps({"weights": identity}))
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

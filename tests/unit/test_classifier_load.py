import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from densenet_classifier import classifier as classifier_module
from densenet_classifier.classifier import Classifier
from densenet_classifier.cores import Cores
from densenet_classifier.labels import LabelsError
from densenet_classifier.settings import Settings, SettingsError
from densenet_classifier.weights import WeightsError

pytestmark = pytest.mark.usefixtures("one_thread")

MADE = ["network.xml", "network.bin", "classifier.npy"]


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    return shutil.copytree(unpacked, tmp_path / "copy")


def test_the_name_of_the_model_is_that_of_the_archive(copy: Path) -> None:
    record = json.loads((copy / "archive.json").read_text())
    (copy / "archive.json").write_text(json.dumps(record | {"model_name": "flowers"}))
    assert Classifier.load(copy).model_name == "flowers"


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_engine_is_that_of_the_settings(engine: str, unpacked: Path) -> None:
    classifier = Classifier.load(unpacked, Settings(engine=engine, precision="float32"))
    assert (classifier.engine.name, classifier.engine.precision) == (engine, "float32")


def test_the_engine_gets_what_the_worker_has(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr(classifier_module, "load_engine", lambda *these: given.extend(these))
    settings, cores = Settings(max_images_per_request=3), Cores(unpacked)
    classifier = Classifier.load(unpacked, settings, cores, 1)
    assert given == [unpacked, settings, cores, 1]
    # Of the file, so that workers have its pages in common.
    assert isinstance(classifier.class_weights, np.memmap)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_precision_that_the_archive_does_not_have_is_refused(engine: str, copy: Path) -> None:
    with pytest.raises(SettingsError, match=f"the engine {engine} does not have precision int8"):
        Classifier.load(copy, Settings(engine=engine, precision="int8"))


def test_weights_that_the_archive_was_not_built_from_are_refused(copy: Path) -> None:
    identity = {"name": "custom:test", "sha256": "0" * 64}
    record = {"model_name": "densenet121", "weights": identity}
    (copy / "archive.json").write_text(json.dumps(record))
    with pytest.raises(
        WeightsError, match=f"weights.pth has SHA-256 [0-9a-f]{{64}}, the archive says {'0' * 64}"
    ):
        Classifier.load(copy)


def test_a_network_made_of_other_weights_is_refused(copy: Path) -> None:
    made = json.loads((copy / "network.json").read_text())
    (copy / "network.json").write_text(json.dumps(made | {"weights": "0" * 64}))
    with pytest.raises(WeightsError, match=r"network\.json is of the weights 0+, not"):
        Classifier.load(copy)


@pytest.mark.parametrize("name", ["weights.pth", *MADE])
def test_one_changed_byte_is_found(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name} has SHA-256"):
        Classifier.load(copy)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("name", ["weights.pth", *MADE, "network.json", "archive.json"])
def test_a_missing_file_is_named(name: str, engine: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Classifier.load(copy, Settings(engine=engine))


@pytest.mark.parametrize("count", [4, 6])
def test_labels_of_another_number_of_classes_are_refused(copy: Path, count: int) -> None:
    rows = {str(index): [f"n{index}", "name"] for index in range(count)}
    (copy / "index_to_name.json").write_text(json.dumps(rows))
    with pytest.raises(LabelsError, match=f"5 outputs .* the file has {count} rows"):
        Classifier.load(copy)

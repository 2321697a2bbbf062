"""What is made from the weights is made once; the conversion itself is test_builder_convert's."""

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archive_builder import network_files
from archive_builder.inputs import ArchiveInputs
from archive_builder.network_files import write_network_files
from archive_builder.weights_source import WeightsSource
from densenet_classifier.openvino_runtime import openvino
from densenet_classifier.weights import sha256_of

FILES = ["classifier.npy", "network.bin", "network.xml"]
INT8_FILES = ["network-int8.bin", "network-int8.xml"]


def small_model() -> openvino.Model:
    parameter = openvino.opset15.parameter([-1, 4], openvino.Type.f32)
    weights = np.arange(8, dtype=np.float32).reshape(4, 2)
    product = openvino.opset15.matmul(parameter, weights, transpose_a=False, transpose_b=False)
    model = openvino.Model([product], [parameter])
    model.input().get_tensor().set_names({"pixels"})
    model.output().get_tensor().set_names({"logits"})
    return model


@pytest.fixture
def inputs(network_file: Path, tmp_path: Path) -> ArchiveInputs:
    labels = tmp_path / "labels.json"
    labels.write_text("{}")
    source = WeightsSource(network_file, "custom:test", sha256_of(network_file))
    return ArchiveInputs("densenet121", source, labels, {})


@pytest.fixture(autouse=True)
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Replace the conversion, which takes seconds, and return the list of its calls."""
    calls: list[object] = []

    def convert(network: object) -> openvino.Model:
        calls.append(network)
        return small_model()

    monkeypatch.setattr(network_files, "convert", convert)
    return calls


def quantizer(model: openvino.Model) -> tuple[openvino.Model, dict[str, Any]]:
    assert len(model.outputs) == 1
    return small_model(), {"agreement": 0.98}


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def archive_of(inputs: ArchiveInputs, content: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in content.iterdir():
            archive.write(file, file.name)
        archive.writestr("archive.json", json.dumps(inputs.record()))
    return path


def record_of(made: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((made / "network.json").read_text())
    return record


def test_every_file_is_recorded_with_its_hash(inputs: ArchiveInputs, tmp_path: Path) -> None:
    made = folder(tmp_path / "made")
    names = write_network_files(inputs, made)
    assert sorted(names) == sorted([*FILES, "network.json"])
    assert record_of(made) == {
        "weights": inputs.weights.sha256,
        "files": {name: sha256_of(made / name) for name in FILES},
    }


def test_the_last_layers_weights_are_kept_for_explanations(
    inputs: ArchiveInputs, network_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    write_network_files(inputs, tmp_path)
    expected = network_state["classifier.weight"].numpy()
    assert np.array_equal(np.load(tmp_path / "classifier.npy"), expected)


def test_weights_are_stored_with_all_their_digits(inputs: ArchiveInputs, tmp_path: Path) -> None:
    write_network_files(inputs, tmp_path)
    assert (tmp_path / "network.bin").stat().st_size >= 8 * np.float32().nbytes


def test_two_conversions_give_the_same_bytes(inputs: ArchiveInputs, tmp_path: Path) -> None:
    made = [folder(tmp_path / name) for name in ("one", "two")]
    for each in made:
        write_network_files(inputs, each)
    for name in [*FILES, "network.json"]:
        assert (made[0] / name).read_bytes() == (made[1] / name).read_bytes()


def test_an_int8_model_lies_beside_the_other(inputs: ArchiveInputs, tmp_path: Path) -> None:
    made = folder(tmp_path / "made")
    write_network_files(inputs, made, quantizer=quantizer)
    record = record_of(made)
    assert sorted(record["files"]) == sorted(FILES + INT8_FILES)
    assert record["int8"] == {"agreement": 0.98}


@pytest.mark.parametrize("int8", [False, True])
def test_the_same_weights_are_not_converted_again(
    int8: bool,  # noqa: FBT001
    inputs: ArchiveInputs,
    tmp_path: Path,
    conversions: list[object],
) -> None:
    first = folder(tmp_path / "first")
    write_network_files(inputs, first, quantizer=quantizer if int8 else None)
    previous = archive_of(inputs, first, tmp_path / "old.mar")
    changed = dataclasses.replace(inputs, sources={"handler.py": b"changed"})
    second = folder(tmp_path / "second")
    write_network_files(changed, second, previous)
    assert len(conversions) == 1
    assert {path.name: path.read_bytes() for path in second.iterdir()} == {
        path.name: path.read_bytes() for path in first.iterdir()
    }


def other_weights(inputs: ArchiveInputs) -> ArchiveInputs:
    return dataclasses.replace(inputs, weights=dataclasses.replace(inputs.weights, sha256="0" * 64))


def test_other_weights_are_converted(
    inputs: ArchiveInputs,
    tmp_path: Path,
    conversions: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = folder(tmp_path / "first")
    write_network_files(inputs, first, quantizer=quantizer)
    previous = archive_of(other_weights(inputs), first, tmp_path / "old.mar")
    second = folder(tmp_path / "second")
    write_network_files(inputs, second, previous)
    assert len(conversions) == 2
    assert sorted(record_of(second)["files"]) == FILES
    assert "old.mar loses its int8 model" in capsys.readouterr().err


def test_another_converter_converts(
    inputs: ArchiveInputs,
    tmp_path: Path,
    conversions: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = folder(tmp_path / "first")
    write_network_files(inputs, first)
    previous = archive_of(inputs, first, tmp_path / "old.mar")
    monkeypatch.setattr("archive_builder.inputs.CONVERTER", tmp_path / "labels.json")
    write_network_files(inputs, folder(tmp_path / "second"), previous)
    assert len(conversions) == 2


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_archive_gives_nothing(
    damage: str,
    inputs: ArchiveInputs,
    tmp_path: Path,
    conversions: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = folder(tmp_path / "first")
    write_network_files(inputs, first, quantizer=quantizer)
    previous = archive_of(inputs, first, tmp_path / "old.mar")
    content = previous.read_bytes()
    if damage == "missing":
        previous.unlink()
    elif damage == "truncated":
        previous.write_bytes(content[: len(content) // 2])
    else:
        model = (first / "network.xml").read_bytes()
        previous.write_bytes(content.replace(model, model[::-1]))
    second = folder(tmp_path / "second")
    write_network_files(inputs, second, previous)
    assert len(conversions) == 2
    assert sorted(record_of(second)["files"]) == FILES
    assert ("old.mar is damaged" in capsys.readouterr().err) == (damage == "changed")


def slip_in(files: dict[str, str], first: Path) -> None:
    (first / "sitecustomize.py").write_bytes(b"raise SystemExit")
    files["sitecustomize.py"] = sha256_of(first / "sitecustomize.py")


def exchange(_files: dict[str, str], first: Path) -> None:
    (first / "network.bin").write_bytes(b"other weights")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(slip_in, "sitecustomize.py is not made from weights", id="another file"),
        pytest.param(exchange, "network.bin is not the file that network.json", id="exchanged"),
    ],
)
def test_only_files_that_are_what_they_should_be_are_taken_over(
    change: Callable[[dict[str, str], Path], None],
    words: str,
    inputs: ArchiveInputs,
    tmp_path: Path,
    conversions: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = folder(tmp_path / "first")
    write_network_files(inputs, first)
    record = record_of(first)
    change(record["files"], first)
    (first / "network.json").write_text(json.dumps(record))
    previous = archive_of(inputs, first, tmp_path / "old.mar")
    second = folder(tmp_path / "second")
    write_network_files(inputs, second, previous)
    assert len(conversions) == 2
    assert sorted(path.name for path in second.iterdir()) == sorted([*FILES, "network.json"])
    assert words in capsys.readouterr().err

import dataclasses
import hashlib
import json
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torchvision.models import densenet121

from archive_builder import HANDLER, ROOT
from archive_builder import inputs as inputs_module
from archive_builder.command import CommandError
from archive_builder.contents import Record
from archive_builder.inputs import (
    ArchiveInputs,
    check_inputs,
    differences,
    gather_inputs,
    read_record,
    read_sources,
)
from archive_builder.weights_source import WeightsSource
from densenet_classifier import __version__

ROWS = {"0": ["a", "ant"], "1": ["b", "bee"], "2": ["c", "cat"]}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def inputs(tmp_path: Path) -> ArchiveInputs:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(ROWS))
    source = WeightsSource(weights, "custom:123", sha256(b"weights"))
    return ArchiveInputs("model", source, labels, {"a.py": b"pass", "b.yaml": b"x: 1"})


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "three-classes.pth"
    torch.save(densenet121(weights=None, num_classes=3).state_dict(), path)
    return path


def with_weights(inputs: ArchiveInputs, path: Path) -> ArchiveInputs:
    return dataclasses.replace(inputs, weights=WeightsSource(path, "custom:123", "0" * 64))


# The record.


def test_record_names_everything_the_archive_is_built_from(inputs: ArchiveInputs) -> None:
    assert inputs.record() == {
        "model_name": "model",
        "model_version": __version__,
        "version": __version__,
        "weights": {"name": "custom:123", "sha256": sha256(b"weights")},
        "labels": {"sha256": sha256(json.dumps(ROWS).encode())},
        "sources": {"a.py": sha256(b"pass"), "b.yaml": sha256(b"x: 1")},
        "built_with": {
            "openvino": version("openvino"),
            "torch": version("torch"),
            "torch-model-archiver": version("torch-model-archiver"),
            "converter": sha256((ROOT / "archive_builder" / "convert.py").read_bytes()),
        },
    }


def test_record_is_equal_for_equal_inputs(inputs: ArchiveInputs) -> None:
    assert inputs.record() == dataclasses.replace(inputs).record()


def test_record_survives_json(inputs: ArchiveInputs) -> None:
    assert json.loads(json.dumps(inputs.record())) == inputs.record()


def test_record_changes_with_a_source(inputs: ArchiveInputs) -> None:
    changed = dataclasses.replace(inputs, sources=inputs.sources | {"a.py": b"pass "})

    assert [line.split(":")[0] for line in differences(inputs.record(), changed.record())] == [
        "sources.a.py"
    ]


def test_record_changes_with_a_new_source(inputs: ArchiveInputs) -> None:
    changed = dataclasses.replace(inputs, sources=inputs.sources | {"c.py": b""})

    assert changed.record() != inputs.record()


def test_record_changes_with_the_labels(inputs: ArchiveInputs) -> None:
    before = inputs.record()
    inputs.labels.write_text(json.dumps(ROWS | {"2": ["c", "cow"]}))

    assert [line.split(":")[0] for line in differences(before, inputs.record())] == [
        "labels.sha256"
    ]


def test_record_changes_with_the_weights(inputs: ArchiveInputs) -> None:
    weights = dataclasses.replace(inputs.weights, sha256=sha256(b"other"))
    changed = dataclasses.replace(inputs, weights=weights)

    assert [line.split(":")[0] for line in differences(inputs.record(), changed.record())] == [
        "weights.sha256"
    ]


def test_record_changes_with_the_model_name(inputs: ArchiveInputs) -> None:
    changed = dataclasses.replace(inputs, model_name="other")

    assert differences(inputs.record(), changed.record()) == ["model_name: model -> other"]


def test_an_archive_without_a_version_has_that_of_the_code(inputs: ArchiveInputs) -> None:
    assert (inputs.model_version, inputs.file_name) == (__version__, "model.mar")


def test_archives_of_two_versions_differ_in_name_and_record(inputs: ArchiveInputs) -> None:
    second = dataclasses.replace(inputs, version="2")

    assert second.file_name == "model-2.mar"
    assert differences(inputs.record(), second.record()) == [f"model_version: {__version__} -> 2"]


@pytest.mark.parametrize("name", ["openvino", "torch", "torch-model-archiver"])
def test_record_changes_with_a_tool(
    name: str, inputs: ArchiveInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inputs.record()
    monkeypatch.setattr(
        inputs_module, "version", lambda tool: "99.0" if tool == name else version(tool)
    )

    assert differences(before, inputs.record()) == [f"built_with.{name}: {version(name)} -> 99.0"]


def test_record_changes_with_the_code_that_converts_the_network(
    inputs: ArchiveInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = inputs.record()
    changed = tmp_path / "convert.py"
    changed.write_text("# another converter")
    monkeypatch.setattr(inputs_module, "CONVERTER", changed)

    assert [line.split(":")[0] for line in differences(before, inputs.record())] == [
        "built_with.converter"
    ]


# differences.


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        pytest.param({}, {}, [], id="both empty"),
        pytest.param({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}}, [], id="equal"),
        pytest.param({"a": 1}, {"a": 2}, ["a: 1 -> 2"], id="changed"),
        pytest.param({}, {"a": 2}, ["a: absent -> 2"], id="absent before"),
        pytest.param({"a": 1}, {}, ["a: 1 -> absent"], id="absent after"),
        pytest.param(
            {"w": {"name": "demo", "same": 1}},
            {"w": {"name": "custom:12", "same": 1}},
            ["w.name: demo -> custom:12"],
            id="nested",
        ),
        pytest.param(
            {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a.b.c: 1 -> 2"], id="twice nested"
        ),
        pytest.param(
            {"z": 1, "b": {"y": 1, "x": 1}},
            {"a": 1, "z": 2, "b": {"x": 2, "y": 2}},
            ["a: absent -> 1", "b.x: 1 -> 2", "b.y: 1 -> 2", "z: 1 -> 2"],
            id="sorted by name",
        ),
        pytest.param(
            {"a": "x" * 24}, {"a": "y" * 25}, [f"a: {'x' * 24} -> {'y' * 12}..."], id="long value"
        ),
        pytest.param({"a": 1}, {"a": {"b": 1}}, ["a: 1 -> {'b': 1}"], id="another kind"),
    ],
)
def test_differences(old: Record, new: Record, lines: list[str]) -> None:
    assert differences(old, new) == lines


def test_differences_with_a_prefix() -> None:
    assert differences({"a": 1}, {"a": 2}, "configuration.") == ["configuration.a: 1 -> 2"]


# read_record.


def archive(path: Path, entries: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def test_record_is_read_from_an_archive(tmp_path: Path, inputs: ArchiveInputs) -> None:
    path = archive(tmp_path / "m.mar", {"archive.json": json.dumps(inputs.record()), "a.py": ""})

    assert read_record(path) == inputs.record()


def test_missing_archive_has_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path / "m.mar") is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"no zip file at all", id="no zip file"),
    ],
)
def test_file_that_is_no_archive_has_no_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.mar"
    path.write_bytes(content)

    assert read_record(path) is None


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_archive_has_no_record(tmp_path: Path, share: float) -> None:
    path = archive(tmp_path / "m.mar", {"archive.json": "{}", "weights.pth": "w" * 1000})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    assert read_record(path) is None


def test_archive_with_a_damaged_record_has_none(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.mar", {"archive.json": '{"model_name": "model"}'})
    path.write_bytes(path.read_bytes().replace(b'"model"}', b'"medal"}'))

    assert read_record(path) is None


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param({}, id="empty archive"),
        pytest.param({"handler.py": ""}, id="archive without a record"),
        pytest.param({"archive.json": "{"}, id="record that is no JSON"),
    ],
)
def test_archive_without_a_record_has_none(tmp_path: Path, entries: dict[str, str]) -> None:
    assert read_record(archive(tmp_path / "m.mar", entries)) is None


# read_sources.


def test_sources_are_py_and_yaml_without_what_python_leaves(tmp_path: Path) -> None:
    for name in ("b.py", "c.yaml", "p/a.py", "p/__pycache__/a.cpython-311.pyc", "p/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    assert read_sources(tmp_path) == {"b.py": b"b.py", "c.yaml": b"c.yaml", "p/a.py": b"p/a.py"}


def test_sources_are_sorted(tmp_path: Path) -> None:
    for name in ("z.py", "a.yaml", "m.py"):
        (tmp_path / name).touch()

    assert list(read_sources(tmp_path)) == ["a.yaml", "m.py", "z.py"]


def test_sources_of_the_handler_are_all_of_it() -> None:
    files = (path for path in HANDLER.rglob("*") if path.is_file())
    names = {path.relative_to(HANDLER).as_posix() for path in files if path.suffix != ".pyc"}

    sources = read_sources(HANDLER)

    assert set(sources) == names
    assert all((HANDLER / name).read_bytes() == content for name, content in sources.items())


# gather_inputs.


def test_inputs_are_those_that_the_environment_names(tmp_path: Path, inputs: ArchiveInputs) -> None:
    environment = {
        "DENSENET121_WEIGHTS": str(inputs.weights.path),
        "INDEX_TO_NAME": str(inputs.labels),
    }

    found = gather_inputs("mine", tmp_path, environment=environment)

    assert found.model_name == "mine"
    assert found.weights.path == inputs.weights.path
    assert found.labels == inputs.labels
    assert found.sources == read_sources(HANDLER)


@pytest.mark.parametrize("extra", [{}, {"INDEX_TO_NAME": ""}], ids=["absent", "empty"])
def test_labels_are_the_projects_own_unless_named(
    tmp_path: Path, inputs: ArchiveInputs, extra: dict[str, str]
) -> None:
    environment = {"DENSENET121_WEIGHTS": str(inputs.weights.path)} | extra

    found = gather_inputs("mine", tmp_path, environment=environment)

    assert found.labels == HANDLER.parent / "index_to_name.json"


def test_missing_labels_are_an_error_naming_the_variable(
    tmp_path: Path, inputs: ArchiveInputs
) -> None:
    missing = tmp_path / "missing.json"
    environment = {
        "DENSENET121_WEIGHTS": str(inputs.weights.path),
        "INDEX_TO_NAME": str(missing),
    }

    with pytest.raises(CommandError) as caught:
        gather_inputs("mine", tmp_path, environment=environment)

    assert str(caught.value) == f"INDEX_TO_NAME={missing}: there is no such file"


def test_required_pretrained_weights_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--require-pretrained"):
        gather_inputs(
            "mine", tmp_path, require_pretrained=True, environment={"DENSENET121_WEIGHTS": "demo"}
        )


# check_inputs.


def test_labels_that_fit_the_weights_pass(inputs: ArchiveInputs, network_file: Path) -> None:
    check_inputs(with_weights(inputs, network_file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(json.dumps({"0": ["a", "ant"]}), "3 outputs", id="too few rows"),
        pytest.param(json.dumps(ROWS | {"3": ["d", "dog"]}), "3 outputs", id="too many rows"),
        pytest.param(json.dumps(ROWS | {"2": ["a", "cat"]}), "same id", id="repeated id"),
        pytest.param("tench, goldfish", "not a readable JSON", id="no JSON"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    inputs: ArchiveInputs, network_file: Path, text: str, words: str
) -> None:
    inputs.labels.write_text(text)

    with pytest.raises(CommandError, match=words):
        check_inputs(with_weights(inputs, network_file))


def test_file_that_torch_cannot_read_is_refused(inputs: ArchiveInputs) -> None:
    with pytest.raises(CommandError, match=r"weights\.pth"):
        check_inputs(inputs)


def test_state_dict_of_another_network_is_refused(inputs: ArchiveInputs, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(3, 2), "fc.bias": torch.zeros(3)}, path)

    with pytest.raises(CommandError, match="not a state_dict of DenseNet-121"):
        check_inputs(with_weights(inputs, path))

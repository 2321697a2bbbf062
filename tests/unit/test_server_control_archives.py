"""Which archives are taken as they are, which are built, and which are refused."""

from pathlib import Path

import pytest

from archive_builder.archive import write_archive
from archive_builder.command import CommandError
from archive_builder.inputs import ArchiveInputs
from archive_builder.weights_source import WeightsSource
from server_control import archives
from server_control.archives import asked_for, inputs_of, prepare
from server_control.configuration import Configuration
from tests.unit.small_archive import LABELS, WEIGHTS, contents, record, sha256


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DENSENET121_WEIGHTS", "INDEX_TO_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[ArchiveInputs]:
    """Write a small archive in place of building one; return the list of what was built."""
    calls: list[ArchiveInputs] = []

    def build(inputs: ArchiveInputs, store: Path, *, take_over: bool) -> None:
        assert take_over
        calls.append(inputs)
        write_archive(store / inputs.file_name, contents(model_name=inputs.model_name))

    monkeypatch.setattr("archive_builder.archive.build_archive", build)
    return calls


def configuration(store: Path, load_models: str) -> Configuration:
    values = {"model_store": str(store), "load_models": load_models}
    return Configuration(store / "config.properties", values)


def inputs(folder: Path) -> ArchiveInputs:
    (folder / "weights.pth").write_bytes(WEIGHTS)
    (folder / "labels.json").write_bytes(LABELS)
    source = WeightsSource(folder / "weights.pth", "custom:123", sha256(WEIGHTS))
    return ArchiveInputs("model", source, folder / "labels.json", {})


def start(asked: Configuration, *, require_pretrained: bool = False) -> None:
    """Do what `serve` does before TorchServe."""
    with inputs_of(asked, require_pretrained=require_pretrained) as found:
        prepare(asked, found)


def test_archives_with_the_models_name_are_taken_as_they_are(
    tmp_path: Path, built: list[ArchiveInputs]
) -> None:
    write_archive(tmp_path / "a.mar", contents())
    write_archive(tmp_path / "b.mar", contents(model_version="0.3.0-b"))
    before = (tmp_path / "a.mar").read_bytes()

    start(configuration(tmp_path, "model=a.mar,model=b.mar"))

    assert built == []
    assert (tmp_path / "a.mar").read_bytes() == before


@pytest.mark.parametrize("name", ["DENSENET121_WEIGHTS", "INDEX_TO_NAME"])
def test_a_variable_that_changes_nothing_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive(tmp_path / "a.mar", contents())
    monkeypatch.setenv(name, "demo")

    start(configuration(tmp_path, "model=a.mar"))

    assert f"{name} changes nothing" in capsys.readouterr().err


def test_an_old_archive_is_built_anew(tmp_path: Path, built: list[ArchiveInputs]) -> None:
    write_archive(tmp_path / "model.mar", contents())
    asked = configuration(tmp_path, "model.mar")

    prepare(asked, inputs(tmp_path))

    assert [each.model_name for each in built] == ["model"]


def test_an_archive_from_before_the_hashes_is_built_anew(
    tmp_path: Path, built: list[ArchiveInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr("archive_builder.archive.CHECKSUMS_FILE", "OTHER")
        write_archive(tmp_path / "densenet121.mar", contents(model_name="densenet121"))
    monkeypatch.setattr(archives, "gather_inputs", lambda *_, **__: named(tmp_path))

    start(configuration(tmp_path, "densenet121.mar"))

    assert [each.model_name for each in built] == ["densenet121"]


def named(folder: Path) -> ArchiveInputs:
    found = inputs(folder)
    return ArchiveInputs("densenet121", found.weights, found.labels, {})


@pytest.mark.parametrize("half", [b"", b"half of an archive, as a copy in progress leaves it"])
def test_half_an_archive_is_built_anew(
    half: bytes, tmp_path: Path, built: list[ArchiveInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "densenet121.mar").write_bytes(half)
    monkeypatch.setattr(archives, "gather_inputs", lambda *_, **__: named(tmp_path))

    start(configuration(tmp_path, "densenet121.mar"))

    assert len(built) == 1


@pytest.mark.parametrize("load_models", ["model.mar", "model=model.mar"])
def test_an_archive_that_somebody_changed_is_refused(
    load_models: str, tmp_path: Path, built: list[ArchiveInputs]
) -> None:
    path = tmp_path / "model.mar"
    write_archive(path, contents())
    content = path.read_bytes()
    path.write_bytes(content.replace(WEIGHTS, WEIGHTS[::-1]))

    with pytest.raises(CommandError, match=r"model\.mar is not as it was built") as caught:
        start(configuration(tmp_path, load_models))

    assert "\n  weights.pth is not the file that was packed" in str(caught.value)
    assert built == []


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"a\.mar cannot be read: No such file"):
        start(configuration(tmp_path, "model=a.mar"))


def test_an_archive_of_another_model_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.mar", contents(model_name="flowers"))

    with pytest.raises(CommandError, match="is of the model flowers, and load_models says model"):
        start(configuration(tmp_path, "model=a.mar"))


def test_two_archives_of_one_version_are_refused(tmp_path: Path) -> None:
    for name in ("a.mar", "b.mar"):
        write_archive(tmp_path / name, contents())

    with pytest.raises(CommandError, match=r"a\.mar and b\.mar are both of version 0\.3\.0"):
        start(configuration(tmp_path, "model=a.mar,model=b.mar"))


def test_demo_weights_in_any_archive_are_no_pretrained_ones(tmp_path: Path) -> None:
    demo = {"name": "demo", "sha256": sha256(WEIGHTS)}
    write_archive(tmp_path / "a.mar", contents())
    write_archive(tmp_path / "b.mar", contents(model_version="2", weights=demo))

    with pytest.raises(CommandError, match=r"b\.mar holds demo weights"):
        start(configuration(tmp_path, "model=a.mar,model=b.mar"), require_pretrained=True)


def test_what_is_asked_for_is_the_record_of_one_archive(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.mar", contents())

    asked = asked_for(configuration(tmp_path, "model=a.mar"), None)

    assert asked == record() | {"int8": False}


def test_what_is_asked_for_names_other_versions_by_file(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.mar", contents())
    write_archive(tmp_path / "b.mar", contents(model_version="2"))

    asked = asked_for(configuration(tmp_path, "model=a.mar,model=b.mar"), None)

    assert asked.pop("versions") == {"b.mar": record(model_version="2") | {"int8": False}}
    assert asked == record() | {"int8": False}

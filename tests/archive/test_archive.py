"""A real archive, built by torch-model-archiver: what it holds, and that it can be relied on."""

import json
import multiprocessing
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from archive_builder import HANDLER, LABELS, ROOT, SAMPLES, archive, network_files
from archive_builder.archive import build_archive
from archive_builder.command import CommandError
from archive_builder.inputs import ArchiveInputs, gather_inputs, read_record
from densenet_classifier import __version__
from densenet_classifier.weights import sha256_of
from tests.server.harness import DEMO_WEIGHTS, copy_as

MADE = {"network.xml", "network.bin", "classifier.npy"}  # of the weights
ADDED = {
    "archive.json", "index_to_name.json", "weights.pth", "MAR-INF/MANIFEST.json", "network.json",
    "SHA256SUMS",
} | MADE  # fmt: skip
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def inputs(demo_store: Path) -> ArchiveInputs:
    return gather_inputs("densenet121", demo_store, environment=DEMO_WEIGHTS)


@pytest.fixture
def unpacked(demo_archive: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(demo_archive) as file:
        file.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.fixture
def older(demo_archive: Path, tmp_path: Path) -> Path:
    """Return an archive of the version before, there where the next one is built."""
    return copy_as(demo_archive, tmp_path / demo_archive.name, version="0.0.1")


def test_two_builds_are_identical_byte_for_byte(
    inputs: ArchiveInputs, demo_archive: Path, tmp_path: Path
) -> None:
    assert build_archive(inputs, tmp_path).read_bytes() == demo_archive.read_bytes()


def test_the_tree_that_runs_is_the_tree_one_reads(unpacked: Path) -> None:
    files = {path.relative_to(unpacked).as_posix() for path in written_in(unpacked)}
    sources = {name for name in files if name not in ADDED}
    for name in sources:
        assert (unpacked / name).read_bytes() == (HANDLER / name).read_bytes()
    assert sources == {path.relative_to(HANDLER).as_posix() for path in written_in(HANDLER)}
    assert files - sources == ADDED


def written_in(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


def test_labels_and_weights_are_the_files_they_were_built_from(
    unpacked: Path, inputs: ArchiveInputs
) -> None:
    assert (unpacked / "index_to_name.json").read_bytes() == LABELS.read_bytes()
    assert sha256_of(unpacked / "weights.pth") == inputs.weights.sha256


def test_what_was_made_of_the_weights_is_named_with_its_hash(
    unpacked: Path, inputs: ArchiveInputs
) -> None:
    record = json.loads((unpacked / "network.json").read_text())
    assert record == {
        "weights": inputs.weights.sha256,
        "files": {name: sha256_of(unpacked / name) for name in MADE},
    }


def test_building_again_takes_over_what_was_made_of_the_weights(
    inputs: ArchiveInputs, demo_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(_: object) -> None:
        message = "converted again"
        raise AssertionError(message)

    shutil.copy(demo_archive, tmp_path)
    monkeypatch.setattr(network_files, "convert", convert)
    again = build_archive(inputs, tmp_path, take_over=True)
    assert again.read_bytes() == demo_archive.read_bytes()
    with pytest.raises(AssertionError, match="converted again"):
        build_archive(inputs, tmp_path)


def test_with_other_sources_only_they_are_different(
    inputs: ArchiveInputs, demo_archive: Path, unpacked: Path, tmp_path: Path
) -> None:
    shutil.copy(demo_archive, tmp_path)
    changed = replace(inputs, sources=inputs.sources | {"extra.py": b"1"})
    again = build_archive(changed, tmp_path, take_over=True)
    with zipfile.ZipFile(again) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    assert contents.pop("extra.py") == b"1"
    before = {name: (unpacked / name).read_bytes() for name in contents}
    assert [name for name in contents if contents[name] != before[name]] == [
        "SHA256SUMS",
        "archive.json",
    ]
    assert read_record(again) == changed.record()


def test_the_manifest_names_what_torchserve_loads(unpacked: Path) -> None:
    manifest = json.loads((unpacked / "MAR-INF" / "MANIFEST.json").read_text())
    assert manifest["model"] == {
        "modelName": "densenet121",
        "modelVersion": __version__,
        "handler": "densenet121_handler.py",
        "serializedFile": "weights.pth",
        "configFile": "model-config.yaml",
    }
    assert "createdOn" not in manifest


def test_every_file_is_listed_with_its_hash(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in written_in(unpacked)}
    lines = (unpacked / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        f"{sha256_of(unpacked / name)}  {name}" for name in sorted(names - {"SHA256SUMS"})
    ]


def test_an_archive_of_a_version_is_another_file(
    inputs: ArchiveInputs, demo_archive: Path, tmp_path: Path
) -> None:
    shutil.copy(demo_archive, tmp_path)
    shutil.copy(demo_archive, tmp_path / "densenet121-0.3.0-b.mar")
    second = build_archive(replace(inputs, version="0.3.0-b"), tmp_path, take_over=True)
    assert second == tmp_path / "densenet121-0.3.0-b.mar"
    assert (tmp_path / "densenet121.mar").read_bytes() == demo_archive.read_bytes()
    with zipfile.ZipFile(second) as file:
        model = json.loads(file.read("MAR-INF/MANIFEST.json"))["model"]
    assert (model["modelName"], model["modelVersion"]) == ("densenet121", "0.3.0-b")


@pytest.mark.parametrize("version", ["../up", "a b", "1/2", "all"])
def test_a_version_that_is_no_part_of_an_address_is_refused(
    inputs: ArchiveInputs, tmp_path: Path, version: str
) -> None:
    with pytest.raises(CommandError, match=f"version {version!r}"):
        build_archive(replace(inputs, version=version), tmp_path)


def test_the_record_in_the_archive_is_what_it_was_built_from(
    demo_archive: Path, inputs: ArchiveInputs
) -> None:
    assert read_record(demo_archive) == inputs.record()


@pytest.mark.parametrize("engine", ["auto", "openvino", "torch"])
def test_the_archive_works_in_a_clean_process(engine: str, unpacked: Path) -> None:
    """Nothing of the checkout is needed: the path holds the unpacked archive and packages only."""
    program = f"""
import json, sys
sys.path.insert(0, {str(unpacked)!r})
import densenet121_handler
from ts.context import Context, RequestProcessor
context = Context(
    "densenet121", {str(unpacked)!r}, {{}}, 1, None, "0.12.0",
    model_yaml_config={{"minWorkers": 1, "handler": {{"engine": {engine!r}}}}},
)
handler = densenet121_handler.DenseNet121Handler()
handler.initialize(context)
context.request_processor = [RequestProcessor({{}})]
with open({str(SAMPLES / "maze.png")!r}, "rb") as file:
    print(handler.handle([{{"body": file.read()}}], context)[0])
assert ("torch" in sys.modules) is ({engine!r} == "torch"), "torch costs half a gigabyte"
assert not any({str(ROOT)!r} + "/" + part in path for part in ("handler", "archive_builder")
               for path in sys.path)
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"class_id": "n03733281", "class_name": "maze"}


def test_building_twice_at_once_gives_one_whole_archive(
    inputs: ArchiveInputs, demo_archive: Path, older: Path, tmp_path: Path
) -> None:
    # Each takes from what the other may be replacing just now.
    build = partial(build_archive, inputs, tmp_path, take_over=True)
    # Processes, as two commands are.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for built in [pool.submit(build) for _ in range(2)]:
            built.result()
    assert older.read_bytes() == demo_archive.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".densenet121.mar.lock",
        "densenet121.mar",
    ]


def test_an_interrupted_build_leaves_the_old_archive(
    inputs: ArchiveInputs, older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(_packed: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    before = older.read_bytes()
    monkeypatch.setattr(archive, "_repack", write_half)
    with pytest.raises(KeyboardInterrupt):
        build_archive(inputs, tmp_path, take_over=True)
    assert older.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_an_unexpected_name_is_refused(
    inputs: ArchiveInputs, older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = older.read_bytes()
    monkeypatch.setattr(archive, "MANIFEST", "MAR-INF/OTHER.json")
    with pytest.raises(CommandError, match="names are not as expected"):
        build_archive(inputs, tmp_path, take_over=True)
    assert older.read_bytes() == before


def test_labels_that_do_not_fit_are_refused(inputs: ArchiveInputs, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('{"0": ["a", "b"]}')
    with pytest.raises(CommandError, match="1000 outputs"):
        build_archive(replace(inputs, labels=labels), tmp_path)
    assert not list(tmp_path.glob("*.mar"))


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(
    inputs: ArchiveInputs, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CommandError, match="model name"):
        build_archive(replace(inputs, model_name=name), tmp_path)


def test_the_command_prints_path_weights_and_hash(demo_store: Path) -> None:
    result = subprocess.run(
        [str(ROOT / "scripts" / "build-archive"), f"--model-store={demo_store}"],
        env={**DEMO_WEIGHTS, "PATH": "/usr/bin:/bin", **_python()},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    built = demo_store / "densenet121.mar"
    assert result.stdout.splitlines() == [
        str(built),
        "weights demo",
        f"sha256  {sha256_of(built)}",
    ]


def _python() -> dict[str, str]:
    return {"PYTHON": str(Path(sys.base_prefix) / "bin" / "python3")}

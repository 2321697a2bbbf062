import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archive_builder import verify as verify_module
from archive_builder.archive import write_archive
from archive_builder.checksums import checksums_text
from archive_builder.contents import MANIFEST
from archive_builder.verify import verify
from densenet_classifier.weights import sha256_of
from tests.unit.small_archive import contents, record, sha256

Contents = dict[str, bytes]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "model.mar"
    write_archive(path, contents())
    return path


def findings(path: Path, files: Contents) -> tuple[str, ...]:
    write_archive(path, files)
    return verify(path).findings


def exchange(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) >= 1
    path.write_bytes(content.replace(before, after))


def test_what_was_built_is_good(archive: Path) -> None:
    report = verify(archive)

    assert report.findings == ()
    assert report.record == record()
    assert report.files == len(contents()) + 1
    assert report.sha256 == sha256_of(archive)
    assert report.checkable
    assert not report.int8


def test_an_int8_model_is_told(tmp_path: Path) -> None:
    files = contents() | {"network-int8.xml": b"<net/>"}
    write_archive(tmp_path / "m.mar", files)

    assert verify(tmp_path / "m.mar").int8


@pytest.mark.parametrize("name", sorted(contents()))
def test_one_exchanged_byte_of_any_file_is_found(name: str, archive: Path) -> None:
    content = contents()[name]
    exchange(archive, content, content[:-2] + b"!" + content[-1:])

    assert (
        f"{name} is not the file that was packed: its SHA-256 is another"
        in verify(archive).findings
    )


def test_a_file_that_was_packed_anew_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = checksums_text({name: sha256(content) for name, content in contents().items()})
    write_other_sums(monkeypatch, lambda _: before)

    assert findings(tmp_path / "m.mar", contents() | {"model-config.yaml": b"minWorkers: 9\n"}) == (
        "model-config.yaml is not the file that was packed: its SHA-256 is another",
    )


def write_other_sums(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    monkeypatch.setattr(
        "archive_builder.archive.checksums_text", lambda hashes: change(checksums_text(hashes))
    )


def test_an_archive_from_before_the_hashes_is_not_checkable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive_builder.archive.CHECKSUMS_FILE", "OTHER")
    write_archive(tmp_path / "m.mar", contents())

    report = verify(tmp_path / "m.mar")

    assert not report.checkable
    assert report.findings == ("it has no SHA256SUMS: build it anew with ./scripts/build-archive",)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param(
            lambda text: text + f"{'0' * 64}  z.py\n", "z.py is missing", id="a file is missing"
        ),
        pytest.param(
            lambda text: text.replace("weights.pth", "w.pth"),
            "weights.pth is not listed in SHA256SUMS",
            id="a file is extra",
        ),
        pytest.param(
            lambda text: "x" + text,
            "SHA256SUMS cannot be read: line 1 is not of the form 'SHA-256  name', or repeats a "
            "name",
            id="no hashes",
        ),
    ],
)
def test_hashes_and_files_must_belong_together(
    change: Callable[[str], str], finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_other_sums(monkeypatch, change)

    assert finding in findings(tmp_path / "m.mar", contents())


def other_json(name: str, **changes: Any) -> Contents:
    files = contents()
    return files | {name: json.dumps(json.loads(files[name]) | changes).encode()}


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        pytest.param(
            contents(weights={"name": "demo", "sha256": OTHER}),
            "weights.pth is not the file that archive.json names",
            id="other weights",
        ),
        pytest.param(
            contents(labels={"sha256": OTHER}),
            "index_to_name.json is not the file that archive.json names",
            id="other labels",
        ),
        pytest.param(
            other_json("network.json", weights=OTHER),
            "network.json is of other weights than archive.json",
            id="network of other weights",
        ),
        pytest.param(
            other_json("network.json", files={"network.xml": OTHER}),
            "network.xml is not the file that network.json names",
            id="another network",
        ),
        pytest.param(
            contents() | {"sitecustomize.py": b"raise SystemExit"},
            "sitecustomize.py is in none of the archive's records",
            id="unrecorded file",
        ),
        pytest.param(
            contents(version="0.2.0"),
            "its code is of version 0.3.0, archive.json says 0.2.0",
            id="other code",
        ),
        pytest.param(
            other_json(MANIFEST, model={"modelName": "model", "modelVersion": "9"}),
            "MAR-INF/MANIFEST.json says modelVersion '9', archive.json '0.3.0'",
            id="other version for TorchServe",
        ),
        pytest.param(
            other_json(MANIFEST, model={"modelName": "model", "handler": "other.py"}),
            "MAR-INF/MANIFEST.json says handler 'other.py', archive.json 'densenet121_handler.py'",
            id="other handler for TorchServe",
        ),
    ],
)
def test_records_that_contradict_each_other_are_found(
    files: Contents, finding: str, tmp_path: Path
) -> None:
    assert finding in findings(tmp_path / "m.mar", files)


@pytest.mark.parametrize("name", ["archive.json", "network.json", MANIFEST])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"7", b'{"weights": 1, "model": [], "files": 2}', b"[" * 100_000, b"\xff"],
    ids=["empty", "list", "nothing", "number", "odd", "deep", "no text"],
)
def test_records_of_any_form_are_a_finding(name: str, content: bytes, tmp_path: Path) -> None:
    found = findings(tmp_path / "m.mar", contents() | {name: content})

    assert len(found) == 1
    assert found[0].startswith("its records are not of the form that is written here")


def test_a_missing_record_is_a_finding(tmp_path: Path) -> None:
    files = contents()
    del files["archive.json"]

    (finding,) = findings(tmp_path / "m.mar", files)

    assert "archive.json" in finding


def test_a_record_of_absurd_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "_MAX_RECORD_BYTES", 2000)

    (finding,) = findings(tmp_path / "m.mar", contents(more="x" * 2000))

    assert "archive.json has more than 2000 bytes" in finding


def test_an_archive_of_absurd_size_is_not_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "MAX_BYTES", 100)
    monkeypatch.setattr("archive_builder.zip_layout.MAX_BYTES", 100)

    report = verify(archive)

    assert "at most 100 are read" in report.findings[0]
    assert report.sha256 == f"of {archive.stat().st_size} bytes not computed"


def test_another_layout_is_a_finding(archive: Path) -> None:
    archive.write_bytes(b"more" + archive.read_bytes())

    assert len(verify(archive).findings) == 1
    assert verify(archive).record is None


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_the_expected_hash_of_the_whole_is_compared(
    change: Callable[[str], str], archive: Path
) -> None:
    assert verify(archive, change(sha256_of(archive))).findings == ()


def test_who_brings_the_hashes_in_line_is_found_by_the_hash_of_the_whole_only(
    archive: Path,
) -> None:
    expected = sha256_of(archive)
    write_archive(archive, contents(built_with={"by": "another"}))

    assert verify(archive).findings == ()
    assert verify(archive, expected).findings == (
        f"its SHA-256 is {sha256_of(archive)}, not the expected {expected}",
    )

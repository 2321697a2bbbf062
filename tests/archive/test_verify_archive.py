"""The command on a real archive: what it shows, what it finds, and how it ends."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from archive_builder import ROOT
from densenet_classifier import __version__
from densenet_classifier.weights import sha256_of

TIMEOUT_S = 120
Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def changed(demo_archive: Path, tmp_path: Path) -> Path:
    """Return a copy with one other byte, somewhere in the weights."""
    path = Path(shutil.copy(demo_archive, tmp_path))
    with zipfile.ZipFile(path) as file:
        offset = file.getinfo("weights.pth").header_offset
    content = bytearray(path.read_bytes())
    content[offset + 1_000_000] ^= 1
    path.write_bytes(content)
    return path


def verify_archive(*arguments: str | Path, **environment: str) -> Completed:
    return subprocess.run(
        [str(ROOT / "scripts" / "verify-archive"), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_a_good_archive_is_shown(demo_archive: Path) -> None:
    result = verify_archive(demo_archive)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        str(demo_archive),
        f"sha256   {sha256_of(demo_archive)}",
        f"model    densenet121 {__version__}",
        f"code     {__version__}",
    ]
    assert lines[4].startswith("weights  demo ")
    assert lines[5] == "int8     no"
    assert lines[-1] == "intact"


def test_one_changed_byte_is_one_line(changed: Path, demo_archive: Path) -> None:
    result = verify_archive(changed, demo_archive)
    assert result.returncode == 1
    assert result.stderr == (
        "error: densenet121.mar: weights.pth is not the file that was packed: its SHA-256 is "
        "another\n"
    )
    assert result.stdout.count("intact") == 1


def test_the_configured_archives_are_the_default(changed: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "config.properties"
    configuration.write_text("model_store=.\nload_models=densenet121=densenet121.mar\n")
    result = verify_archive(TS_CONFIG_FILE=str(configuration))
    assert result.returncode == 1
    assert result.stdout.splitlines()[0] == str(changed)


def test_the_hash_of_the_whole_is_compared(demo_archive: Path) -> None:
    assert verify_archive("--sha256", sha256_of(demo_archive), demo_archive).returncode == 0
    result = verify_archive("--sha256", "0" * 64, demo_archive)
    assert result.returncode == 1
    assert f"not the expected {'0' * 64}" in result.stderr


@pytest.mark.parametrize("arguments", [["missing.mar"], ["--sha256", "0", "a.mar", "b.mar"]])
def test_what_cannot_be_verified_is_one_line(arguments: list[str]) -> None:
    result = verify_archive(*arguments)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1

"""`./scripts/benchmark --quick` runs from archive to picture and leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from archive_builder import HANDLER, ROOT
from server_control.runtime import RUN

TIMEOUT_S = 280


@pytest.fixture
def command() -> list[str]:
    """Return the command, or skip."""
    if shutil.which("wrk") is None:
        pytest.skip("wrk is missing: apt-get install wrk")
    if find_spec("matplotlib") is None or find_spec("litserve") is None:
        pytest.skip("what requirements-benchmark.txt names is not installed")
    return [sys.executable, "-m", "benchmarks", "--quick"]


def test_quick(command: list[str], demo_weights_file: Path, tmp_path: Path) -> None:
    temp, output = tmp_path / "t", tmp_path / "results"
    temp.mkdir()
    before = set(RUN.glob("*"))
    kept = {name: value for name, value in os.environ.items() if name != "TEST_ASSETS"}
    environment = {"PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}"}
    result = subprocess.run(
        [*command, f"--output={output}", f"--weights={demo_weights_file}"],
        env={**kept, **environment, "TMPDIR": str(temp)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == (output / "benchmark.md").read_text()
    document = json.loads((output / "benchmark.json").read_text())
    (ours,) = document["medians"]
    assert ours["agreement"] == "32/32"
    assert ours["loads"]["1"]["rate"] > 0
    assert ours["loads"]["8"]["errors"] == 0
    assert ours["worker_uss_mb"] > 0
    assert document["raw"]["decode_rate"] > document["raw"]["rates"]["float32"] > 0
    assert "no photographs" in document["settings"]["photographs"]["source"]
    with Image.open(output / "benchmark.png") as image:
        assert image.format == "PNG"
    assert list(temp.iterdir()) == [], "temporary files are left behind"
    # Other servers may have come meanwhile; those of the benchmark know its folder.
    left = [folder for folder in set(RUN.glob("*")) - before if str(temp) in told_in(folder)]
    assert left == [], "a server's folder is left behind"


def told_in(folder: Path) -> str:
    """Return all that the files of a server's folder say; others remove theirs meanwhile."""
    texts = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
    return "".join(texts)

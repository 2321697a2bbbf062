"""`./scripts/soak --quick` runs from server to picture and leaves nothing behind."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from archive_builder import HANDLER, ROOT
from server_control.runtime import RUN

TIMEOUT_S = 280
COMMAND = [sys.executable, "-m", "reliability.soak", "--quick", "--load=0.5"]


def test_quick(demo_weights_file: Path, tmp_path: Path) -> None:
    if find_spec("aiohttp") is None or find_spec("matplotlib") is None:
        pytest.skip("what requirements-benchmark.txt names is not installed")
    temp, output = tmp_path / "t", tmp_path / "results"
    temp.mkdir()
    before = set(RUN.glob("soak-*")) | set(RUN.glob("config-*"))
    kept = {name: value for name, value in os.environ.items() if name != "TEST_ASSETS"}
    result = subprocess.run(
        [*COMMAND, f"--output={output}", f"--weights={demo_weights_file}"],
        env={**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}", "TMPDIR": str(temp)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode in {0, 1}, result.stderr
    document = json.loads((output / "soak.json").read_text())
    assert document["outcomes"]["right"] > 0
    # A few seconds say nothing about memory; what is answered, and what is left, they do tell.
    holds = {each["name"]: each["holds"] for each in document["verdicts"]}
    assert holds["no wrong answer"], document["failures"]
    assert holds["no worker was lost"]
    assert holds["temporary files, before and after"]
    with Image.open(output / "soak.png") as picture:
        assert picture.width > 500
    assert "times capacity" in result.stdout
    assert list(temp.iterdir()) == []
    assert set(RUN.glob("soak-*")) | set(RUN.glob("config-*")) == before

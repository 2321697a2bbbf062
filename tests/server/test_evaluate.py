"""`./scripts/evaluate` with a real server: the project's own pictures are all recognised."""

import json
from pathlib import Path

from archive_builder import SAMPLES
from tests.server.harness import Server

PICTURES = sorted(path.name for path in SAMPLES.glob("*.png"))


def test_the_samples(demo_server: Server, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    result = demo_server.script(
        *("evaluate", str(SAMPLES), "--json", str(file)),
        *("--min-top1", "1", "--min-agreement", "1", "--against", "float32"),
    )
    assert result.returncode == 0, result.stderr
    assert f"images                  {len(PICTURES)}" in result.stdout
    report = json.loads(file.read_text())
    assert [each["file"] for each in report["photographs"]] == PICTURES
    assert report["top1"]["share"] == report["agreement"]["share"] == 1
    assert report["confusions"] == []
    assert report["model"]["weights"]["name"] == "demo"
    # Another engine and precision than the reference's, but the same network.
    assert report["change"]["largest"] < 0.1
    assert "draw.py" in {each["file"] for each in report["unlabelled"]}


def test_no_server_is_one_clear_line(server: Server) -> None:
    result = server.script("evaluate", str(SAMPLES), "--no-reference")
    assert result.returncode == 1
    assert "no server at" in result.stderr
    assert len(result.stderr.splitlines()) == 1

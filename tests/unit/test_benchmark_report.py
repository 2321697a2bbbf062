"""The table, the JSON and the picture hold what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.figures import ratios, raw_medians, row_medians
from benchmarks.report import markdown, table, write_json
from tests.unit.benchmark_figures import one_round, raw, run

MEMORY = {"workers": [{"pss_mb": 301.4, "uss_mb": 250.6}], "rest": [{"pss_mb": 100.0}]}
OURS = row_medians(
    [one_round(memory=MEMORY, c1=run(60, 15), c32=run(100, 300, s500=2), c8_large=run(40))]
)
FLASK = row_medians([one_round("flask", ready_s=None, c1=run(9))])
RAW = raw_medians([raw()])
MACHINE = {"cpu": "A processor", "cores": 2, "date": "2026-01-02 03:04 UTC"}
SETTINGS: dict[str, Any] = {
    "rounds": 3,
    "seconds": 10.0,
    "connections": (1, 32),
    "photographs": {"source": "32 photographs", "mean_bytes": 103_000},
}


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_shows_rates_latencies_errors_times_and_memory() -> None:
    head, _, ours, flask = map(_cells, table([OURS, FLASK], (1, 32)).splitlines())
    assert dict(zip(head, ours, strict=True)) == {
        "server": "ours",
        "1 conn.: req/s (p50 / p99 ms)": "60.0 (15.0 / 45.0)",
        "32 conn.: req/s (p50 / p99 ms)": "100.0 (300.0 / 900.0)",
        "errors": "2",
        "right": "32/32",
        "start s": "7.0",
        "READY s": "3.0",
        "worker PSS / USS MB": "301 / 251",
        "all MB": "401",
    }
    assert flask[2] == flask[6] == "-"


def test_the_document_names_machine_date_photographs_and_every_goal() -> None:
    found = ratios({"ours": OURS}, RAW, "bf16")
    text = markdown(MACHINE, SETTINGS, [OURS], RAW, found)
    for words in ("A processor", "2 cores", "2026-01-02", "3 interleaved", "32 photographs"):
        assert words in text
    assert "8 large connections: 40.0" in text
    assert "| bf16 | 120.0 | 8.0 | 100.0 |" in text
    assert "| ours / ceiling of bf16, 32 connections | 1.00 | at least 0.9 | yes |" in text


def test_json_holds_every_round_as_objects(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    write_json(path, {"rounds": [one_round(c1=run(60))], "ratios": ratios({}, None, "bf16")})
    (written,) = json.loads(path.read_text())["rounds"]
    assert written["loads"]["1"]["statuses"] == {"200": 600}


@pytest.mark.parametrize("rows", [[OURS, FLASK], [FLASK]], ids=["several", "one without 32"])
def test_the_plot_is_a_png_of_a_readable_size(tmp_path: Path, rows: list[Any]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is missing (requirements-benchmark.txt)")
    from benchmarks.plot import plot  # noqa: PLC0415 - needs matplotlib

    path = tmp_path / "benchmark.png"
    plot(path, rows, RAW, "bf16", (1, 32), "A title")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 1000

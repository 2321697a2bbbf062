"""Processes of the fuzzer that end, the command, and what it writes down."""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archive_builder import HANDLER, ROOT
from reliability.fuzzing import processes, report
from reliability.fuzzing.arguments import CASES, HTTP_CASES, parse
from reliability.fuzzing.cases import Cases
from reliability.fuzzing.measured import measured
from reliability.fuzzing.worker import Finding, Tally
from tests.unit.fuzz_workers import BAD, ends_in_one_batch

TIMEOUT_S = 120


def job(batches: int) -> processes.Job:
    return processes.Job(1, None, None, amplify=False, batches=range(batches))


@pytest.mark.parametrize("number", [1, 2])
def test_a_process_that_ends_is_told_and_another_goes_on(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_work", ends_in_one_batch)
    total = Tally()
    for tally in processes.run(job(6), number):
        total.add(tally)
    assert total.neighbours == 5
    (finding,) = total.findings
    assert finding.number == BAD * 6
    assert finding.wrong.startswith("the process ended with 7")


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}"}
    return subprocess.run(
        [sys.executable, "-m", "reliability.fuzzing", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_command_reports_what_it_saw(tmp_path: Path) -> None:
    result = fuzz("--cases", "20", "--seed", "5", "--no-amplified", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "| all | 24 |" in result.stdout  # whole batches
    assert "Findings: 0." in result.stdout
    written = json.loads((tmp_path / "report.json").read_text())
    assert (written["seed"], written["neighbours"], written["findings"]) == (5, 8, [])


def test_one_case_is_run_in_its_batch_and_kept(tmp_path: Path) -> None:
    result = fuzz("--case", "100", "--no-amplified", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "| all | 6 |" in result.stdout
    kept = [path.read_bytes() for path in sorted(tmp_path.glob("case-100-*"))]
    assert tuple(kept) == Cases(1, amplify=False)[100].request.contents


def test_a_folder_without_images_is_told() -> None:
    result = fuzz("--assets", "/nowhere")
    assert result.returncode == 1
    assert result.stderr.startswith("error: --assets /nowhere:")


@pytest.mark.parametrize(
    "arguments", [["--cases", "0"], ["--processes", "x"], ["--url", "http://x", "--archive", "a"]]
)
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2


def test_over_http_there_are_fewer_cases() -> None:
    assert parse([]).cases == CASES
    assert parse(["--url", "http://127.0.0.1/predictions/m"]).cases == HTTP_CASES


def test_what_failed_is_kept_and_told(tmp_path: Path) -> None:
    tally = Tally(slowest=(1.5, 3, "form"), largest=(2**20, 4, "form"))
    tally.count("form", "500")
    tally.findings.append(Finding(3, "form", "it fell over", (b"one", b"two")))
    text = report.table(tally, 12)
    assert "- case 3 (form): it fell over" in text
    assert "Slowest: 1.50 s of CPU time, case 3 (form)." in text
    assert "Most memory: 1 MiB, case 4 (form)." in text
    report.write(tmp_path, tally, seed=9)
    assert (tmp_path / "case-3-0").read_bytes() == b"one"
    assert (tmp_path / "case-3-1").read_bytes() == b"two"
    assert json.loads((tmp_path / "report.json").read_text())["findings"][0]["case"] == 3


def test_tallies_are_added() -> None:
    one, other = Tally(slowest=(1.0, 1, "a"), neighbours=2), Tally(slowest=(2.0, 2, "b"))
    one.count("form", "200", 3)
    other.count("form", "200")
    other.count("form", "400")
    one.add(other)
    assert one.statuses == {"form": {"200": 4, "400": 1}}
    assert (one.cases, one.slowest, one.neighbours) == (5, (2.0, 2, "b"), 2)


def test_memory_that_was_given_back_is_measured() -> None:
    size = 50_000_000
    # Of the system, not of malloc, which may have so much from before.
    with measured() as cost, mmap.mmap(-1, size) as content:
        content[::4096] = b"x" * len(content[::4096])
    assert 0.9 * size < cost.memory_bytes < 2 * size


def test_time_is_that_of_the_processor() -> None:
    with measured() as cost:
        sum(range(1_000_000))
    assert cost.cpu_s > 0

"""`audit` never takes silence for health."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from archive_builder.command import CommandError
from supply_chain import audit

GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3"], "description": ""}],
}
SILENT = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([GOOD], audit.CLEAN),
        ([GOOD, BAD, SILENT], audit.VULNERABLE),
        ([GOOD, SILENT], audit.UNANSWERED),
        ([SILENT], audit.UNANSWERED),
        ([], audit.UNANSWERED),
    ],
)
def test_status(answers: list[dict[str, Any]], status: int) -> None:
    assert audit.report(answers) == status


def test_what_is_found_and_what_got_no_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    audit.report([GOOD, BAD, SILENT])
    shown = capsys.readouterr()
    assert shown.out == "b 2: PYSEC-1, CVE-1; fixed in 3\nc: not found\n"
    assert shown.err == "2 of 3 packages looked up, 1 of them vulnerable\n"


def test_every_pin_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pip_audit(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        file = Path(command[command.index("--requirement") + 1])
        asked.extend(file.read_text(encoding="utf-8").splitlines())
        out = json.dumps({"dependencies": [GOOD], "fixes": []})
        return subprocess.CompletedProcess(command, 0, out, "")

    monkeypatch.setattr(subprocess, "run", pip_audit)
    assert audit._asked({"torch": "2.14.1+cpu", "pillow": "13.0.0"}, "pypi") == [GOOD]
    assert asked == ["pillow==13.0.0", "torch==2.14.1"]
    assert {"pillow", "torch", "torchserve", "urllib3", "pytest"} <= audit.packages().keys()


@pytest.mark.parametrize("out", ["", "no JSON", "{}"])
def test_without_a_network_nothing_is_said_to_be_well(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, out, "Traceback\nConnectionError: no route")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(CommandError, match="nothing was audited: ConnectionError: no route"):
        audit._asked({"a": "1"}, "pypi")


def test_a_database_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(CommandError, match="did not answer within 900 s"):
        audit._asked({"a": "1"}, "osv")

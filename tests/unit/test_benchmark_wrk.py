"""wrk's figures are read; what is no figure, a failure or a missing wrk is one clear error."""

import json
import os
import stat
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from benchmarks.wrk import load, parse, require_wrk

FIGURES = {
    "requests": 110,
    "duration_s": 2.0,
    "statuses": {"200": 100, "503": 10},
    "errors": {"connect": 1, "read": 2, "write": 0, "timeout": 3},
    "p50_ms": 9.5,
    "p90_ms": 11.0,
    "p99_ms": 20.25,
    "max_ms": 31.0,
}
OUTPUT = f"Running 2s test\n  110 requests in 2.00s\nFIGURES {json.dumps(FIGURES)}\n"


def test_figures_are_read_from_among_what_wrk_prints() -> None:
    figures = parse(OUTPUT)
    assert figures.p50_ms == 9.5
    assert figures.p99_ms == 20.25
    assert figures.statuses == {"200": 100, "503": 10}


def test_the_rate_counts_good_answers_only() -> None:
    assert parse(OUTPUT).rate == 50.0


def test_every_other_status_and_every_broken_connection_is_an_error() -> None:
    assert parse(OUTPUT).error_count == 10 + 1 + 2 + 3


@pytest.mark.parametrize(
    "output",
    ["", "unable to connect", "FIGURES {", 'FIGURES {"requests": 3}', OUTPUT + OUTPUT],
    ids=["nothing", "no figures", "cut off", "some missing", "twice"],
)
def test_other_output_is_an_error_that_shows_it(output: str) -> None:
    with pytest.raises(CommandError, match="wrk printed no figures"):
        parse(output)


def test_a_missing_wrk_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="apt-get install wrk"):
        require_wrk()
    with pytest.raises(CommandError, match="apt-get install wrk"):
        load("http://127.0.0.1:9/", [], "image/jpeg", 1, 1)


def test_wrk_is_told_what_to_send(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "told"
    _stand_in(monkeypatch, tmp_path, f'printf "%s\\n" "$@" > {told}\ncat <<"END"\n{OUTPUT}END')
    body = tmp_path / "body.jpg"
    assert load("http://127.0.0.1:9/", [body], "image/jpeg", 8, 2).requests == 110
    arguments = told.read_text().splitlines()
    assert {"--threads=1", "--connections=8", "--duration=2s"} <= set(arguments)
    assert arguments[-4:] == ["http://127.0.0.1:9/", "--", "image/jpeg", str(body)]


def test_a_failure_shows_the_words_of_wrk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _stand_in(monkeypatch, tmp_path, "echo unable to connect >&2; exit 1")
    with pytest.raises(CommandError, match="status 1: unable to connect"):
        load("http://127.0.0.1:9/", [], "image/jpeg", 1, 1)


def _stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Put a program named wrk on the PATH."""
    program = folder / "wrk"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

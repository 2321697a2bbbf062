import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from archive_builder import ROOT
from archive_builder.command import say

IMPORTS = """
import errno, os, signal, subprocess, sys, time
from archive_builder.command import CommandError, run, say
"""

WAITING = """
def main():
    try:
        print("ready", flush=True)
        time.sleep(60)
        return 0
    finally:
        print("cleaned up", flush=True)
"""


class Result(NamedTuple):
    status: int
    output: str
    errors: str


def start(main: str) -> "subprocess.Popen[str]":
    """Start a process that runs `main`, the text of a function of that name."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS}{main}\nrun(main)\n"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_main(body: str) -> Result:
    with start(f"def main():\n    {body}\n") as process:
        output, errors = process.communicate()
    return Result(process.returncode, output, errors)


@pytest.mark.parametrize("status", [0, 1, 3])
def test_status_is_what_main_returns(status: int) -> None:
    assert run_main(f"return {status}") == (status, "", "")


def test_result_is_printed() -> None:
    assert run_main("print('result'); return 0") == (0, "result\n", "")


def test_command_error_is_one_line_and_status_1() -> None:
    result = run_main("raise CommandError('there is no such file')")

    assert result == (1, "", "error: there is no such file\n")


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
def test_full_disk_is_one_line_naming_the_file(code: str) -> None:
    result = run_main(f"raise OSError(errno.{code}, 'no room', '/store/weights.pth')")

    assert result == (1, "", "error: the disk is full (/store/weights.pth)\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_really_full_disk_is_one_line() -> None:
    result = run_main("file = open('/dev/full', 'w', buffering=1); file.write('x\\n')")

    assert result.status == 1
    assert result.errors.startswith("error: the disk is full (while reading or writing)\n")


@pytest.mark.parametrize("code", ["EACCES", "ENOENT", "EIO"])
def test_what_the_operating_system_refuses_is_one_line(code: str) -> None:
    result = run_main(f"raise OSError(errno.{code}, 'of another kind', '/store')")

    assert result == (1, "", "error: of another kind (/store)\n")


def test_an_os_error_of_a_library_propagates() -> None:
    result = run_main("raise OSError('of another kind')")

    assert result.status == 1
    assert "Traceback" in result.errors


def test_programming_error_propagates() -> None:
    result = run_main("raise KeyError('a mistake')")

    assert result.status == 1
    assert "Traceback" in result.errors


def test_keyboard_interrupt_is_status_130_without_a_word() -> None:
    assert run_main("raise KeyboardInterrupt") == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_signal_is_an_interrupt_that_cleans_up(number: signal.Signals) -> None:
    with start(WAITING) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        output, errors = process.communicate()

    assert (process.returncode, output, errors) == (130, "cleaned up\n", "")


def test_say_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("Starting")

    assert capsys.readouterr() == ("", "Starting\n")


def test_a_reader_that_has_enough_is_no_error() -> None:
    with start("def main():\n    while True:\n        print('line', flush=True)\n") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 128 + signal.SIGPIPE

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from archive_builder import ROOT
from archive_builder.files import replacing

# Writes its letter piece by piece, five times over, or is killed on the way.
WRITER = """
import os, sys
from pathlib import Path
from archive_builder.files import replacing

target, letter, killed = Path(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
for _ in range(5):
    with replacing(target) as partial, partial.open("w") as file:
        for _ in range(64):
            file.write(letter * 1024)
            file.flush()
            if killed:
                os.kill(os.getpid(), 9)
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "result.bin"


def writer(target: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", WRITER, str(target), *arguments]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_target_has_what_was_written(target: Path) -> None:
    with replacing(target) as partial:
        partial.write_text("new")

    assert target.read_text() == "new"


def test_target_that_was_there_is_replaced(target: Path) -> None:
    target.write_text("old and longer")

    with replacing(target) as partial:
        partial.write_text("new")

    assert target.read_text() == "new"


def test_target_stays_as_it_was_until_the_end(target: Path) -> None:
    target.write_text("old")

    with replacing(target) as partial:
        partial.write_text("new")

        assert target.read_text() == "old"


def test_partial_lies_beside_the_target(target: Path) -> None:
    """A rename is atomic within one file system only."""
    with replacing(target) as partial:
        partial.touch()

        assert partial.parent == target.parent


def test_success_leaves_only_the_lock(target: Path) -> None:
    with replacing(target) as partial:
        partial.touch()

    assert names(target.parent) == {"result.bin", ".result.bin.lock"}


def fail_while_writing(target: Path, error: BaseException) -> None:
    with replacing(target) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()], ids=repr)
def test_exception_keeps_the_old_target(target: Path, error: BaseException) -> None:
    target.write_text("old")

    with pytest.raises(type(error)):
        fail_while_writing(target, error)

    assert target.read_text() == "old"


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()], ids=repr)
def test_exception_removes_the_partial(target: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_while_writing(target, error)

    assert names(target.parent) == {".result.bin.lock"}


def test_exception_before_anything_was_written_passes_through(target: Path) -> None:
    def fail() -> None:
        with replacing(target):
            raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        fail()


def test_second_writer_waits_for_the_first(target: Path) -> None:
    entered = Event()

    def write_second() -> None:
        with replacing(target) as partial:
            entered.set()
            partial.write_text("second")

    second = Thread(target=write_second)
    with replacing(target) as partial:
        second.start()

        assert not entered.wait(0.3)

        partial.write_text("first")
    second.join()

    assert target.read_text() == "second"


def test_two_processes_at_once_both_succeed_with_a_whole_file(target: Path) -> None:
    writers = [writer(target, letter) for letter in "ab"]

    assert [process.wait() for process in writers] == [0, 0]
    assert target.read_text() in {"a" * 65536, "b" * 65536}
    assert names(target.parent) == {"result.bin", ".result.bin.lock"}


def test_killed_writer_keeps_the_old_target(target: Path) -> None:
    target.write_text("old")

    assert writer(target, "a", "killed").wait() == -9

    assert target.read_text() == "old"


def test_killed_writer_does_not_hinder_the_next(target: Path) -> None:
    assert writer(target, "a", "killed").wait() == -9

    with replacing(target) as partial:
        partial.write_text("new")

    assert target.read_text() == "new"
    assert names(target.parent) == {"result.bin", ".result.bin.lock"}

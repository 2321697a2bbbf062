"""reliability/soak: what of a process's memory counts."""

import mmap
from pathlib import Path

import psutil
import pytest

from reliability.soak import watch

SIZE = 100_000_000


def test_memory_is_what_a_process_wrote_and_not_what_it_reads_of_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(SIZE))
    process = psutil.Process()
    before = watch._memory_mb(process)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
        with_file = watch._memory_mb(process)
        written = bytearray(b"x") * SIZE
        with_both = watch._memory_mb(process)
    assert with_file - before == pytest.approx(0, abs=20)
    assert with_both - with_file == pytest.approx(len(written) / 1e6, abs=20)


def test_a_process_that_has_ended_holds_nothing() -> None:
    ended = psutil.Popen(["true"])
    ended.wait()
    assert watch._memory_mb(ended) == 0.0

"""A disk of a few kilobytes, to be filled: a tmpfs, which only root may mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_BLOCK_BYTES = 4096
_FILES = 200


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount one at `folder` for the time of the block; skip the test where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk to be filled is mounted, which needs root")
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes={_FILES},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, timeout=60, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a disk to be filled cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], timeout=60, check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Keep a disk full for the time of the block: no byte more goes into a file, no file is new."""
    filler = disk / "filler"
    filler.mkdir()
    try:
        with suppress(OSError), (filler / "bytes").open("wb", buffering=0) as file:
            while file.write(bytes(_BLOCK_BYTES)):
                pass
        with suppress(OSError):
            for number in range(_FILES):
                (filler / str(number)).touch()
        yield
    finally:
        shutil.rmtree(filler)

"""What is made once for all processes of one run of the tests, in folders beside each other."""

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Once:
    """`once(name, fill)` is a folder that the first to ask for it fills."""

    shared: Path

    def __call__(self, name: str, fill: Callable[[Path], object]) -> Path:
        folder, partial = self.shared / name, self.shared / f"{name}-partial"
        with (self.shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                fill(partial)
                partial.rename(folder)
        return folder

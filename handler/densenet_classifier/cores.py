"""How many threads a worker may use now, so that all workers of a model share the cores.

TorchServe tells a worker nothing about its siblings, and scaling starts and ends them without a
word to the others. So each worker holds two file locks in the unpacked archive, the folder that
only they share: one as long as it lives, one while it is at work. The kernel releases both when
it dies. A worker takes its share of the cores, and all of them for a lone request while its
siblings are idle: one that finds several waiting will have company in a moment.
"""

import fcntl
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2, as in a container
_ALIVE, _AT_WORK = "alive", "at-work"
_REFUSING = "refusing"  # a file that whoever stops or scales the server puts there


class Cores:
    """The cores of this machine, as seen by one of the workers that share them.

    `folder` is that of the unpacked archive; `workers` how many to expect at least, since they
    start one by one; `total` the number of cores, by default of those this process may run on.
    """

    def __init__(self, folder: Path, workers: int = 1, total: int | None = None) -> None:
        self.total = total or _count_cores()
        self._expected = workers
        self._folder = folder / "workers"
        self._folder.mkdir(exist_ok=True)
        self._number, self._alive = self._enter()
        self._at_work = _LockFile(self._folder / f"{self._number}.{_AT_WORK}")
        self._lone = False

    @contextmanager
    def at_work(self, requests: int) -> Iterator[None]:
        """Let the siblings know that this worker is busy with so many requests."""
        self._lone = requests == 1
        # Waits for the microseconds in which a sibling may be looking at it.
        self._at_work.lock(fcntl.LOCK_EX)
        try:
            yield
        finally:
            self._at_work.lock(fcntl.LOCK_UN)

    def now(self) -> int:
        """Return the number of threads to use now."""
        if self._lone and not self._locked(_AT_WORK):
            return self.total
        return self._share()

    def refusing(self) -> bool:
        """Tell whether no worker is to take on anything more.

        Asked `at_work`: whoever made the file and then sees all locks free knows that every
        request taken before is answered, and that every later one is refused.
        """
        return (self._folder / _REFUSING).exists()

    def counts(self) -> set[int]:
        """Return every number that `now` may give while no sibling comes or goes."""
        return {self.total, self._share()}

    def _share(self) -> int:
        workers = 1 + len(self._locked(_ALIVE))
        if workers >= self._expected:
            self._expected = 1  # all have come; from now on those who are there count
        return max(1, self.total // max(workers, self._expected))

    def _enter(self) -> tuple[int, "_LockFile"]:
        """Take the first number that no living worker has."""
        number = 0
        while True:
            file = _LockFile(self._folder / f"{number}.{_ALIVE}")
            if file.try_lock(fcntl.LOCK_EX):
                return number, file
            number += 1

    def _locked(self, what: str) -> list[Path]:
        """Return the siblings' files that are locked."""
        return [
            path
            for path in self._folder.glob(f"*.{what}")
            if path.stem != str(self._number) and not _LockFile(path).try_lock(fcntl.LOCK_SH)
        ]


def _count_cores() -> int:
    if sys.platform != "linux":
        return os.cpu_count() or 1
    return int(min(len(os.sched_getaffinity(0)), _quota(_CPU_MAX)))


def _quota(path: Path) -> float:
    """Return the cores that a container may use, from its file of "quota period", in whole ones."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return math.ceil(int(quota) / int(period))
    # No container, or "max": no limit.
    except (OSError, ValueError):
        return math.inf


class _LockFile:
    """A file that is there to be locked; the lock ends with this object."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def lock(self, operation: int) -> None:
        fcntl.flock(self._descriptor, operation)

    def try_lock(self, operation: int) -> bool:
        try:
            fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

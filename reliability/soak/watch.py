"""Samples of what the servers hold, taken in a thread beside the load."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from reliability.soak.stack import Stack

INTERVAL_S = 10.0


@dataclass(frozen=True)
class Sample:
    """What the servers hold at `at_s` from the start of the watch, most by kind of process.

    Anonymous memory, heaps above all, in MB (10**6 bytes; `Pss_Anon` of proc(5)). Pages of files
    are shared with whoever else has them open, and a process's part of them changes when others
    end; memory that processes share is not in it either: nginx's zones have their size. Open
    descriptors, sockets among them, threads, ids of the processes, seconds of processor time since
    their start; files in temporary folders, and MB of logs.
    """

    at_s: float
    memory_mb: dict[str, float]
    descriptors: dict[str, int]
    sockets: dict[str, int]
    threads: dict[str, int]
    pids: dict[str, list[int]]
    cpu_s: dict[str, float]
    temporary_files: int
    logs_mb: float


class Watch:
    """Takes a sample at the start, every `INTERVAL_S` and at the end; a context manager."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.samples.append(self.sample())

    def sample(self) -> Sample:
        """Return what the servers hold now."""
        kinds = self._stack.processes()
        held = {kind: round(sum(map(_memory_mb, found)), 1) for kind, found in kinds.items()}
        counted = {kind: [_count(process) for process in found] for kind, found in kinds.items()}
        sums = [
            {kind: sum(each[at] for each in found) for kind, found in counted.items()}
            for at in range(3)
        ]
        temporary = sum(1 for folder in self._stack.temporary_folders() for _ in _files(folder))
        logs = sum(_size(path) for each in self._stack.log_folders() for path in _files(each))
        pids = {kind: sorted(process.pid for process in found) for kind, found in kinds.items()}
        at_s = round(time.monotonic() - self._began, 1)
        cpu = {kind: round(sum(map(_cpu_s, found)), 2) for kind, found in kinds.items()}
        # The client has the same cores; what it needs, the servers have not.
        cpu["client"] = round(time.process_time(), 2)
        return Sample(
            at_s, held, sums[0], sums[1], sums[2], pids, cpu, temporary, round(logs / 1e6, 2)
        )

    def _run(self) -> None:
        while not self._over.is_set():
            self.samples.append(self.sample())
            self._over.wait(INTERVAL_S)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed meanwhile
        return 0


def _memory_mb(process: psutil.Process) -> float:
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return 0.0
    sizes = dict(line.split(":") for line in text.splitlines()[1:])
    return int(sizes["Pss_Anon"].removesuffix("kB")) * 1024 / 1e6


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _count(process: psutil.Process) -> tuple[int, int, int]:
    """Return a process's descriptors, sockets and threads; zeros for one that has ended."""
    folder = Path(f"/proc/{process.pid}/fd")
    sockets = 0
    with suppress(OSError, psutil.NoSuchProcess):
        links = list(folder.iterdir())
        for link in links:
            with suppress(OSError):  # closed meanwhile
                sockets += str(link.readlink()).startswith("socket:")
        return len(links), sockets, process.num_threads()
    return 0, 0, 0

"""What a piece of work costs this process: seconds of its own CPU time, bytes of memory at most.

CPU time, not the clock's: a busy machine makes nobody guilty. Linux counts the peak of a process's
resident memory (VmHWM), and starts anew when 5 is written to clear_refs (proc_pid_clear_refs(5)).
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESIDENT = re.compile(r"VmHWM:\s+(\d+) kB\s+VmRSS:\s+(\d+) kB")


@dataclass
class Cost:
    """`cpu_s` of all threads; `memory_bytes` is what the peak lies above the beginning."""

    cpu_s: float = 0.0
    memory_bytes: int = 0


@contextmanager
def measured() -> Iterator[Cost]:
    """Yield a record that is filled when the block ends."""
    cost = Cost()
    _CLEAR.write_text("5")
    _, before = _peak_and_now()
    start = time.process_time()
    try:
        yield cost
    finally:
        cost.cpu_s = time.process_time() - start
        cost.memory_bytes = max(0, _peak_and_now()[0] - before)


def _peak_and_now() -> tuple[int, int]:
    """Return the peak of the resident memory and what it is now, in bytes."""
    found = _RESIDENT.search(_STATUS.read_text(encoding="ascii"))
    if found is None:
        raise OSError("the kernel does not tell the peak of the resident memory")
    return int(found[1]) * 1024, int(found[2]) * 1024

"""A server's processes: a program of ours with its children, free ports, and memory by kind.

Waits have deadlines and raise `CommandError` with the end of what the program wrote.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import requests

from archive_builder.command import CommandError

START_TIMEOUT_S = 180.0
# A rival has nothing to lose; LitServe would take half a minute.
STOP_TIMEOUT_S = 4.0
SETTLE_TIMEOUT_S = 15.0
_SETTLE_STEP_S = 0.3
_IDLE_SHARE = 0.2  # of one core
_POLL_S = 0.05
_LAST_LINES = 15
_MEGABYTE = 1e6  # bytes, not 2**20

Memory = dict[str, list[dict[str, float]]]


def own_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a server: nothing of ours that would change what it is."""
    foreign = ("DENSENET121_", "TS_", "OMP_", "MKL_", "KMP_", "LITSERVE_", "FLASK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for name in ("INDEX_TO_NAME", "LOG_LOCATION", "METRICS_LOCATION"):
        kept.pop(name, None)
    return {**kept, **changes}


class Program:
    """One program with all its children, in a session of its own, writing to one log."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "console.log"
        self.began = time.monotonic()
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=own_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ends when we say so, not with Ctrl-C in our terminal
            )

    def wait_until(self, done: Callable[[], bool], what: str) -> float:
        """Wait until `done()` and return the seconds since the start."""
        while not done():
            if self._process.poll() is not None:
                message = f"{what}: the program ended. {self._last_words()}"
                raise CommandError(message)
            if time.monotonic() - self.began > START_TIMEOUT_S:
                message = f"{what}: not within {START_TIMEOUT_S:.0f} s. {self._last_words()}"
                raise CommandError(message)
            time.sleep(_POLL_S)
        return time.monotonic() - self.began

    def processes(self) -> list[psutil.Process]:
        """Return the program and its children, grandchildren ..."""
        try:
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """End the program and its children; kill what outstays the deadline."""
        everything = self.processes()
        # Its own session: whoever has lost its parent is still in the group.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        for process in everything:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(everything, timeout=STOP_TIMEOUT_S)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=STOP_TIMEOUT_S)

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "It said:\n" + "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])


def post(url: str, body: bytes, content_type: str) -> requests.Response:
    """Post a body to a server of this machine, past any proxy."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Content-Type": content_type}
        return session.post(url, data=body, headers=headers, timeout=START_TIMEOUT_S)


def answers(url: str, body: bytes, content_type: str) -> bool:
    """Tell whether a server gives a good answer yet."""
    try:
        return post(url, body, content_type).ok
    except requests.RequestException:
        return False


def settle(processes: Sequence[psutil.Process]) -> None:
    """Wait until the processes rest: what one load left in the queue is not the next one's."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    before = _cpu_seconds(processes)
    while time.monotonic() < deadline:
        time.sleep(_SETTLE_STEP_S)
        now = _cpu_seconds(processes)
        if now - before < _IDLE_SHARE * _SETTLE_STEP_S:
            return
        before = now


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def memory(kinds: Mapping[str, Sequence[psutil.Process]]) -> Memory:
    """Return PSS (shared pages in equal parts) and USS (own pages) in MB (10**6 bytes).

    PSS is known on Linux only; elsewhere it is left out.
    """
    return {kind: [_memory(process) for process in found] for kind, found in kinds.items()}


def _memory(process: psutil.Process) -> dict[str, float]:
    try:
        full = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}
    sizes = {"pss_mb": getattr(full, "pss", None), "uss_mb": full.uss}
    return {name: round(size / _MEGABYTE, 1) for name, size in sizes.items() if size is not None}

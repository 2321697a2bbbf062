"""One nginx: started as our child, reloaded without a break, ended with its requests answered.

A configuration is tried (`nginx -t`) before it replaces the one in force; what nginx says against
it is the `CommandError`. It counts as in force once nginx answers by it.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from archive_builder.command import CommandError
from reverse_proxy.folders import Folders
from reverse_proxy.generation import answered_by

_TEST_TIMEOUT_S = 30.0
_KILL_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 30.0
# nginx itself tries for 2.5 s to get an address.
_RELOAD_TIMEOUT_S = 5.0
# An address may be taken for long; hosts are seen to in between.
_RELOAD_PAUSE_S = 5.0
_STEP_S = 0.02


def find_nginx() -> str:
    """Return the path of nginx; `CommandError` where there is none."""
    # Debian's is in /usr/sbin, which an ordinary account need not have on its PATH.
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise CommandError("nginx is missing; install it (on Debian: apt install nginx-light)")
    return found


class Nginx:
    """An nginx with the configuration `<name>.conf` of the private folder."""

    def __init__(self, name: str, folders: Folders) -> None:
        self.name = name
        self._path = folders.private / f"{name}.conf"
        self._executable = find_nginx()
        self._root = folders.root
        self._socket = folders.sockets / f"{name}.sock"
        self._complaint = (
            f"the nginx called {name} does not take its new configuration; "
            f"see {folders.logs}/{name}-error.log"
        )
        self._text = ""
        self._late = ""
        self._again = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def apply(self, text: str, generation: str) -> None:
        """Put a configuration into force, starting nginx if need be, unless it is already.

        `generation` is what nginx answers by it. A `CommandError` where it does not: the next
        call looks again, and after a pause it tries again.
        """
        if text == self._text:
            return
        if text == self._late:
            if answered_by(self._socket) == generation:
                self._text = text
                return
            if time.monotonic() < self._again:
                raise CommandError(self._complaint)
        self.test(text)
        self._path.write_text(text, encoding="utf-8")
        self._text = ""  # what is in force is not known until nginx says it
        timeout_s = _RELOAD_TIMEOUT_S
        if self._process is None:
            timeout_s = _START_TIMEOUT_S
            self._process = subprocess.Popen(
                self._command(self._path),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in this terminal is for us; we end it in order
            )
        else:
            self._process.send_signal(signal.SIGHUP)
        self._wait_until_in_force(text, generation, time.monotonic() + timeout_s)

    def has_earlier_workers(self, workers: int) -> bool:
        """Return whether there are requests left that came under an earlier configuration.

        `workers` is how many processes nginx has of one configuration; a process of an earlier one
        is there until its requests are answered. They are counted, not known: nginx begins one
        anew at any time, even just before it hears of the next configuration.
        """
        if self._process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            return len(psutil.Process(self._process.pid).children()) != workers
        return False

    def test(self, text: str) -> None:
        """Raise `CommandError` with nginx's words where it would not take this configuration."""
        trial = self._path.with_suffix(".trial")
        trial.write_text(text, encoding="utf-8")
        result = subprocess.run(
            [*self._command(trial), "-t", "-q"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TEST_TIMEOUT_S,
            check=False,
        )
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if "test failed" not in line]
            message = f"nginx does not take its configuration: {'; '.join(lines)}"
            raise CommandError(message)

    def reopen_logs(self) -> None:
        """Write to new log files from now on."""
        self._send(signal.SIGUSR1)

    def require_running(self) -> None:
        """Raise `CommandError` where nginx has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            message = f"the nginx called {self.name} has ended (status {self._process.returncode})"
            raise CommandError(message)

    def quit(self, timeout_s: float) -> None:
        """Take no new requests, answer those there are, end; killed after `timeout_s` seconds."""
        if self._process is None:
            return
        for number, patience_s in (
            (signal.SIGQUIT, timeout_s),
            (signal.SIGTERM, _KILL_TIMEOUT_S),
            (signal.SIGKILL, _KILL_TIMEOUT_S),
        ):
            self._send(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
            break
        # The workers of a master that was killed go on listening; their group is still its own.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _wait_until_in_force(self, text: str, generation: str, deadline: float) -> None:
        while answered_by(self._socket) != generation:
            self.require_running()
            if time.monotonic() > deadline:
                self._late, self._again = text, time.monotonic() + _RELOAD_PAUSE_S
                raise CommandError(self._complaint)
            time.sleep(_STEP_S)
        self._text = text

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _command(self, path: Path) -> list[str]:
        # -p names us: by it what a killed supervisor has left is found (folders.py).
        return [self._executable, "-e", "stderr", "-p", str(self._root), "-c", str(path)]

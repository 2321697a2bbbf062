"""One nginx: started as our child, reloaded without a break, ended with its requests answered.

A configuration is tried (`nginx -t`) before it replaces the one in force; what nginx says against
it is the `CommandError`.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from archive_builder.command import CommandError
from reverse_proxy.folders import Folders

_TEST_TIMEOUT_S = 30.0
_KILL_TIMEOUT_S = 5.0
_START_TIMEOUT_S = 30.0
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
        self._text = ""
        self._process: subprocess.Popen[bytes] | None = None

    def apply(self, text: str) -> bool:
        """Put a configuration into force, starting nginx if need be; False where it is already."""
        if text == self._text:
            return False
        self.test(text)
        self._path.write_text(text, encoding="utf-8")
        self._text = text
        if self._process is None:
            self._process = subprocess.Popen(
                self._command(self._path),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in this terminal is for us; we end it in order
            )
            self._wait_until_listening()
        else:
            self._process.send_signal(signal.SIGHUP)
        return True

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

    def reload(self) -> None:
        """Read the files anew that the configuration names, like a certificate."""
        self._send(signal.SIGHUP)

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

    def _wait_until_listening(self) -> None:
        """Wait for the file with nginx's process id: it is written once all addresses are bound."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not (self._root / f"{self.name}.pid").exists():
            self.require_running()
            if time.monotonic() > deadline:
                message = f"the nginx called {self.name} does not start"
                raise CommandError(message)
            time.sleep(_STEP_S)

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _command(self, path: Path) -> list[str]:
        # -p names us: by it what a killed supervisor has left is found (folders.py).
        return [self._executable, "-e", "stderr", "-p", str(self._root), "-c", str(path)]

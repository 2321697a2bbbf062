"""Start TorchServe, wait until every worker is ready, stop it.

Every wait has a deadline, and what goes wrong is a `CommandError` with the server's own words.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from archive_builder.command import CommandError, say
from server_control.configuration import Configuration
from server_control.management import describe
from server_control.runtime import Note, Runtime, java_process, processes

STOP_TIMEOUT_S = 30.0
_POLL_S = 0.25
_REPORT_S = 5.0
_LOG_LINES = 15
_WORKER_DIED = "Backend worker process died"
# After which TorchServe goes on without the model: no room to unpack it, an archive it cannot read.
_NOT_LOADED = "Failed to load model"
_LOG_CONFIGURATION = Path(__file__).with_name("log4j2.xml")


def require_free_ports(configuration: Configuration) -> None:
    """Raise `CommandError` naming each port that something else listens on."""
    taken = []
    for key, (host, port) in configuration.listeners().items():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As Java does it: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                taken.append(f"port {port} of {host} ({key}): {error.strerror}")
    if taken:
        message = f"{'; '.join(taken)}. Free it, or set other ports in {configuration.path}"
        raise CommandError(message)


def start(
    configuration: Configuration,
    runtime: Runtime,
    note: Note,
    java_home: Path,
    *,
    foreground: bool,
) -> None:
    """Start TorchServe in folders of its own; in the foreground its log shows on stderr too."""
    effective = runtime.write_configuration(configuration)
    torchserve = Path(sys.executable).with_name("torchserve")
    # --ncs: a snapshot of an earlier run would silently override the configuration.
    command = [str(torchserve), "--start", "--ncs", "--ts-config", str(effective)]
    if "-Dlog4j" not in configuration.values.get("vmargs", ""):
        command += ["--log-config", str(_LOG_CONFIGURATION)]
    environment = os.environ | {
        "JAVA_HOME": str(java_home),
        "TMPDIR": note.temp,
        "TEMP": note.temp,
        "PATH": f"{torchserve.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DENSENET121_CONSOLE_LEVEL": "info" if foreground else "off",
    }
    # An outer PYTHONPATH would win over the code in the archive, an outer TS_CONFIG_FILE over
    # the file above.
    for name in ("PYTHONPATH", "TS_CONFIG_FILE"):
        environment.pop(name, None)
    with runtime.console.open("w", encoding="utf-8") as log:
        result = subprocess.run(
            command,
            cwd=runtime.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if foreground else log,
            stderr=sys.stderr if foreground else log,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for the server
            check=False,
        )
    if result.returncode != 0 or java_process(note) is None:
        raise CommandError("TorchServe did not start. " + _last_words(runtime, of_workers=False))


def wait_until_ready(
    configuration: Configuration, runtime: Runtime, note: Note, timeout_s: float
) -> int:
    """Wait until every worker is READY and return how many there are."""
    began = reported = time.monotonic()
    while True:
        ready, wanted = _count_workers(configuration, runtime)
        if wanted and ready >= wanted:
            return ready
        if java_process(note) is None:
            words = _last_words(runtime, of_workers=False)
            raise CommandError("TorchServe ended while starting. " + words)
        if any(_WORKER_DIED in line for line in _model_lines(runtime)):
            raise CommandError("a worker failed to load the model. " + _last_words(runtime))
        if reasons := [line for line in _server_lines(runtime) if _NOT_LOADED in line]:
            raise CommandError(f"TorchServe did not take the archive. {reasons[0]}")
        now = time.monotonic()
        if now - began > timeout_s:
            message = f"{ready} of {wanted} workers were ready after {timeout_s:.0f} s. "
            raise CommandError(message + _last_words(runtime))
        if now - reported > _REPORT_S:
            say(f"Waiting for workers: {ready} of {wanted or '?'} ready after {now - began:.0f} s")
            reported = now
        time.sleep(_POLL_S)


def stop(note: Note, patience_s: float = STOP_TIMEOUT_S) -> None:
    """End the server's processes and wait until they are gone; kill what is left after patience.

    The workers end with Java; one that does not, or that lost its Java, is killed. TorchServe
    takes some five seconds to end, whether or not it has anything to finish.
    """
    if java := java_process(note):
        _ignore_gone(java.terminate)
        psutil.wait_procs(processes(note), timeout=patience_s)
    left = processes(note)
    for process in left:
        _ignore_gone(process.kill)
    psutil.wait_procs(left, timeout=STOP_TIMEOUT_S)


def _count_workers(configuration: Configuration, runtime: Runtime) -> tuple[int, int]:
    """Return how many workers are READY and how many there should be; 0, 0 before it answers."""
    try:
        models = describe(configuration, runtime)
    except CommandError:
        return 0, 0
    return sum(model.ready for model in models), sum(model.wanted for model in models)


def _ignore_gone(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _model_lines(runtime: Runtime) -> list[str]:
    """Return what the workers wrote."""
    return _messages(runtime.logs / "model_log.log")


def _server_lines(runtime: Runtime) -> list[str]:
    """Return what TorchServe itself wrote."""
    return _messages(runtime.logs / "ts_log.log")


def _console_lines(runtime: Runtime) -> list[str]:
    """Return what stands on the console, without where in Java's code it was said."""
    return [line for line in _lines(runtime.console) if not line.startswith("\tat ")]


def _messages(path: Path) -> list[str]:
    return [_message(line) for line in _lines(path)]


def _message(line: str) -> str:
    """Return what a line of a log says; whole, where a log configuration of another's made it."""
    try:
        record = json.loads(line)
        said = [record["message"], *record.get("exception", "").strip().splitlines()[:1]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    return ": ".join(map(str, said))


def _last_words(runtime: Runtime, *, of_workers: bool = True) -> str:
    """Return the end of what the server said: the workers' own words, if wanted and there."""
    workers = (runtime.logs / "model_log.log", _model_lines(runtime))
    for path, lines in (
        *([workers] if of_workers else []),
        (runtime.console, _console_lines(runtime)),
        (runtime.logs / "ts_log.log", _server_lines(runtime)),
    ):
        if lines:
            words = "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])
            return f"The server said ({path}):\n{words}"
    return f"The server said nothing ({runtime.logs})."

"""Empty a server before it stops or scales down: what has come is answered, new requests are not.

TorchServe resets requests in flight when it stops and kills a busy worker when it scales down.
So first the server says that it is not ready, and proxies send new requests elsewhere. Then a
request without an image goes through the queue: once it is answered, every earlier one has been
taken. From then on the workers refuse what still comes, with 503, and are left when each has
finished what it had.
"""

import fcntl
import math
import os
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests

from archive_builder.command import CommandError, say
from server_control.configuration import Configuration
from server_control.management import call, describe
from server_control.runtime import Note, Runtime

DRAIN_S = 30.0
_POLL_S = 0.02
# What TorchServe has taken from its queue is not yet in the worker's hands, and an answer that a
# worker has given still has to be written.
_ON_THE_WAY_S = 0.3
# What the handler looks for in the folder of its workers' locks (densenet_classifier/cores.py).
_REFUSING = "refusing"
_AT_WORK = "*.at-work"


def add_options(parser: ArgumentParser) -> None:
    """Add how a command that empties the server is told to do so."""
    add = parser.add_argument
    add(
        "--settle-s",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="seconds to be not ready and still answer, for proxies to see it (default: 0)",
    )
    add(
        "--drain-s",
        type=_seconds,
        default=DRAIN_S,
        metavar="S",
        help="longest time for requests to be finished (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"seconds from 0 on, not {text}")
    return value


@contextmanager
def drained(
    configuration: Configuration,
    runtime: Runtime,
    note: Note,
    *,
    settle_s: float,
    drain_s: float,
) -> Iterator[None]:
    """Hold a running server empty for the block.

    `settle_s` is the time that proxies need to see that it is not ready, `drain_s` the longest
    that finishing the requests may take, both in seconds. Raises `CommandError` beyond it.
    """
    refusing: list[Path] = []
    runtime.draining.touch()
    try:
        if settle_s:
            say(f"Not ready any more; waiting {settle_s:g} s for the proxies to see it")
            time.sleep(settle_s)
        deadline = time.monotonic() + drain_s
        _pass_the_queue(configuration, runtime, deadline)
        time.sleep(_ON_THE_WAY_S)
        refusing = [folder / _REFUSING for folder in _worker_folders(note)]
        for path in refusing:
            path.touch()
        for lock in (lock for path in refusing for lock in path.parent.glob(_AT_WORK)):
            _wait(partial(_is_free, lock), deadline)
        time.sleep(_ON_THE_WAY_S)
        yield
    finally:
        for path in refusing:
            path.unlink(missing_ok=True)
        runtime.draining.unlink(missing_ok=True)


def _pass_the_queue(configuration: Configuration, runtime: Runtime, deadline: float) -> None:
    """Send a request through the queue of each version."""
    for model in describe(configuration, runtime):
        if not model.wanted:  # a version without workers has no queue either
            continue
        url = f"{configuration.inference_url}/predictions/{model.name}/{model.version}"
        _wait(partial(_has_passed, configuration, runtime, url, deadline), deadline)


def _has_passed(configuration: Configuration, runtime: Runtime, url: str, deadline: float) -> bool:
    left = max(_POLL_S, deadline - time.monotonic())
    try:
        answer = call(configuration, runtime, "POST", url, key="inference", timeout_s=left)
    except requests.RequestException:
        return False
    # Only the handler's answers have it, whatever it says to a request without an image; not those
    # of TorchServe to a full queue or a token that somebody has renewed since.
    return "X-Model-Weights" in answer.headers


def _worker_folders(note: Note) -> list[Path]:
    """Return where the workers of each version keep their locks."""
    return sorted(Path(note.temp).glob("models/*/workers"))


def _is_free(lock: Path) -> bool:
    """Tell whether the worker of this lock is not at work."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _wait(condition: Callable[[], bool], deadline: float) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError("requests are still in work after the time given with --drain-s")
        time.sleep(_POLL_S)

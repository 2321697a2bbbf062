"""Waiting for what a server does by itself."""

import time
from collections.abc import Callable

TIMEOUT_S = 60


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once it holds; fail at the deadline."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the deadline has passed"
        time.sleep(0.05)

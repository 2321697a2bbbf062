"""An interrupt where it does most harm: in a `threading.Condition` that has opened its lock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

_genuine: Any = threading.Condition._acquire_restore  # type: ignore[attr-defined]


@contextmanager
def interrupted_in_a_condition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupt the main thread where a Condition, and so an Event, is to close its lock again.

    It would open it once more, which is a RuntimeError. That nothing waits so is as good.
    """

    def interrupt(condition: object, state: object) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        _genuine(condition, state)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(threading.Condition, "_acquire_restore", interrupt)
        yield

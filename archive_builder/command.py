"""How every command of this project ends: its result, or one clear line and a non-zero status."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class CommandError(Exception):
    """What stops a command, in a sentence that says what to do."""


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command's main function and exit with its status.

    A `CommandError` and what the operating system refuses become one line on stderr and status
    1, an interrupt status 130, as shells have it. SIGTERM is treated like an interrupt, so that
    `finally` clauses clean up.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(main())
    except CommandError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of a pipe, like `head`, has enough. Python would fail again on flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno is None:  # no operating system's error, but a library's
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror
        sys.exit(f"error: {reason} ({error.filename or 'while reading or writing'})")


def say(text: str) -> None:
    """Tell the user what is going on, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

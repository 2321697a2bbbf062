"""Files that are either absent or whole, however the writer ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to, and rename it to `target` at the end.

    The folder is made when it is missing.

    When the block raises, what it wrote is removed and `target` stays as it was. One writer at
    a time gets in, so the temporary name is always the same and what a killed writer left
    behind is overwritten by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

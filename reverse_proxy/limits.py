"""Every limit of the proxy: the section `[limits]` of its file, and the defaults.

docs/PROXY.md has the same table. Names end in their unit; `_s` is seconds. An unknown name, a
wrong type or a value below the least is a `CommandError`.
"""

import resource
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from archive_builder.command import CommandError

_OTHER_FILES = 256  # logs, sockets, what is listened on


@dataclass(frozen=True)
class Limits:
    """What one client may ask for, how long anything may take, how often is tried again."""

    # max_request_size of TorchServe, so that it is the proxy that answers, and in JSON.
    max_body_bytes: int = 33_554_432
    requests_per_s: int = 100
    burst_requests: int = 200
    concurrent_requests: int = 128
    # Requests that wait lie in Java's memory, and 256 of the largest would not fit into any.
    large_requests: int = 64
    largest_requests: int = 8
    max_connections: int = 2048
    nginx_workers: int = 2

    header_timeout_s: int = 10
    body_timeout_s: int = 30
    send_timeout_s: int = 30
    idle_timeout_s: int = 65
    connect_timeout_s: int = 2
    # Above responseTimeout of model-config.yaml (25) and a usual wait in its queue, so that
    # TorchServe itself gives up first.
    answer_timeout_s: int = 65

    # Tries of one request on our own hosts together: an image that ends workers ends no more of
    # them. Another machine's proxy tries as often again, within one of these.
    tries: int = 3
    # Above responseTimeout, so that the batch of a worker that hangs is answered by another, and
    # below twice that: a request that hangs workers hangs no third.
    retry_window_s: int = 30
    retry_after_s: int = 1

    poll_s: float = 0.5
    down_after_polls: int = 2

    settle_s: int = 0
    shutdown_s: int = 100
    hsts_s: int = 31_536_000
    max_log_bytes: int = 104_857_600
    kept_logs: int = 5

    MAY_BE_ZERO: ClassVar = frozenset({"settle_s", "hsts_s", "kept_logs"})

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> "Limits":
        """Return the limits that a table of the file changes; `where` names it in messages."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        if unknown := sorted(table.keys() - kinds.keys()):
            message = f"{where}: unknown {', '.join(unknown)}; there are {', '.join(kinds)}"
            raise CommandError(message)
        for name, value in table.items():
            _require_number(f"{where}: {name}", value, kinds[name], zero=name in cls.MAY_BE_ZERO)
        return cls(**table)

    @property
    def balance_connections(self) -> int:
        """Of one worker of the balancing nginx: a request has four there, in front two."""
        return 2 * self.max_connections

    @property
    def shares(self) -> dict[str, int]:
        """Of large requests one client may have half of those that a host takes."""
        return {
            "large_share": -(-self.large_requests // 2),
            "largest_share": -(-self.largest_requests // 2),
        }

    @property
    def all_tries_s(self) -> int:
        """Longest time until the last try has given its answer, in seconds."""
        return self.retry_window_s + self.answer_timeout_s + self.connect_timeout_s


def wanted_files(connections: int) -> int:
    """Return how many files an nginx worker may need: a request's body and answer are two more."""
    return 2 * connections + _OTHER_FILES


def open_files(connections: int) -> int:
    """Return how many files it may open: never more than what this process may allow it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_files(connections)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _require_number(name: str, value: object, kind: type, *, zero: bool) -> None:
    right = isinstance(value, int) or (kind is float and isinstance(value, float))
    if isinstance(value, bool) or not right:
        wanted = "a number" if kind is float else "a whole number"
        message = f"{name} must be {wanted}, not {value!r}"
        raise CommandError(message)
    if float(str(value)) < 0 or (not value and not zero):
        message = f"{name} must be {'0 or more' if zero else 'more than 0'}, not {value!r}"
        raise CommandError(message)

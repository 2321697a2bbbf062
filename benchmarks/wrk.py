"""Load over HTTP by wrk: its figures as a record.

`CommandError` when wrk is missing, fails, or prints no figures.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_builder.command import CommandError

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "FIGURES "
# wrk only counts answers that take longer. Longer than any answer here should be: a request that
# waits for 255 others, each of which takes 100 ms.
_TIMEOUT_S = 30
# Time beyond that of the load which wrk may take to connect and to end.
_GRACE_S = 60.0


@dataclass(frozen=True)
class LoadFigures:
    """One run of wrk. `statuses` counts answers by their HTTP status; latencies are of all.

    wrk corrects latencies for requests that it could not send while it waited (its
    `stats_correct`): answers slower than twice the mean weigh more. It does so for every row.
    """

    requests: int
    duration_s: float
    statuses: dict[str, int]
    errors: dict[str, int]
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses.get("200", 0) / self.duration_s

    @property
    def error_count(self) -> int:
        """Everything that was no good answer: other statuses, broken connections, timeouts."""
        others = sum(count for status, count in self.statuses.items() if status != "200")
        return others + sum(self.errors.values())


def require_wrk() -> None:
    """Raise `CommandError` that says how to get wrk when it is missing."""
    if shutil.which("wrk") is None:
        message = "the load generator wrk is missing: apt-get install wrk (macOS: brew install wrk)"
        raise CommandError(message)


def load(
    url: str, bodies: Sequence[Path], content_type: str, connections: int, seconds: float
) -> LoadFigures:
    """Post `bodies`, files that are whole bodies, in turn over so many connections."""
    whole_seconds = max(1, round(seconds))  # wrk takes no fractions
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={whole_seconds}s"]
    command += [f"--timeout={_TIMEOUT_S}s", f"--script={_SCRIPT}", url, "--", content_type]
    try:
        result = subprocess.run(
            [*command, *map(str, bodies)],
            capture_output=True,
            text=True,
            check=False,
            timeout=whole_seconds + _GRACE_S,
        )
    except FileNotFoundError:
        require_wrk()
        raise
    except subprocess.TimeoutExpired as error:
        message = f"wrk did not end within {error.timeout:.0f} s; does {url} hang?"
        raise CommandError(message) from error
    if result.returncode != 0:
        words = (result.stderr or result.stdout).strip() or "no message"
        message = f"wrk failed with status {result.returncode}: {words}"
        raise CommandError(message)
    return parse(result.stdout)


def parse(output: str) -> LoadFigures:
    """Read the figures from what wrk printed."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    try:
        (line,) = lines
        values: dict[str, Any] = json.loads(line.removeprefix(_MARK))
        return LoadFigures(**values)
    except (ValueError, TypeError) as error:
        message = f"wrk printed no figures that can be read: {output.strip()[-300:]!r}"
        raise CommandError(message) from error

"""From the figures of every round to medians, and to the ratios that goals are set for."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.processes import Memory
from benchmarks.row import REST, WORKERS
from benchmarks.wrk import LoadFigures

LARGE = "8 large"
OVERLOAD = "256"
# What HTTP may add to the latency of one image, in ms.
_OVERHEAD_MS = 2.0
_BUSY = "503"

Raw = Mapping[str, Any]  # as raw.py prints it


@dataclass(frozen=True)
class RowRound:
    """One round of one row; `loads` by connections, `LARGE` or `OVERLOAD`."""

    row: str
    round: int
    answer_s: float
    ready_s: float | None
    agreement: str
    agreement_large: str | None
    loads: dict[str, LoadFigures]
    memory: Memory


@dataclass(frozen=True)
class LoadMedians:
    """Medians over the rounds; errors and refusals (503) are sums."""

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    refused: int


@dataclass(frozen=True)
class RowMedians:
    """One row of the table. Memory in MB: of the largest worker, and of all processes."""

    name: str
    answer_s: float
    ready_s: float | None
    agreement: str
    agreement_large: str | None
    worker_pss_mb: float | None
    worker_uss_mb: float | None
    total_pss_mb: float | None
    loads: dict[str, LoadMedians]


@dataclass(frozen=True)
class RawMedians:
    """Without any server: images/s and ms, by precision, and of decoding."""

    rates: dict[str, float] = field(default_factory=dict)
    latencies_ms: dict[str, float] = field(default_factory=dict)
    decode_rate: float = 0.0
    decode_ms: float = 0.0
    decode_large_rate: float = 0.0
    decode_large_ms: float = 0.0

    def ceiling(self, precision: str) -> float:
        """Return requests/s if decoding and inference took all cores in turn and nothing else."""
        return 1 / (1 / self.rates[precision] + 1 / self.decode_rate)


@dataclass(frozen=True)
class Ratio:
    """A figure that has a goal: at least it, or at most."""

    name: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Tell whether the goal is reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def row_medians(rounds: Sequence[RowRound]) -> RowMedians:
    """Return the medians of one row's rounds, at least one."""
    return RowMedians(
        name=rounds[0].row,
        answer_s=statistics.median(each.answer_s for each in rounds),
        ready_s=_median(each.ready_s for each in rounds),
        agreement=min((each.agreement for each in rounds), key=_agreeing),
        agreement_large=rounds[0].agreement_large,
        worker_pss_mb=_median(_largest(each.memory, "pss_mb") for each in rounds),
        worker_uss_mb=_median(_largest(each.memory, "uss_mb") for each in rounds),
        total_pss_mb=_median(_total(each.memory, "pss_mb") for each in rounds),
        loads={
            label: _load_medians([each.loads[label] for each in rounds if label in each.loads])
            for label in rounds[0].loads
        },
    )


def _agreeing(agreement: str) -> int:
    """Return how many of "31/32" agree."""
    return int(agreement.split("/", maxsplit=1)[0])


def raw_medians(rounds: Sequence[Raw]) -> RawMedians:
    """Return the medians of what raw.py measured, at least once."""
    precisions = rounds[0]["inference"]

    def middle(part: str, key: str) -> float:
        return float(statistics.median(each[part][key] for each in rounds))

    def by_precision(key: str) -> dict[str, float]:
        return {
            name: statistics.median(each["inference"][name][key] for each in rounds)
            for name in precisions
        }

    return RawMedians(
        by_precision("rate"),
        by_precision("latency_ms"),
        middle("decode", "rate"),
        middle("decode", "latency_ms"),
        middle("decode_large", "rate"),
        middle("decode_large", "latency_ms"),
    )


def ratios(rows: Mapping[str, RowMedians], raw: RawMedians | None, precision: str) -> list[Ratio]:
    """Return every ratio whose figures were measured; `precision` is the one of `ours`."""
    ours = rows.get("ours")
    found = [*_against_raw(rows, raw, precision), *_against_rivals(rows)]
    if ours is not None and LARGE in ours.loads:
        found.append(
            _divided("12 megapixels / 0.4 megapixels, 8 connections", ours, LARGE, ours, "8", 0.5)
        )
    if ours is not None and OVERLOAD in ours.loads:
        # 5 % is what two runs of the same load differ by.
        found.append(
            _divided("256 connections / 32, good answers", ours, OVERLOAD, ours, "32", 0.95)
        )
    if ours is not None and ours.ready_s is not None:
        found.append(Ratio("seconds until a worker is READY", ours.ready_s, 4.0, at_most=True))
    if ours is not None and ours.worker_pss_mb is not None:
        found.append(Ratio("MB of a worker, PSS", ours.worker_pss_mb, 450.0, at_most=True))
    return [each for each in found if each is not None]


def _against_raw(
    rows: Mapping[str, RowMedians], raw: RawMedians | None, precision: str
) -> list[Ratio | None]:
    if raw is None:
        return []
    found: list[Ratio | None] = []
    for name, its_precision, goal in (("ours", precision, 0.90), ("ours-int8", "int8", 0.85)):
        if name in rows and "32" in rows[name].loads and its_precision in raw.rates:
            share = rows[name].loads["32"].rate / raw.ceiling(its_precision)
            found.append(Ratio(f"{name} / ceiling of {its_precision}, 32 connections", share, goal))
    if "ours" in rows and "1" in rows["ours"].loads and precision in raw.latencies_ms:
        least = raw.latencies_ms[precision] + raw.decode_ms + _OVERHEAD_MS
        value = rows["ours"].loads["1"].p50_ms / least
        name = "median latency of ours / (inference + decode + 2 ms), 1 connection"
        found.append(Ratio(name, value, 1.3, at_most=True))
    return found


def _against_rivals(rows: Mapping[str, RowMedians]) -> list[Ratio | None]:
    goals = {"torchserve-best": 3.5, "flask": 8.0, "litserve": 1.1}
    pairs = [("ours", rival, goal) for rival, goal in goals.items()]
    return [
        _divided(f"{name} / {other}, 32 connections", rows[name], "32", rows[other], "32", goal)
        for name, other, goal in [*pairs, ("ours-int8", "ours", 1.5)]
        if name in rows and other in rows
    ]


def _divided(
    name: str, row: RowMedians, label: str, other: RowMedians, other_label: str, goal: float
) -> Ratio | None:
    """Return the ratio of two rates, None when one was not measured or is 0."""
    if label not in row.loads or other_label not in other.loads:
        return None
    divisor = other.loads[other_label].rate
    return Ratio(name, row.loads[label].rate / divisor, goal) if divisor else None


def _load_medians(runs: Sequence[LoadFigures]) -> LoadMedians:
    refused = sum(each.statuses.get(_BUSY, 0) for each in runs)
    return LoadMedians(
        statistics.median(each.rate for each in runs),
        statistics.median(each.p50_ms for each in runs),
        statistics.median(each.p99_ms for each in runs),
        sum(each.error_count for each in runs) - refused,
        refused,
    )


def _largest(memory: Memory, key: str) -> float | None:
    return max((each[key] for each in memory.get(WORKERS, []) if key in each), default=None)


def _total(memory: Memory, key: str) -> float | None:
    everything = [each for kind in (WORKERS, REST) for each in memory.get(kind, [])]
    return sum(each[key] for each in everything if key in each) or None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None

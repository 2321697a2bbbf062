"""From records and samples to figures, and to whether everything held.

A trend is fitted to the means of equal blocks of the time after the warm-up: samples beside each
other are not independent, means of minutes nearly are. Memory holds when the 95 % interval of the
slope includes zero or less, or when all the growth fitted is less than `SMALL_GROWTH` of the mean.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from reliability.soak.requester import BROKEN, OTHER_ANSWER, REFUSED, RIGHT, WRONG_STATUS, Record
from reliability.soak.watch import Sample

# What is no part of a trend: heaps grow to their size in the first five minutes, and more slowly in
# a sixth of the time. Half of a run is left at least.
_WARM_UP_S = 300.0
_WARM_UP, _MOST_WARM_UP = 1 / 6, 1 / 2
SMALL_GROWTH = 0.01
_BLOCKS = 10
_LEAST_SERVED = 0.9  # of the peak, under more load than capacity
# Descriptors and threads that come and go by themselves: connections kept open, pools.
_SLACK = 0.1


@dataclass(frozen=True)
class Trend:
    """MB an hour with its 95 % interval, the mean in MB and whether it `holds`."""

    slope: float
    low: float
    high: float
    mean: float
    holds: bool


@dataclass(frozen=True)
class Verdict:
    """Something that must hold, with what was measured."""

    name: str
    measured: str
    holds: bool


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Return how many requests had which outcome."""
    counted = Counter(record.outcome for record in records)
    return {name: counted[name] for name in (RIGHT, REFUSED, WRONG_STATUS, OTHER_ANSWER, BROKEN)}


def statuses(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Return for each case how many requests got which status; 0 is none."""
    counted = Counter((record.case, record.status) for record in records)
    found: dict[str, dict[str, int]] = {}
    for (case, status), count in sorted(counted.items()):
        found.setdefault(case, {})[str(status)] = count
    return found


def percentiles(records: Sequence[Record], outcome: str) -> dict[str, float]:
    """Return p50, p99 and the maximum of the latencies in ms; empty when there are none."""
    latencies = [record.latency_s * 1000 for record in records if record.outcome == outcome]
    if not latencies:
        return {}
    p50, p99 = np.percentile(latencies, [50, 99])
    return {"p50": round(p50, 1), "p99": round(p99, 1), "max": round(max(latencies), 1)}


def trends(samples: Sequence[Sample]) -> dict[str, Trend]:
    """Return the trend of the memory of each kind of process, and of all together."""
    times = np.array([sample.at_s for sample in samples]) / 3600
    begins = max(times[-1] * _WARM_UP, _WARM_UP_S / 3600)
    warm = times >= min(begins, times[-1] * _MOST_WARM_UP)
    kinds = {
        kind: np.array([each.memory_mb[kind] for each in samples]) for kind in samples[0].memory_mb
    }
    series = {**kinds, "all": np.sum(list(kinds.values()), axis=0)}
    return {kind: _trend(times[warm], values[warm]) for kind, values in series.items()}


def cores(first: Sample, last: Sample) -> dict[str, float]:
    """Return how many cores each kind of process kept busy between two samples of one watch."""
    seconds = last.at_s - first.at_s
    return {
        kind: round((last.cpu_s[kind] - spent) / seconds, 3) for kind, spent in first.cpu_s.items()
    }


def verdicts(
    records: Sequence[Record],
    samples: Sequence[Sample],
    setting: Mapping[str, Any],
) -> list[Verdict]:
    """Judge a run.

    `samples` begin with one of idle servers and end with one; `setting` has load, peak_rates
    (requests/s, before and after), seconds, most_waiting (requests).
    """
    before, *during, after = samples
    found = outcomes(records)
    overload = setting["load"] > 1
    failed = {name: found[name] for name in (WRONG_STATUS, OTHER_ANSWER, BROKEN)}
    judged = [Verdict("no wrong answer", str(failed), not any(failed.values()))]
    judged += _overload(records, setting) if overload else [_nothing_refused(found)]
    pids = {tuple(each) for sample in samples for each in [sample.pids["workers"]]}
    judged.append(Verdict("no worker was lost", f"{len(pids)} set(s) of pids", len(pids) == 1))
    for kind, trend in trends(during).items():
        text = (
            f"{trend.slope:+.1f} MB/h ({trend.low:+.1f} to {trend.high:+.1f}) of {trend.mean:.0f}"
        )
        judged.append(Verdict(f"memory of {kind} is flat", text, trend.holds))
    return [*judged, *_counts(before, after)]


def _nothing_refused(found: Mapping[str, int]) -> Verdict:
    return Verdict("nothing refused", str(found[REFUSED]), found[REFUSED] == 0)


def _overload(records: Sequence[Record], setting: Mapping[str, Any]) -> list[Verdict]:
    served = [record for record in records if record.outcome == RIGHT]
    rate = len(served) / setting["seconds"]
    share = rate / fmean(setting["peak_rates"])
    slowest = max((record.latency_s for record in served), default=0.0)
    # Who waits longest has the whole queue before it; twice that, for the spread of batches.
    bound = 2 * setting["most_waiting"] / rate if rate else 0.0
    return [
        Verdict("served rate / peak", f"{share:.2f}", share >= _LEAST_SERVED),
        Verdict(
            "slowest accepted request, s", f"{slowest:.2f}, at most {bound:.2f}", slowest <= bound
        ),
    ]


def _counts(before: Sample, after: Sample) -> list[Verdict]:
    """Compare what the idle servers held before with what they hold after."""
    found = [
        Verdict(
            f"{name} of {kind}, before and after",
            f"{count} and {later[kind]}",
            later[kind] <= count * (1 + _SLACK) + 2,
        )
        for name, earlier, later in (
            ("descriptors", before.descriptors, after.descriptors),
            ("sockets", before.sockets, after.sockets),
            ("threads", before.threads, after.threads),
        )
        for kind, count in earlier.items()
    ]
    files = (before.temporary_files, after.temporary_files)
    return [*found, Verdict("temporary files, before and after", str(files), files[1] <= files[0])]


def _trend(hours: Any, megabytes: Any) -> Trend:  # noqa: ANN401 - arrays
    blocks = [part for part in np.array_split(np.arange(len(hours)), _BLOCKS) if len(part)]
    x = np.array([hours[part].mean() for part in blocks])
    y = np.array([megabytes[part].mean() for part in blocks])
    mean = float(y.mean())
    if len(blocks) < 3:  # a trial run of seconds has no trend
        return Trend(0.0, 0.0, 0.0, mean, holds=True)
    fit = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(blocks) - 2) * fit.stderr)
    low, high = fit.slope - half, fit.slope + half
    growth = fit.slope * (hours[-1] - hours[0])
    holds = bool(low <= 0 or growth <= SMALL_GROWTH * mean)
    return Trend(float(fit.slope), float(low), float(high), mean, holds)

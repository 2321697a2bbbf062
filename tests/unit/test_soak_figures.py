"""reliability/soak: from records and samples to what holds and what does not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reliability.soak import figures
from reliability.soak.figures import Verdict, trends, verdicts
from reliability.soak.report import markdown
from reliability.soak.requester import BROKEN, OTHER_ANSWER, REFUSED, RIGHT, Record
from reliability.soak.watch import Sample

STEADY = {"load": 0.7, "peak_rates": [90.0, 110.0], "seconds": 3600.0, "most_waiting": 272}
OVERLOAD = {**STEADY, "load": 4.0, "seconds": 10.0}


def sample(at_s: float = 0.0, memory_mb: float = 500.0, **changes: Any) -> Sample:
    counts = {"Java": 100, "workers": 40}
    made = Sample(
        at_s,
        {"Java": 300.0, "workers": memory_mb},
        counts,
        {"Java": 20, "workers": 4},
        {"Java": 60, "workers": 12},
        {"Java": [1], "workers": [2, 3]},
        {"Java": 10.0, "workers": 20.0},
        temporary_files=9,
        logs_mb=1.0,
    )
    return replace(made, **changes)


def hour(growth_mb: float, noise_mb: float = 5.0) -> list[Sample]:
    """Return samples of an hour in which the workers grow by so much."""
    generator = np.random.default_rng(0)
    return [
        sample(at * 10.0, 500 + growth_mb * at / 360 + generator.normal(0, noise_mb))
        for at in range(361)
    ]


def records(
    rate: float, seconds: float, outcome: str = RIGHT, latency_s: float = 1.0
) -> list[Record]:
    count = int(rate * seconds)
    return [Record(at / rate, latency_s, "photograph", 200, outcome) for at in range(count)]


def judged(found: Sequence[Verdict]) -> dict[str, bool]:
    return {each.name: each.holds for each in found}


def failing(found: Sequence[Verdict]) -> list[str]:
    return [each.name for each in found if not each.holds]


def test_memory_that_only_varies_is_flat() -> None:
    trend = trends(hour(growth_mb=0))["workers"]
    assert trend.holds
    assert trend.low < 0 < trend.high
    assert trend.mean == pytest.approx(500, rel=0.01)


def test_memory_that_grows_is_not_flat() -> None:
    found = trends(hour(growth_mb=60))
    assert found["workers"].slope == pytest.approx(60, rel=0.1)
    assert not found["workers"].holds
    assert not found["all"].holds
    assert found["Java"].holds


def test_growth_below_a_hundredth_is_flat_however_sure() -> None:
    assert trends(hour(growth_mb=4, noise_mb=0.001))["workers"].holds


def test_growth_in_the_warm_up_is_no_trend() -> None:
    grown = [replace(each, memory_mb={"workers": min(500.0, 100 + each.at_s)}) for each in hour(0)]
    assert trends(grown)["workers"].holds


def test_a_steady_load_that_holds() -> None:
    samples = hour(growth_mb=0)
    assert failing(verdicts(records(70, 10), samples, STEADY)) == []


@pytest.mark.parametrize("outcome", [OTHER_ANSWER, BROKEN])
def test_one_wrong_answer_is_one_too_many(outcome: str) -> None:
    samples = hour(growth_mb=0)
    found = verdicts([*records(70, 10), *records(1, 1, outcome)], samples, STEADY)
    assert failing(found) == ["no wrong answer"]


def test_a_steady_load_is_never_refused() -> None:
    samples = hour(growth_mb=0)
    found = verdicts([*records(70, 10), *records(1, 1, REFUSED)], samples, STEADY)
    assert failing(found) == ["nothing refused"]


def test_a_worker_that_was_replaced_is_told() -> None:
    samples = hour(growth_mb=0)
    samples[100:] = [replace(each, pids={"workers": [2, 4]}) for each in samples[100:]]
    assert failing(verdicts(records(70, 10), samples, STEADY)) == ["no worker was lost"]


def test_what_is_left_afterwards_is_told() -> None:
    samples = hour(growth_mb=0)
    after = replace(
        samples[0],
        descriptors={"Java": 100, "workers": 47},
        sockets={"Java": 30, "workers": 4},
        threads={"Java": 60, "workers": 16},
        temporary_files=10,
    )
    assert failing(verdicts(records(70, 10), [*samples, after], STEADY)) == [
        "descriptors of workers, before and after",
        "sockets of Java, before and after",
        "threads of workers, before and after",
        "temporary files, before and after",
    ]


@pytest.mark.parametrize(("rate", "holds"), [(95, True), (91, True), (89, False)])
def test_the_served_rate_under_overload(rate: float, *, holds: bool) -> None:
    samples = hour(growth_mb=0)
    asked = [*records(rate, 10), *records(300, 10, REFUSED)]
    found = judged(verdicts(asked, samples, OVERLOAD))
    assert found["served rate / peak"] is holds
    assert "nothing refused" not in found


def test_the_wait_under_overload_is_bounded_by_the_queue() -> None:
    samples = hour(growth_mb=0)
    for latency_s, holds in ((5.4, True), (5.5, False)):  # 2 x 272 requests at 100 a second: 5.44 s
        asked = records(100, 10, latency_s=latency_s)
        found = judged(verdicts(asked, samples, OVERLOAD))
        assert found["slowest accepted request, s"] is holds


def test_cores_are_processor_time_by_time() -> None:
    first = sample(5.0, cpu_s={"workers": 20.0, "client": 1.0})
    last = sample(15.0, cpu_s={"workers": 35.0, "client": 3.0})
    assert figures.cores(first, last) == {"workers": 1.5, "client": 0.2}


def test_percentiles_and_counts() -> None:
    asked = [*records(100, 1, latency_s=0.1), *records(100, 1, REFUSED, latency_s=0.002)]
    assert figures.percentiles(asked, RIGHT) == {"p50": 100.0, "p99": 100.0, "max": 100.0}
    assert figures.percentiles(asked, BROKEN) == {}
    assert figures.outcomes(asked)[REFUSED] == 100
    assert figures.statuses(asked) == {"photograph": {"200": 200}}


def test_the_report_names_what_did_not_hold() -> None:
    machine = {"cpu": "a processor", "cores": 2, "date": "2026-11-23"}
    setting = {
        **STEADY, "machine": machine, "stack": "TorchServe alone", "rate": 70.0, "in_flight": 64,
        "photographs": "32 JPEGs", "peak_cores": {"workers": 1.55},
    }  # fmt: skip
    found = {
        "outcomes": {RIGHT: 5, REFUSED: 0},
        "latency_ms": {RIGHT: {"p50": 1.0, "p99": 2.0, "max": 3.0}, REFUSED: {}},
        "statuses": {"photograph": {"200": 5}},
        "cores": {"workers": 1.4},
    }
    text = markdown(setting, found, [Verdict("memory is flat", "+9 MB/h", holds=False)])
    assert "60 minutes at 0.7 times capacity, that is 70.0 requests/s" in text
    assert "capacity 90.0 requests/s before and 110.0 after (64 in flight)" in text
    assert "| workers | 1.55 | 1.40 |" in text
    assert "| right | 5 | 1.0 | 2.0 | 3.0 |" in text
    assert "| refused | 0 | - | - | - |" in text
    assert "| memory is flat | +9 MB/h | NO |" in text


@pytest.mark.parametrize(("minutes", "warm_s"), [(60, 600), (12, 300), (8, 240)])
def test_the_warm_up_is_five_minutes_a_sixth_or_half_of_the_run(
    minutes: int, warm_s: float
) -> None:
    def grown(until_s: float) -> list[Sample]:
        """Return samples of workers that grow until then by 1 MB a second."""
        times = [at * 10.0 for at in range(minutes * 6 + 1)]
        return [sample(at_s, 500 + min(at_s, until_s)) for at_s in times]

    assert trends(grown(warm_s))["workers"].holds
    assert not trends(grown((warm_s + minutes * 60) / 2))["workers"].holds

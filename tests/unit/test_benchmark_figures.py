"""Medians over the rounds, and the ratios that goals are set for."""

import pytest

from benchmarks.figures import Ratio, ratios, raw_medians, row_medians
from tests.unit.benchmark_figures import one_round, raw, run


def _ratio(found: list[Ratio], beginning: str) -> Ratio:
    (ratio,) = (each for each in found if each.name.startswith(beginning))
    return ratio


def test_each_figure_has_its_own_median_of_the_rounds() -> None:
    rounds = [
        one_round(ready_s=3.0, c8=run(100, 30)),
        one_round(ready_s=9.0, c8=run(90, 10)),
        one_round(ready_s=2.0, c8=run(10, 20)),
    ]
    medians = row_medians(rounds)
    assert medians.ready_s == 3.0
    assert medians.loads["8"].rate == 90.0
    assert medians.loads["8"].p50_ms == 20.0
    assert medians.loads["8"].p99_ms == 60.0


def test_errors_are_summed_and_refusals_counted_apart() -> None:
    rounds = [one_round(c256=run(50, s503=7, s500=2)), one_round(c256=run(50, s503=1, read=3))]
    load = row_medians(rounds).loads["256"]
    assert (load.refused, load.errors) == (8, 5)


def test_memory_is_that_of_the_largest_worker_and_of_all_together() -> None:
    memory = {
        "workers": [{"pss_mb": 200.0, "uss_mb": 180.0}, {"pss_mb": 300.0, "uss_mb": 150.0}],
        "rest": [{"pss_mb": 250.0, "uss_mb": 240.0}],
    }
    medians = row_medians([one_round(memory=memory)])
    assert (medians.worker_pss_mb, medians.worker_uss_mb) == (300.0, 180.0)
    assert medians.total_pss_mb == 750.0


def test_what_a_row_does_not_know_stays_unknown() -> None:
    medians = row_medians([one_round(ready_s=None, c1=run(1))])
    assert (medians.ready_s, medians.worker_pss_mb, medians.total_pss_mb) == (None, None, None)


def test_the_ceiling_is_decoding_and_inference_in_turn() -> None:
    assert raw_medians([raw(rate=120, decode=600)]).ceiling("bf16") == pytest.approx(100)


def test_raw_rates_are_medians_too() -> None:
    medians = raw_medians([raw(rate=100), raw(rate=140), raw(rate=110)])
    assert medians.rates == {"bf16": 110, "int8": 220}


def test_every_goal_is_judged_by_the_figures_it_is_about() -> None:
    memory = {"workers": [{"pss_mb": 400.0, "uss_mb": 300.0}]}
    ours = one_round(
        memory=memory,
        ready_s=5.0,
        c1=run(60, 15.0),
        c8=run(85),
        c32=run(90),
        c8_large=run(34),
        c256=run(81, s503=5),
    )
    others = {
        "torchserve-best": run(30),
        "flask": run(10),
        "litserve": run(75),
        "ours-int8": run(153),
    }
    rows = [ours, *(one_round(name, c32=figures) for name, figures in others.items())]
    found = ratios({row.row: row_medians([row]) for row in rows}, raw_medians([raw()]), "bf16")
    judged = {
        "ours / ceiling": (0.9, True),
        "ours-int8 / ceiling": (153 / (1 / (1 / 240 + 1 / 600)), True),
        "median latency": (15 / 12, True),
        "ours / torchserve-best": (3.0, False),
        "ours / flask": (9.0, True),
        "ours / litserve": (1.2, True),
        "ours-int8 / ours": (1.7, True),
        "12 megapixels": (0.4, False),
        "256 connections": (0.9, False),
        "seconds until": (5.0, False),
        "MB of a worker": (400.0, True),
    }
    assert len(found) == len(judged)
    for beginning, (value, reached) in judged.items():
        ratio = _ratio(found, beginning)
        assert ratio.value == pytest.approx(value), beginning
        assert ratio.reached == reached, beginning


def test_what_was_not_measured_has_no_ratio() -> None:
    ours = row_medians([one_round(ready_s=None, c1=run(60), c8=run(85))])
    assert ratios({"ours": ours}, None, "bf16") == []


def test_a_rival_that_answered_nothing_divides_nothing() -> None:
    rows = {
        "ours": row_medians([one_round(ready_s=None, c32=run(85))]),
        "flask": row_medians([one_round("flask", c32=run(0))]),
    }
    assert ratios(rows, None, "bf16") == []

"""Figures of made-up rounds for the tests of the benchmark."""

from typing import Any

from benchmarks.figures import RowRound
from benchmarks.processes import Memory
from benchmarks.wrk import LoadFigures


def run(rate: float, p50_ms: float = 10.0, **counts: int) -> LoadFigures:
    """Return one load of 10 s; `counts` are statuses like s503, or kinds of errors."""
    statuses = {name[1:]: count for name, count in counts.items() if name[1:].isdigit()}
    errors = {name: count for name, count in counts.items() if not name[1:].isdigit()}
    good = round(rate * 10)
    total = good + sum(statuses.values())
    return LoadFigures(
        total, 10.0, {"200": good, **statuses}, errors, p50_ms, p50_ms * 2, p50_ms * 3, p50_ms * 4
    )


def one_round(
    row: str = "ours",
    number: int = 1,
    ready_s: float | None = 3.0,
    memory: Memory | None = None,
    **loads: LoadFigures,
) -> RowRound:
    """Return one round of a row; loads are named like c8, or c8_large."""
    named = {name[1:].replace("_", " "): figures for name, figures in loads.items()}
    return RowRound(row, number, 7.0, ready_s, "32/32", None, named, memory or {})


def raw(rate: float = 120.0, latency_ms: float = 8.0, decode: float = 600.0) -> dict[str, Any]:
    """Return what raw.py prints for bf16; int8 is twice as fast."""
    return {
        "inference": {
            "bf16": {"rate": rate, "latency_ms": latency_ms},
            "int8": {"rate": rate * 2, "latency_ms": latency_ms / 2},
        },
        "decode": {"rate": decode, "latency_ms": 2.0},
        "decode_large": {"rate": 30.0, "latency_ms": 60.0},
    }

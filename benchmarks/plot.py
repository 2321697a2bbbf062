"""The results as one picture: requests/s with the ceiling, and latencies of a lone client."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import RawMedians, RowMedians

_OURS, _OTHERS, _TAIL = "#1f6f8b", "#b0b7bd", "#dfe3e6"
_CEILING = "#c0392b"


def plot(
    path: Path,
    rows: Sequence[RowMedians],
    raw: RawMedians | None,
    precision: str,
    connections: Sequence[int],
    title: str,
) -> None:
    """Write a PNG: rates at the most connections on the left, p50 and p99 at the fewest right."""
    mpl.use("Agg")  # no screen is needed
    figure = Figure(figsize=(11, 1.6 + 0.5 * max(1, len(rows))), layout="constrained")
    rates, latencies = figure.subplots(1, 2, sharey=True)
    _rates(rates, rows, max(connections))
    if raw is not None:
        _ceilings(rates, raw, precision, with_int8=any("int8" in row.name for row in rows))
    _latencies(latencies, rows, min(connections))
    rates.set_yticks(range(len(rows)), [row.name for row in rows])
    rates.invert_yaxis()
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, format="png", dpi=150)


def _rates(axes: Axes, rows: Sequence[RowMedians], connections: int) -> None:
    label = str(connections)
    values = [row.loads[label].rate if label in row.loads else 0.0 for row in rows]
    bars = axes.barh(range(len(rows)), values, color=[_colour(row) for row in rows])
    axes.bar_label(bars, labels=[f"{value:.0f}" for value in values], padding=3)
    axes.margins(x=0.12)
    axes.set_xlabel(f"requests/s, {connections} connections (more is better)")
    _clean(axes)


def _ceilings(axes: Axes, raw: RawMedians, precision: str, *, with_int8: bool) -> None:
    """Mark what the machine could do at best."""
    names = [precision, "int8"] if with_int8 else [precision]
    for name in names:
        if name in raw.rates:
            value = raw.ceiling(name)
            axes.axvline(value, color=_CEILING, linestyle="--", linewidth=1.2)
            axes.annotate(
                f"ceiling {name}: {value:.0f}",
                (value, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                color=_CEILING,
                fontsize=8,
                ha="center",
            )


def _latencies(axes: Axes, rows: Sequence[RowMedians], connections: int) -> None:
    label = str(connections)
    loads = [row.loads.get(label) for row in rows]
    medians = [load.p50_ms if load else 0.0 for load in loads]
    tails = [load.p99_ms if load else 0.0 for load in loads]
    axes.barh(range(len(rows)), tails, color=_TAIL, label="p99")
    axes.barh(range(len(rows)), medians, color=[_colour(row) for row in rows], label="p50")
    for at, (median, tail) in enumerate(zip(medians, tails, strict=True)):
        text = f"{median:.0f} / {tail:.0f}"
        axes.annotate(text, (tail, at), xytext=(3, 0), textcoords="offset points", va="center")
    axes.margins(x=0.2)
    plural = "" if connections == 1 else "s"
    axes.set_xlabel(f"ms, {connections} connection{plural}: p50 / p99 (less is better)")
    _clean(axes)


def _colour(row: RowMedians) -> str:
    return _OURS if row.name.startswith("ours") else _OTHERS


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)

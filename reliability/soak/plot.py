"""One picture of a run: rates, latencies and memory over time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reliability.soak.requester import REFUSED, RIGHT, Record
from reliability.soak.watch import Sample

_COLOURS = ("#1f6f8b", "#c0392b", "#7f8c8d", "#b8860b")
_POINTS = 120  # of a line: an hour by half minutes


def plot(path: Path, records: Sequence[Record], samples: Sequence[Sample], title: str) -> None:
    """Write a PNG with three panels above each other."""
    mpl.use("Agg")  # no screen is needed
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    rates, latencies, memory = figure.subplots(3, 1, sharex=True)
    _rates(rates, records)
    _latencies(latencies, records)
    for colour, kind in zip(_COLOURS, samples[0].memory_mb, strict=False):
        minutes = [sample.at_s / 60 for sample in samples]
        memory.plot(minutes, [each.memory_mb[kind] for each in samples], color=colour, label=kind)
    memory.set_ylabel("anonymous memory, MB")
    memory.set_xlabel("minutes")
    for axes in (rates, latencies, memory):
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, format="png", dpi=110)


def _bins(records: Sequence[Record]) -> np.ndarray:
    return np.linspace(0, max(record.due_s for record in records), _POINTS + 1)


def _rates(axes: Axes, records: Sequence[Record]) -> None:
    edges = _bins(records)
    for colour, outcome in zip(_COLOURS, (RIGHT, REFUSED), strict=False):
        # An answer belongs to the moment at which it came.
        came = [each.due_s + each.latency_s for each in records if each.outcome == outcome]
        if came:
            counts, _ = np.histogram(came, edges)
            axes.plot(edges[:-1] / 60, counts / (edges[1] - edges[0]), color=colour, label=outcome)
    axes.set_ylabel("answers/s")


def _latencies(axes: Axes, records: Sequence[Record]) -> None:
    edges = _bins(records)
    for colour, outcome in zip(_COLOURS, (RIGHT, REFUSED), strict=False):
        found = [(each.due_s, each.latency_s) for each in records if each.outcome == outcome]
        if not found:
            continue
        due, latency = np.array(found).T
        which = np.digitize(due, edges) - 1
        for share, style in ((50, "-"), (99, ":")):
            line = [
                np.percentile(latency[which == at], share) * 1000 if (which == at).any() else np.nan
                for at in range(_POINTS)
            ]
            axes.plot(edges[:-1] / 60, line, style, color=colour, label=f"{outcome}, p{share}")
    axes.set_ylabel("latency, ms")

"""The results as a table in Markdown and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import LoadMedians, Ratio, RawMedians, RowMedians

_LEGEND = (
    "MB are 10**6 bytes, under load; PSS counts shared pages in equal parts, USS own pages only. "
    "READY counts from the start of the worker's process. Rates are of answers with status 200."
)


def table(rows: Sequence[RowMedians], connections: Sequence[int]) -> str:
    """Return a row for each server: requests/s (p50 / p99 ms) by connections, then the rest."""
    counts = [str(count) for count in connections]
    heads = [f"{count} conn.: req/s (p50 / p99 ms)" for count in counts]
    lines = [
        _line(
            [
                "server",
                *heads,
                "errors",
                "right",
                "start s",
                "READY s",
                "worker PSS / USS MB",
                "all MB",
            ]
        ),
        _line(["---"] * (len(heads) + 7)),
    ]
    for row in rows:
        loads = [_load(row.loads.get(count)) for count in counts]
        errors = sum(load.errors for load in row.loads.values())
        memory = f"{_number(row.worker_pss_mb, 0)} / {_number(row.worker_uss_mb, 0)}"
        cells = [row.name, *loads, str(errors), row.agreement, _number(row.answer_s, 1)]
        lines.append(_line([*cells, _number(row.ready_s, 1), memory, _number(row.total_pss_mb, 0)]))
    return "\n".join(lines)


def extras(rows: Sequence[RowMedians], connections: Sequence[int]) -> str:
    """Return a line for each load beside the usual ones."""
    usual = {str(count) for count in connections}
    lines = [
        f"- {row.name}, {label} connections: {_load(load)}, {load.refused} refused with 503"
        for row in rows
        for label, load in row.loads.items()
        if label not in usual
    ]
    lines += [
        f"- {row.name}, large photographs: {row.agreement_large} as the reference"
        for row in rows
        if row.agreement_large
    ]
    return "\n".join(lines)


def raw_table(raw: RawMedians) -> str:
    """Return inference, latency and ceiling of each precision, and a line about decoding."""
    lines = [
        _line(
            ["without a server", "images/s, all cores", "one image, ms", "ceiling with decoding"]
        ),
        _line(["---"] * 4),
    ]
    lines += [
        _line(
            [
                name,
                _number(rate, 1),
                _number(raw.latencies_ms[name], 1),
                _number(raw.ceiling(name), 1),
            ]
        )
        for name, rate in raw.rates.items()
    ]
    lines += [
        _line(["decoding", _number(raw.decode_rate, 0), _number(raw.decode_ms, 2), "-"]),
        _line(
            [
                "decoding 12 megapixels",
                _number(raw.decode_large_rate, 0),
                _number(raw.decode_large_ms, 1),
                "-",
            ]
        ),
    ]
    return "\n".join(lines)


def ratio_table(ratios: Sequence[Ratio]) -> str:
    """Return each ratio with its goal."""
    lines = [_line(["ratio", "measured", "goal", "reached"]), _line(["---"] * 4)]
    for each in ratios:
        goal = f"{'at most' if each.at_most else 'at least'} {each.goal:g}"
        lines.append(_line([each.name, f"{each.value:.2f}", goal, "yes" if each.reached else "no"]))
    return "\n".join(lines)


def markdown(
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    rows: Sequence[RowMedians],
    raw: RawMedians | None,
    ratios: Sequence[Ratio],
) -> str:
    """Return everything that is shown, as one document."""
    photographs = settings["photographs"]
    connections = settings["connections"]
    about = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}; "
        f"medians of {settings['rounds']} interleaved round{'s' * (settings['rounds'] > 1)}, "
        f"{settings['seconds']:g} s a load; "
        f"{photographs['source']}, {photographs['mean_bytes'] / 1000:.0f} KB on average."
    )
    parts = [
        about,
        table(rows, connections),
        extras(rows, connections),
        "" if raw is None else raw_table(raw),
        ratio_table(ratios) if ratios else "",
        _LEGEND,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document; dataclasses in it become objects."""
    text = json.dumps(document, indent=1, default=asdict)
    path.write_text(text + "\n", encoding="utf-8")


def _load(load: LoadMedians | None) -> str:
    if load is None:
        return "-"
    return f"{load.rate:.1f} ({load.p50_ms:.1f} / {load.p99_ms:.1f})"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

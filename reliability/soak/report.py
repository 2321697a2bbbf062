"""The results as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from reliability.soak.figures import Verdict


def markdown(
    setting: Mapping[str, Any], figures: Mapping[str, Any], verdicts: Sequence[Verdict]
) -> str:
    """Return what was done, what came of it, and a table of what had to hold."""
    machine = setting["machine"]
    before, after = setting["peak_rates"]
    about = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}; {setting['stack']}; "
        f"{setting['seconds'] / 60:g} minutes at {setting['load']:g} times capacity, that is "
        f"{setting['rate']:.1f} requests/s; capacity {before:.1f} requests/s before and "
        f"{after:.1f} after ({setting['in_flight']} in flight); {setting['photographs']}."
    )
    lines = [
        about,
        "",
        "| outcome | requests | p50, ms | p99, ms | max, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, count in figures["outcomes"].items():
        times = figures["latency_ms"].get(name, {})
        cells = [str(times.get(key, "-")) for key in ("p50", "p99", "max")]
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    lines += ["", "| cores kept busy | at capacity | under this load |", "| --- | --- | --- |"]
    lines += [
        f"| {kind} | {busy:.2f} | {figures['cores'][kind]:.2f} |"
        for kind, busy in setting["peak_cores"].items()
    ]
    lines += ["", "| what must hold | measured | holds |", "| --- | --- | --- |"]
    lines += [
        f"| {each.name} | {each.measured} | {'yes' if each.holds else 'NO'} |" for each in verdicts
    ]
    lines += ["", "Requests by what was sent, with the statuses of their answers:", ""]
    lines += [f"- {case}: {counted}" for case, counted in figures["statuses"].items()]
    return "\n".join(lines) + "\n"

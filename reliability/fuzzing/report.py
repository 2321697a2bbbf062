"""What was seen of many cases in, a table for people and a document for programs out.

Of each finding that has a request the bytes are kept, by the number of its case.
"""

import dataclasses
import json
from pathlib import Path

from reliability.fuzzing.worker import Finding, Tally

_SHOWN = 20  # findings


def table(tally: Tally, wall_s: float) -> str:
    """Return the figures as Markdown."""
    statuses = sorted({status for counts in tally.statuses.values() for status in counts})
    lines = [f"| kind | cases | {' | '.join(statuses)} |", "| --- " * (2 + len(statuses)) + "|"]
    for kind, counts in sorted(tally.statuses.items()):
        cells = [str(sum(counts.values())), *(str(counts.get(each, 0)) for each in statuses)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    sums = [sum(each.get(status, 0) for each in tally.statuses.values()) for status in statuses]
    lines.append(f"| all | {sum(sums)} | {' | '.join(map(str, sums))} |")
    lines += [
        "",
        f"{wall_s:.0f} s. Answers to neighbours that had to be the same: {tally.neighbours}.",
    ]
    if tally.slowest[1] >= 0:
        seconds, number, kind = tally.slowest
        lines.append(f"Slowest: {seconds:.2f} s of CPU time, case {number} ({kind}).")
        size, number, kind = tally.largest
        lines.append(f"Most memory: {size / 2**20:.0f} MiB, case {number} ({kind}).")
    lines.append(f"Findings: {len(tally.findings)}.")
    lines += [
        f"- case {each.number} ({each.kind}): {each.wrong}" for each in tally.findings[:_SHOWN]
    ]
    return "\n".join(lines)


def write(folder: Path, tally: Tally, **told: float) -> None:
    """Write report.json, and a file for each finding that has something to keep."""
    folder.mkdir(parents=True, exist_ok=True)
    findings = [
        {"case": each.number, "kind": each.kind, "wrong": each.wrong} for each in tally.findings
    ]
    document = {**told, **dataclasses.asdict(tally), "findings": findings}
    (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for each in tally.findings:
        keep(folder, each)


def keep(folder: Path, finding: Finding) -> None:
    """Write what was sent: one file for each part or body."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(finding.contents):
        (folder / f"case-{finding.number}-{index}").write_bytes(content)

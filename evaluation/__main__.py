"""`evaluate`: measure the answers to photographs whose classes are known.

Exit status 0 when it ran, 1 when it could not, 2 for wrong usage and for a figure below what
`--min-agreement` or `--min-top1` ask for.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from archive_builder.command import CommandError, run, say
from archive_builder.photographs import find_photographs
from evaluation.arguments import parse
from evaluation.figures import Figures
from evaluation.labelled import sort_out
from evaluation.outcomes import Answered, Judged, Referred, Skipped
from evaluation.report import Report, name_files
from evaluation.ways import Way, open_way

_BELOW = 2  # exit status


def main() -> int:
    """Evaluate what the command line names."""
    # A file name need not be UTF-8: it goes out with the bytes it came in with.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    options = parse()
    # Told now, not after an hour.
    if options.json and (options.json.is_dir() or not options.json.parent.is_dir()):
        raise CommandError(f"--json {options.json}: there is no such folder, or it is one")
    report = evaluate(options)
    name_files("without a label", report.unlabelled)
    name_files("not classified", report.skipped)
    print(report.table(options.confusions), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=1) + "\n", encoding="utf-8")
    below = shortfalls(report.figures, options.min_top1, options.min_agreement)
    for each in below:
        say(each)
    return _BELOW if below else 0


def evaluate(options: argparse.Namespace) -> Report:
    """Return what was found; `CommandError` when no photograph got an answer."""
    paths = find_photographs(options.folder)
    with ExitStack() as stack:
        way = open_way(options, stack)
        labelled, unlabelled = sort_out(paths, way.classes)
        judged: list[Judged] = []
        skipped: list[Skipped] = []
        # disable=None: not where stderr is no terminal.
        for outcome, referred in tqdm(
            _outcomes(way, labelled), total=len(labelled), unit="file", disable=None, leave=False
        ):
            if isinstance(outcome, Skipped):
                skipped.append(outcome)
            else:
                label = labelled[outcome.path]
                judged.append(Judged(outcome.path, label, outcome.candidates, referred))
    if not judged:
        name_files("not classified", skipped)
        raise CommandError(f"none of the {len(skipped)} files with a label could be classified")
    names = way.classes.names
    return Report(options.folder, way.model, names, judged, skipped, unlabelled)


def shortfalls(figures: Figures, min_top1: float | None, min_agreement: float | None) -> list[str]:
    """Name each figure that is below what it has to be; shares are 0 to 1."""
    shares = [("top-1", figures.top1, min_top1)]
    if figures.agreement:
        shares.append(("agreement with float32", figures.agreement.share, min_agreement))
    elif min_agreement is not None:
        return ["no photograph could be compared with float32, as --min-agreement asks for"]
    return [
        f"{name} is {share.value:.4f}, less than {least:g}"
        for name, share, least in shares
        if least is not None and share.value < least
    ]


def _outcomes(
    way: Way, paths: Iterable[Path]
) -> Iterator[tuple[Answered | Skipped, Referred | None]]:
    outcomes = way.answers(paths)
    return way.reference.beside(outcomes) if way.reference else ((each, None) for each in outcomes)


if __name__ == "__main__":
    run(main)

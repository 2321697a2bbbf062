"""What the command `fuzz` is told."""

import argparse
from collections.abc import Sequence
from pathlib import Path

CASES = 10_000
HTTP_CASES = 1_000


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; wrong usage ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="fuzz",
        description="Attack the handler, or with --url a running server, with bad input.",
        epilog="Exit status: 0 nothing was found, 1 something was or it could not run, 2 wrong "
        "usage.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="which cases (default: %(default)s)")
    add("--cases", type=_count, metavar="N", help=f"default: {CASES}, over HTTP {HTTP_CASES}")
    add("--case", type=int, metavar="N", help="only this one, in its batch; writes it to --out")
    add("--first", type=int, default=0, metavar="N", help="begin with this one, to go on later")
    add("--assets", type=Path, metavar="DIR", help="folder like TEST_ASSETS: more files to damage")
    add("--out", type=Path, metavar="DIR", help="where to put report.json and what fails")
    inside = parser.add_argument_group("in process (default)").add_argument
    inside("--processes", type=_count, default=1, metavar="N", help="default: %(default)s")
    inside("--archive", type=Path, metavar="FILE.mar", help="run its network, not the stand-in")
    inside("--no-amplified", action="store_true", help="leave out what takes a second a case")
    over = parser.add_argument_group("over HTTP").add_argument
    over("--url", metavar="URL", help="a server's address for predictions of a model")
    options = parser.parse_args(arguments)
    if options.url and options.archive:
        parser.error("--archive cannot stand beside --url")
    if options.cases is None:
        options.cases = HTTP_CASES if options.url else CASES
    return options


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value

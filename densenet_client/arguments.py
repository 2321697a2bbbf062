"""What the command `predict` is told: its options, checked before anything is done."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from densenet_client.client import MAX_IMAGE_BYTES, TIMEOUT_S

TOKEN_VARIABLE = "DENSENET121_TOKEN"  # noqa: S105 - the name of it


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; wrong usage ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="predict",
        description="Classify images with a running server.",
        epilog="Exit status: 0 every image was answered, 1 any was not, 2 wrong usage.",
    )
    add = parser.add_argument
    add(
        "names",
        nargs="+",
        metavar="NAME",
        help="a file, a folder (all images below it), a pattern like 'photos/**/*.jpg', "
        "an http(s) URL, or - for such names on stdin, one a line",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON lines: an object a file")
    form.add_argument("--csv", action="store_true", help="print CSV with a header")
    add("--top-k", type=_count, metavar="N", help="also the N most probable classes")
    add(
        "--min-probability",
        type=_probability,
        metavar="P",
        help="recognised from this probability on (0 to 1) instead of the server's own judgement",
    )
    add(
        "--explain",
        type=Path,
        metavar="DIR",
        help="for each image write DIR/NAME.png, which shows where the model looked",
    )
    add("--url", help="default: the address in config.properties, or in TS_CONFIG_FILE")
    add(
        "--token",
        help=f"authorization of the server; {TOKEN_VARIABLE} in the environment does not "
        "show in the list of processes",
    )
    add(
        "--ca",
        type=Path,
        metavar="FILE",
        help="PEM certificate of the server, or of who signed it, for an https address; default: "
        "the one that the server of this checkout runs with, else those of the system",
    )
    add(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="S",
        help="seconds to wait for an answer (default: %(default)g)",
    )
    add(
        "--concurrency",
        type=_count,
        default=8,
        metavar="N",
        help="requests at a time, and images in memory (default: %(default)s)",
    )
    add(
        "--max-bytes",
        type=_count,
        default=MAX_IMAGE_BYTES,
        metavar="N",
        help="largest image that is read or fetched (default: %(default)s)",
    )
    return parser


def _count(text: str) -> int:
    return int(_checked(text, int, lambda number: number >= 1, "a whole number from 1 on"))


def _probability(text: str) -> float:
    return _checked(text, float, lambda number: 0 <= number <= 1, "a number from 0 to 1")


def _seconds(text: str) -> float:
    return _checked(text, float, lambda number: 0 < number < math.inf, "a time above 0 seconds")


def _checked(text: str, kind: type[float], allowed: Callable[[float], bool], meaning: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not allowed(number):
        raise argparse.ArgumentTypeError(f"{text} is not {meaning}")
    return number

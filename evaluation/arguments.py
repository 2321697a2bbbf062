"""What the command `evaluate` is told: its options, checked before anything is done."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from densenet_client.arguments import TOKEN_VARIABLE
from densenet_client.client import TIMEOUT_S

_DAY_S = 86400
CONCURRENCY = 8  # of the client's own command
# Options that only one of the two ways knows, with what they are when not given.
_SERVED = {"url": None, "token": None, "timeout": TIMEOUT_S, "concurrency": CONCURRENCY}
_IN_PROCESS = {"precision": None, "engine": None}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; wrong usage ends the process with status 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in _SERVED if options.in_process else _IN_PROCESS:
        default = {**_SERVED, **_IN_PROCESS}[name]
        if getattr(options, name) != default:
            needs = "cannot stand beside" if options.in_process else "needs"
            parser.error(f"--{name} {needs} --in-process")
    if options.no_reference and options.min_agreement is not None:
        parser.error("--min-agreement needs the reference that --no-reference switches off")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate",
        description="Measure the answers to labelled photographs: top-1, top-5, agreement with "
        "float32, confusions.",
        epilog="Exit status: 0 it ran, 1 it could not, 2 wrong usage or a figure below its "
        "--min-...",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="photographs, in sub-folders or not, whose names or folders begin with a WordNet id "
        "or are the name of a class",
    )
    _add_served(parser.add_argument_group("through the server (default)").add_argument)
    _add_in_process(parser.add_argument_group("without a server").add_argument)
    _add_reference(parser)
    _add_report(parser.add_argument_group("report").add_argument)
    return parser


def _add_served(add: Callable[..., object]) -> None:
    add("--url", help="default: the address in config.properties, or in TS_CONFIG_FILE")
    add("--token", help=f"authorization of the server; or {TOKEN_VARIABLE} in the environment")
    add(
        "--timeout",
        type=_number(0.001, _DAY_S),
        default=TIMEOUT_S,
        metavar="S",
        help="seconds to wait for an answer (default: %(default)g)",
    )
    add(
        "--concurrency",
        type=_number(1, 1024, int),
        default=CONCURRENCY,
        metavar="N",
        help="requests at a time (default: %(default)s)",
    )


def _add_in_process(add: Callable[..., object]) -> None:
    add("--in-process", action="store_true", help="run the archive here instead")
    add("--precision", choices=("float32", "bf16", "int8"), help="default: the archive's setting")
    add("--engine", choices=("openvino", "torch"), help="default: the archive's setting")


def _add_reference(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reference, in PyTorch, some 60 ms a photograph")
    group.add_argument(
        "--archive",
        type=Path,
        metavar="FILE.mar",
        help="what runs in process, and whose weights the reference takes; default: the archive "
        "in the model store that the configuration names, unless --url names another server",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--against",
        choices=("float32",),
        help="insist on it; else there is none where a server runs and no archive is found",
    )
    either.add_argument("--no-reference", action="store_true", help="do without")


def _add_report(add: Callable[..., object]) -> None:
    add(
        "--confusions",
        type=_number(0, sys.maxsize, int),
        default=20,
        metavar="N",
        help="confusions in the table (default: %(default)s); --json has all",
    )
    add("--json", type=Path, metavar="FILE", help="write everything there, each photograph too")
    add(
        "--min-agreement",
        type=_number(0, 1),
        metavar="X",
        help="status 2 when a smaller share than this (0 to 1) agrees with float32",
    )
    add(
        "--min-top1",
        type=_number(0, 1),
        metavar="X",
        help="status 2 when a smaller share than this (0 to 1) is right",
    )


def _number(low: float, high: float, kind: type[float] = float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            wanted = "a whole number" if kind is int else "a number"
            message = f"{text} is not {wanted} from {low} to {high}"
            raise argparse.ArgumentTypeError(message)
        return value

    return number

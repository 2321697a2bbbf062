"""The command line of the benchmark, with every slip of the pen an error before anything runs."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive_builder import ROOT
from archive_builder.command import CommandError

RAW, INT8 = "raw", "ours-int8"
ROWS = (
    "ours", "ours-float32", INT8, "torchserve-stock", "torchserve-best", "flask", "litserve", RAW,
)  # fmt: skip
CONNECTIONS = (1, 8, 32)
_QUICK_ROWS = ("ours", RAW)
_QUICK_CONNECTIONS = (1, 8)


@dataclass(frozen=True)
class Options:
    """What to measure. `seconds` is the time of one load; `weights` a file, or the word demo."""

    rows: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    photographs: Path | None
    weights: str
    calibration: Path | None
    output: Path
    quick: bool
    overload: bool
    sweep_rivals: bool


def read(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> Options:
    """Return the options; argparse ends the program for a wrong word, `CommandError` else."""
    given = _parser().parse_args(arguments)
    rows = _rows(given.rows, quick=given.quick)
    if given.rounds < 1 or given.seconds < 1:
        message = "--rounds and --seconds must be at least 1"
        raise CommandError(message)
    for name in ("photographs", "calibration"):
        folder: Path | None = getattr(given, name)
        if folder is not None and not folder.is_dir():
            message = f"--{name}: {folder} is not a folder"
            raise CommandError(message)
    if given.rows and INT8 in rows and given.calibration is None:
        message = f"the row {INT8} needs photographs to calibrate with: give --calibration DIR"
        raise CommandError(message)
    assets = Path(environment["TEST_ASSETS"]) if environment.get("TEST_ASSETS") else None
    labelled = assets / "images" / "labelled" if assets else None
    weights = assets / "weights" / "densenet121-imagenet1k.pth" if assets else None
    return Options(
        rows=rows,
        connections=_QUICK_CONNECTIONS if given.quick else CONNECTIONS,
        rounds=1 if given.quick else given.rounds,
        seconds=1.0 if given.quick else given.seconds,
        photographs=given.photographs or labelled,
        weights=given.weights or environment.get("DENSENET121_WEIGHTS") or str(weights or "demo"),
        calibration=given.calibration,
        output=given.output,
        quick=given.quick,
        overload=given.overload,
        sweep_rivals=given.sweep_rivals,
    )


def _rows(asked: str | None, *, quick: bool) -> tuple[str, ...]:
    """Return the rows in the order of the table."""
    if asked is None:
        return _QUICK_ROWS if quick else ROWS
    names = asked.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        message = f"--rows: unknown {', '.join(map(repr, unknown))}; known: {', '.join(ROWS)}"
        raise CommandError(message)
    return tuple(name for name in ROWS if name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark",
        description="Measure the service beside other servers and beside what the machine could "
        "do at best. Needs wrk. Leave the machine alone meanwhile.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round of ours and raw: does it run?")
    add("--rows", metavar="A,B", help=f"only these rows of {', '.join(ROWS)}")
    add("--rounds", type=int, default=3, help="interleaved rounds (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="of one load (default: %(default)s)")
    add(
        "--photographs",
        type=Path,
        metavar="DIR",
        help="JPEGs to send (default: TEST_ASSETS/images/labelled, else drawings)",
    )
    add(
        "--weights",
        metavar="FILE",
        help="or the word demo (default: DENSENET121_WEIGHTS, TEST_ASSETS, else demo)",
    )
    add("--calibration", type=Path, metavar="DIR", help="photographs to quantize ours-int8 with")
    add("--overload", action="store_true", help="load ours with 256 connections as well")
    add("--sweep-rivals", action="store_true", help="find the rivals' best settings first")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=ROOT / "benchmark-results",
        help="where benchmark.json, .md and .png go (default: benchmark-results)",
    )
    return parser

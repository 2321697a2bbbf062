"""The command line of `soak`; argparse ends the program for a wrong word."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive_builder import ROOT
from archive_builder.command import CommandError
from archive_builder.weights_source import DEMO

_QUICK_MINUTES = 0.1


@dataclass(frozen=True)
class Options:
    """What to do. `load` is a multiple of the measured capacity; `weights` a file, or "demo"."""

    load: float
    minutes: float
    proxy: bool
    weights: str
    photographs: Path | None
    output: Path
    seed: int
    quick: bool


def read(
    arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> Options:
    """Return the options."""
    given = _parser().parse_args(arguments)
    if given.load <= 0 or given.minutes <= 0:
        raise CommandError("--load and --minutes must be more than 0")
    assets = environment.get("TEST_ASSETS")
    weights = Path(assets, "weights", "densenet121-imagenet1k.pth") if assets else None
    return Options(
        given.load,
        _QUICK_MINUTES if given.quick else given.minutes,
        given.proxy,
        given.weights or environment.get("DENSENET121_WEIGHTS") or str(weights or DEMO),
        Path(assets, "images", "labelled") if assets else None,
        given.output,
        given.seed,
        given.quick,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Send good and bad requests at a multiple of the server's capacity, whether or "
        "not it keeps up, and watch answers, latency, memory, descriptors, threads and files. "
        "With TEST_ASSETS real weights and photographs, else demo weights and drawings.",
        epilog="Exit status: 0 when everything held, 1 when not.",
    )
    add = parser.add_argument
    add("--load", type=float, default=0.7, metavar="X", help="of capacity (default: %(default)s)")
    add("--minutes", type=float, default=60.0, metavar="M", help="(default: %(default)g)")
    add("--proxy", action="store_true", help="deploy/config.properties, with nginx in front")
    add(
        "--weights",
        metavar="FILE",
        help="or the word demo (default: DENSENET121_WEIGHTS, TEST_ASSETS, else demo)",
    )
    add("--quick", action="store_true", help="a few seconds of everything: does it run?")
    add("--seed", type=int, default=0, help="of the order of requests (default: %(default)s)")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=ROOT / "soak-results",
        help="where soak.json, .md and .png go (default: soak-results)",
    )
    return parser

"""`benchmark`: measure, print the table, write benchmark.json, benchmark.md and benchmark.png."""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from archive_builder.command import run, say
from benchmarks import archives, image_classifier, machine, photographs, python_servers, report
from benchmarks.figures import Raw, RowRound, ratios, raw_medians, row_medians
from benchmarks.options import INT8, RAW, Options, read
from benchmarks.ours import Ours, OursFloat32, OursInt8
from benchmarks.plot import plot
from benchmarks.raw import default_precision
from benchmarks.rounds import Rounds, sweep
from benchmarks.row import Row, Setting
from benchmarks.wrk import require_wrk

_KINDS: dict[str, Callable[[Setting], Row]] = {
    "ours": Ours,
    "ours-float32": OursFloat32,
    INT8: OursInt8,
    "torchserve-stock": image_classifier.Stock,
    "torchserve-best": image_classifier.Best,
    "flask": python_servers.FlaskTutorial,
    "litserve": python_servers.LitServe,
}
_SWEEP_S = 5.0


def main() -> int:
    """Measure as the command line asks."""
    options = read()
    require_wrk()
    # For the reference answers. Two threads that wait for each other crawl on a busy machine.
    torch.set_num_threads(1)
    # A short name: the path of a worker's socket has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        setting = _prepare(options, Path(folder))
        rounds = Rounds(options, setting)
        rows, swept = _rows(options, setting, rounds)
        measured, raw = _measure(options, rows, rounds)
    _show(options, setting, rows, measured, raw, swept)
    return 0


def _prepare(options: Options, folder: Path) -> Setting:
    """Make photographs and archives."""
    say("Preparing photographs")
    large = 1 if options.quick else photographs.LARGE_COUNT
    pictures = photographs.prepare(options.photographs, folder / "photographs", large)
    weights = archives.find_weights(options.weights, folder / "weights")
    say("Building the archive")
    network = archives.build(folder / "store", weights)
    int8_store = int8_network = None
    if INT8 in options.rows and options.calibration is not None:
        say("Building the int8 archive (this takes minutes)")
        int8_store = folder / "int8-store"
        int8_network = archives.build_int8(int8_store, weights, options.calibration)
    elif INT8 in options.rows:
        say(f"{INT8} is left out: it needs photographs to calibrate with (--calibration DIR)")
    return Setting(
        folder,
        weights,
        pictures,
        machine.cores(),
        folder / "store",
        network,
        int8_store,
        int8_network,
    )


def _rows(
    options: Options, setting: Setting, rounds: Rounds
) -> tuple[list[Row], dict[str, list[Any]]]:
    """Return the servers to measure, the rivals with their best settings, and what was tried."""
    names = [name for name in options.rows if name != RAW]
    if setting.int8_store is None:
        names = [name for name in names if name != INT8]
    rows = {name: _KINDS[name](setting) for name in names}
    swept: dict[str, list[Any]] = {}
    rivals: list[tuple[str, Sequence[Any], Callable[[Setting, Any], Row]]] = [
        ("torchserve-best", image_classifier.CANDIDATES, image_classifier.Best),
        ("litserve", python_servers.LITSERVE_CANDIDATES, python_servers.LitServe),
    ]
    for name, candidates, kind in rivals:
        if options.sweep_rivals and name in rows:
            make = partial(kind, setting)
            best, swept[name] = sweep(rounds, name, candidates, make, _SWEEP_S)
            rows[name] = make(best)
    return list(rows.values()), swept


def _measure(options: Options, rows: list[Row], rounds: Rounds) -> tuple[list[RowRound], list[Raw]]:
    """Return every figure of every round."""
    measured: list[RowRound] = []
    raw: list[Raw] = []
    for number in range(1, options.rounds + 1):
        measured += [rounds.measure(row, number) for row in rows]
        if RAW in options.rows:
            raw.append(rounds.raw(number))
    return measured, raw


def _show(
    options: Options,
    setting: Setting,
    rows: list[Row],
    measured: list[RowRound],
    raw: list[Raw],
    swept: dict[str, list[Any]],
) -> None:
    """Print the table and write the files."""
    medians = [row_medians([each for each in measured if each.row == row.name]) for row in rows]
    raw_median = raw_medians(raw) if raw else None
    precision = default_precision()
    found = ratios({row.name: row for row in medians}, raw_median, precision)
    about = machine.describe()
    settings = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
        "weights": options.weights if options.weights == archives.DEMO else setting.weights.name,
        "default_precision": precision,
        "photographs": setting.photographs.about,
        "rows": {row.name: row.settings() for row in rows},
    }
    text = report.markdown(about, settings, medians, raw_median, found)
    options.output.mkdir(parents=True, exist_ok=True)
    report.write_json(
        options.output / "benchmark.json",
        {
            "machine": about,
            "settings": settings,
            "medians": medians,
            "raw": raw_median,
            "ratios": [{**vars(each), "reached": each.reached} for each in found],
            "sweeps": swept,
            "rounds": {"servers": measured, "raw": raw},
        },
    )
    (options.output / "benchmark.md").write_text(text, encoding="utf-8")
    if medians:
        title = f"DenseNet-121, {about['cpu']}, {about['cores']} cores, {about['date']}"
        picture = options.output / "benchmark.png"
        plot(picture, medians, raw_median, precision, options.connections, title)
    print(text, end="")
    say(f"Written to {options.output}")


if __name__ == "__main__":
    run(main)

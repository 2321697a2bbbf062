"""Interleaved rounds: every row once a round, so that a drift of the machine meets all alike.

Only one server runs at a time. Each is started, compared with the reference, warmed up, loaded
with each number of connections, and stopped.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from archive_builder import HANDLER, ROOT
from archive_builder.command import CommandError, say
from benchmarks.figures import LARGE, OVERLOAD, Raw, RowRound
from benchmarks.options import INT8, Options
from benchmarks.photographs import Bodies
from benchmarks.processes import own_environment, settle
from benchmarks.raw import default_precision
from benchmarks.reference import Agreement, Reference, require_agreement
from benchmarks.row import Row, Setting
from benchmarks.wrk import LoadFigures, load

# The JVM compiles what runs often: TorchServe reaches its full rate only after seconds of load.
_WARM_UP_S = 8.0
_WARM_UP_CONNECTIONS = 8
# Raw rates need less time than loads: nothing but the arithmetic varies.
_RAW_SHARE = 0.1
_RAW_TIMEOUT_S = 1800.0

Tuning = TypeVar("Tuning")


class Rounds:
    """Measures rows of one setting against one reference."""

    def __init__(self, options: Options, setting: Setting) -> None:
        self._options = options
        self._setting = setting
        photographs = setting.photographs
        say("Asking PyTorch for the right answers")
        self._reference = Reference(setting.weights, photographs.raw.contents())
        large = [] if options.quick else photographs.large.contents()
        self._large = Reference(setting.weights, large)

    def measure(self, row: Row, number: int) -> RowRound:
        """Return one round of one row."""
        step = f"round {number} of {self._options.rounds}: {row.name}"
        say(f"{step}, starting")
        with row.running() as started:
            agreement = self._compare(row)
            if row.name == INT8:  # its accuracy is what it is, and is reported
                say(f"{step}, {agreement} photographs as the reference")
            else:
                require_agreement(row.name, agreement)
            large = self._large.compare(row.ask) if self._takes_large(row) else None
            load(
                row.url, row.bodies.paths, row.bodies.content_type, _WARM_UP_CONNECTIONS, _WARM_UP_S
            )
            loads = {}
            for label, connections, bodies in self._loads(row):
                settle(_all(row))
                loads[label] = self._load(step, row, label, connections, bodies)
            # Straight after the heaviest load: what it needed is still its own.
            memory = row.memory()
        return RowRound(
            row.name,
            number,
            started.answer_s,
            started.ready_s,
            str(agreement),
            None if large is None else str(large),
            loads,
            memory,
        )

    def rate(self, row: Row, connections: int, seconds: float) -> float:
        """Return the rate of a row with one load only, for choosing among settings."""
        with row.running():
            require_agreement(row.name, self._compare(row))
            bodies = row.bodies
            load(row.url, bodies.paths, bodies.content_type, connections, _WARM_UP_S)
            return load(row.url, bodies.paths, bodies.content_type, connections, seconds).rate

    def raw(self, number: int) -> Raw:
        """Return what the machine does without any server."""
        say(f"round {number} of {self._options.rounds}: raw inference and decoding")
        photographs, setting = self._setting.photographs, self._setting
        command = [sys.executable, "-m", "benchmarks.raw"]
        command += [f"--seconds={max(0.5, self._options.seconds * _RAW_SHARE)}"]
        for precision, network in _networks(setting).items():
            command.append(f"--network={precision}={network}")
        if self._options.quick:
            command.append("--quick")
        command += ["--photographs", *map(str, photographs.raw.paths)]
        command += ["--large", *map(str, photographs.large.paths)]
        environment = own_environment({"PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}"})
        result = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RAW_TIMEOUT_S,
        )
        if result.returncode != 0:
            message = f"the raw rates could not be measured:\n{result.stderr.strip()}"
            raise CommandError(message)
        figures: dict[str, Any] = json.loads(result.stdout)
        return figures

    def _compare(self, row: Row) -> Agreement:
        """Compare a row's answers to its own bodies with the reference's."""
        contents = self._setting.photographs.raw.contents()
        bodies = dict(zip(contents, row.bodies.contents(), strict=True))
        return self._reference.compare(lambda content: row.ask(bodies[content]))

    def _takes_large(self, row: Row) -> bool:
        return row.name == "ours" and not self._options.quick

    def _loads(self, row: Row) -> list[tuple[str, int, Bodies]]:
        loads = [(str(count), count, row.bodies) for count in self._options.connections]
        if self._takes_large(row):
            loads.append((LARGE, 8, self._setting.photographs.large))
        if row.name == "ours" and self._options.overload:
            loads.append((OVERLOAD, 256, row.bodies))
        return loads

    def _load(
        self, step: str, row: Row, label: str, connections: int, bodies: Bodies
    ) -> LoadFigures:
        seconds = self._options.seconds
        figures = load(row.url, bodies.paths, bodies.content_type, connections, seconds)
        say(
            f"{step}, {label} connections: {figures.rate:.1f} requests/s, "
            f"p50 {figures.p50_ms:.1f} ms, p99 {figures.p99_ms:.1f} ms, "
            f"{figures.error_count} errors"
        )
        return figures


def sweep(
    rounds: Rounds,
    name: str,
    candidates: Sequence[Tuning],
    row: Callable[[Tuning], Row],
    seconds: float,
) -> tuple[Tuning, list[tuple[Tuning, float]]]:
    """Measure each candidate at 32 connections; return the best, and all with their rates."""
    found = []
    for candidate in candidates:
        rate = rounds.rate(row(candidate), 32, seconds)
        say(f"sweep of {name}: {candidate}: {rate:.1f} requests/s")
        found.append((candidate, rate))
    return max(found, key=lambda each: each[1])[0], found


def _networks(setting: Setting) -> dict[str, Any]:
    networks = dict.fromkeys(("float32", default_precision()), setting.network)
    if setting.int8_network is not None:
        networks["int8"] = setting.int8_network
    return networks


def _all(row: Row) -> list[Any]:
    return [process for found in row.processes().values() for process in found]

"""The rows of Python web servers: the tutorial's Flask application, and LitServe with OpenVINO."""

import os
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from archive_builder import HANDLER, ROOT
from benchmarks.photographs import Bodies
from benchmarks.processes import Program, answers
from benchmarks.raw import default_precision
from benchmarks.row import REST, WORKERS, Row, Setting, Started
from server_control.ports import free_ports


class PythonServer(Row):
    """A program of ours that answers `/predict`."""

    kind = WORKERS

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._program: Program | None = None

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return what to run."""

    def environment(self) -> dict[str, str]:
        """Return what the program needs beside our own packages."""
        return {}

    def start(self) -> Started:
        """Start the program and wait for the first good answer."""
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/predict"
        path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}"}
        environment = {**path, **self.environment()}
        self._program = Program(self.command(port), self.folder, environment)
        body = self.bodies.paths[0].read_bytes()
        answer_s = self._program.wait_until(
            lambda: answers(self.url, body, self.bodies.content_type), f"{self.name}: first answer"
        )
        return Started(answer_s)

    def stop(self) -> None:
        """End the program and its children."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Return all of them as one kind."""
        return {self.kind: self._program.processes() if self._program else []}

    def read_answer(self, answer: Any) -> str:  # noqa: ANN401 - whatever JSON holds
        """Return the name that `{"class_name": ...}` gives."""
        return str(answer["class_name"])


class FlaskTutorial(PythonServer):
    """Flask's development server: one process, a thread a request."""

    name = "flask"

    @property
    def bodies(self) -> Bodies:
        """Forms, which is what the tutorial takes."""
        return self.setting.photographs.form

    def command(self, port: int) -> list[str]:
        """Return `flask run`."""
        command = [sys.executable, "-m", "flask", "--app", "benchmarks.flask_app", "run"]
        return [*command, "--host=127.0.0.1", f"--port={port}"]

    def environment(self) -> dict[str, str]:
        """Name the weights."""
        return {"BENCHMARK_WEIGHTS": str(self.setting.weights)}


@dataclass(frozen=True)
class LitServeTuning:
    """The largest batch and how long it waits for company."""

    batch: int
    timeout_s: float


# What --sweep-rivals tries, at 32 connections.
LITSERVE_CANDIDATES = (
    LitServeTuning(1, 0.0),
    LitServeTuning(4, 0.0),
    LitServeTuning(4, 0.002),
    LitServeTuning(8, 0.002),
    LitServeTuning(8, 0.01),
)
# 112 requests/s at 32 connections; the others 90 to 103 (2 cores of an AMD EPYC, 2026-11-23).
LITSERVE_BEST = LITSERVE_CANDIDATES[4]


class LitServe(PythonServer):
    """LitServe with the same OpenVINO model and decoder, one worker a core."""

    name = "litserve"
    kind = REST  # its workers cannot be told from its other processes

    def __init__(self, setting: Setting, tuning: LitServeTuning = LITSERVE_BEST) -> None:
        super().__init__(setting)
        self.tuning = tuning

    def command(self, port: int) -> list[str]:
        """Return the program with the tuning."""
        command = [sys.executable, "-m", "benchmarks.litserve_app", f"--port={port}"]
        command += [f"--network={self.setting.network}", f"--precision={default_precision()}"]
        command += [f"--workers={self.setting.cores}", f"--batch={self.tuning.batch}"]
        return [*command, f"--timeout-s={self.tuning.timeout_s}"]

    def settings(self) -> dict[str, Any]:
        """Return workers, batch and timeout."""
        return {"workers": self.setting.cores, **asdict(self.tuning)}

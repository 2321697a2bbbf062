"""Our own rows: the service as `./scripts/serve` starts it, in each precision."""

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from archive_builder import MODEL_NAME, ROOT
from archive_builder.command import CommandError
from benchmarks.photographs import FORM, multipart
from benchmarks.processes import own_environment
from benchmarks.row import REST, WORKERS, Row, Setting, Started
from benchmarks.watch import WorkerWatch
from server_control.configuration import Configuration
from server_control.ports import write_configuration
from server_control.runtime import Runtime, processes

INT8_NAME = f"{MODEL_NAME}-int8"
_SCRIPT_TIMEOUT_S = 240.0


class Ours(Row):
    """The service with its shipped configuration; only ports and folders are the benchmark's."""

    name = "ours"
    precision: str | None = None  # None: as shipped
    model_name = MODEL_NAME

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._path = self.folder / "config.properties"

    @property
    def _store(self) -> Path:
        return self.setting.model_store

    def start(self) -> Started:
        """Run `./scripts/serve`, which ends by showing a good answer."""
        configuration = self._configure()
        self.url = configuration.prediction_url
        began = time.monotonic()
        with WorkerWatch(configuration.model_url) as watch:
            self._script("serve", "--timeout-s=120")
            answer_s = time.monotonic() - began
        return Started(answer_s, watch.ready_s)

    def stop(self) -> None:
        """Run `./scripts/stop`; the logs go with the server."""
        if self._path.exists():
            self._script("stop")
            shutil.rmtree(Runtime(self._path).folder, ignore_errors=True)
            self._path.unlink()

    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Return Java as the rest, and the workers."""
        note = Runtime(self._path).note()
        found = [] if note is None else processes(note)
        return by_kind(found)

    def ask(self, body: bytes) -> str:
        """Ask with `min_probability=0`, which recognises everything, as the reference does."""
        form = multipart(body, "photograph.jpg", {"min_probability": "0"})
        return self.answer_to(form, FORM)

    def read_answer(self, answer: Any) -> str:  # noqa: ANN401 - whatever JSON holds
        """Return the name that `{"class_id": ..., "class_name": ...}` gives."""
        return str(answer["class_name"])

    def settings(self) -> dict[str, Any]:
        """Return the changed settings."""
        return {"precision": self.precision or "as shipped"}

    def _configure(self) -> Configuration:
        """Write the project's configuration with free ports and the benchmark's model store."""
        write_configuration(
            self._path, model_store=str(self._store), load_models=f"{self.model_name}.mar"
        )
        return Configuration.load({"TS_CONFIG_FILE": str(self._path)})

    def _script(self, name: str, *arguments: str) -> None:
        changes = {"TS_CONFIG_FILE": str(self._path)}
        if self.model_name == MODEL_NAME:  # another archive's weights are its own
            changes["DENSENET121_WEIGHTS"] = str(self.setting.weights)
        if self.precision is not None:
            changes["DENSENET121_PRECISION"] = self.precision
        run_script(name, *arguments, changes=changes)


class OursFloat32(Ours):
    """The same in full precision."""

    name = "ours-float32"
    precision = "float32"


class OursInt8(Ours):
    """The int8 archive."""

    name = "ours-int8"
    precision = "int8"
    model_name = INT8_NAME

    @property
    def _store(self) -> Path:
        if self.setting.int8_store is None:
            message = "ours-int8 needs an int8 archive: give --calibration DIR"
            raise CommandError(message)
        return self.setting.int8_store


def run_script(
    name: str, *arguments: str, changes: Mapping[str, str], timeout_s: float = _SCRIPT_TIMEOUT_S
) -> None:
    """Run one of the project's scripts; `CommandError` with its own words when it fails."""
    try:
        result = subprocess.run(
            [str(ROOT / "scripts" / name), *arguments],
            env=own_environment(changes),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"./scripts/{name} did not end within {timeout_s:.0f} s"
        raise CommandError(message) from error
    if result.returncode != 0:
        message = f"./scripts/{name} failed:\n{result.stderr.strip()}"
        raise CommandError(message)


def by_kind(found: list[psutil.Process]) -> dict[str, list[psutil.Process]]:
    """Sort TorchServe's processes: workers have their socket among their arguments."""
    workers = [process for process in found if "--sock-name" in process.cmdline()]
    return {WORKERS: workers, REST: [each for each in found if each not in workers]}

"""TorchServe's own handler `image_classifier` with eager DenseNet-121: stock, and at its best.

Archives are made by `torch-model-archiver`, as TorchServe's examples show it; TorchServe keeps
its own log configuration.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml

from archive_builder import LABELS
from archive_builder.command import CommandError
from benchmarks.ours import by_kind
from benchmarks.processes import Program, answers, own_environment
from benchmarks.row import Row, Setting, Started
from benchmarks.watch import WorkerWatch
from densenet_classifier.network import load_network
from server_control.java import find_java_home
from server_control.ports import free_ports

_NAME = "densenet121"
# The module that an eager model needs: exactly one class, made without arguments. DenseNet's
# defaults are those of DenseNet-121.
_MODEL = '''\
from torchvision.models import DenseNet


class DenseNet121(DenseNet):
    """As torchvision makes it."""
'''
_CONFIGURATION = """\
inference_address=http://127.0.0.1:{0}
management_address=http://127.0.0.1:{1}
metrics_address=http://127.0.0.1:{2}
grpc_inference_port={3}
grpc_management_port={4}
model_store={store}
load_models={name}.mar
default_workers_per_model=1
disable_token_authorization=true
"""


@dataclass(frozen=True)
class Tuning:
    """How image_classifier is run; None leaves TorchServe's or PyTorch's own default."""

    workers: int = 1
    threads: int | None = None
    batch: int | None = None
    delay_ms: int | None = None

    def yaml(self) -> str | None:
        """Return the model's configuration, None when nothing differs from the defaults."""
        if self.batch is None:
            return None
        return yaml.safe_dump(
            {
                "minWorkers": self.workers,
                "maxWorkers": self.workers,
                "batchSize": self.batch,
                "maxBatchDelay": self.delay_ms,
                "responseTimeout": 120,
            }
        )


STOCK = Tuning()
# What --sweep-rivals tries, at 32 connections.
CANDIDATES = (
    Tuning(workers=2, threads=1, batch=8, delay_ms=10),
    Tuning(workers=2, threads=1, batch=8, delay_ms=1),
    Tuning(workers=2, threads=1, batch=1, delay_ms=1),
    Tuning(workers=1, threads=2, batch=8, delay_ms=10),
    Tuning(workers=1, threads=2, batch=1, delay_ms=1),
)
# Used without a sweep. The first three answered 22 requests/s each at 32 connections, the others
# none within the 3 s of a sweep's load (2 cores of an AMD EPYC, 2026-11-23).
BEST = CANDIDATES[0]


class Stock(Row):
    """One worker, TorchServe's defaults, no batches."""

    name = "torchserve-stock"
    tuning = STOCK

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._program: Program | None = None

    def start(self) -> Started:
        """Start TorchServe with its launcher and wait for the first good answer."""
        ports = free_ports(5)
        store = self._build()
        temp = self.folder / "t"  # a socket's path has 107 characters at most
        temp.mkdir(exist_ok=True)
        path = self.folder / "config.properties"
        path.write_text(_CONFIGURATION.format(*ports, store=store, name=_NAME), encoding="utf-8")
        self.url = f"http://127.0.0.1:{ports[0]}/predictions/{_NAME}"
        environment = {"JAVA_HOME": str(find_java_home()), "TMPDIR": str(temp), "TEMP": str(temp)}
        if self.tuning.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.tuning.threads)
        command = [str(_beside_python("torchserve")), "--start", "--foreground", "--ncs"]
        environment["PYTHONPATH"] = ""  # it would win over the archive
        self._program = Program(
            [*command, "--ts-config", str(path)], self.folder / "run", environment
        )
        watch = WorkerWatch(f"http://127.0.0.1:{ports[1]}/models/{_NAME}")
        self._program.wait_until(watch.all_ready, f"{self.name}: workers READY")
        body = self.bodies.paths[0].read_bytes()
        answer_s = self._program.wait_until(
            lambda: answers(self.url, body, self.bodies.content_type), f"{self.name}: first answer"
        )
        return Started(answer_s, watch.ready_s)

    def stop(self) -> None:
        """End the launcher, Java and the workers."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Return the workers, and Java with its launcher as the rest."""
        return by_kind(self._program.processes() if self._program else [])

    def read_answer(self, answer: Any) -> str:  # noqa: ANN401 - whatever JSON holds
        """Return the most probable name of `{"tabby": 0.4, ...}`."""
        return str(max(answer, key=answer.__getitem__))

    def settings(self) -> dict[str, Any]:
        """Return workers, threads, batch size and delay."""
        return asdict(self.tuning)

    def _build(self) -> Path:
        """Build the archive, once, and return its model store."""
        store = self.folder / "store"
        if (store / f"{_NAME}.mar").exists():
            return store
        store.mkdir(parents=True)
        model, state = self.folder / "model.py", self.folder / "weights.pth"
        model.write_text(_MODEL, encoding="utf-8")
        # With torchvision's present names: the published file has old ones.
        torch.save(load_network(self.setting.weights).state_dict(), state)
        command = [str(_beside_python("torch-model-archiver")), f"--model-name={_NAME}"]
        command += ["--version=1.0", "--handler=image_classifier", f"--model-file={model}"]
        command += [f"--serialized-file={state}", f"--extra-files={LABELS}"]
        command += [f"--export-path={store}"]
        if (configuration := self.tuning.yaml()) is not None:
            path = self.folder / "model-config.yaml"
            path.write_text(configuration, encoding="utf-8")
            command.append(f"--config-file={path}")
        environment = own_environment({"TMPDIR": str(self.folder)})
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            message = f"{self.name}: no archive: {result.stderr.strip()}"
            raise CommandError(message)
        return store


class Best(Stock):
    """The winner of the sweep, or another tuning that is to be tried."""

    name = "torchserve-best"

    def __init__(self, setting: Setting, tuning: Tuning = BEST) -> None:
        super().__init__(setting)
        self.tuning = tuning


def _beside_python(command: str) -> Path:
    return Path(sys.executable).with_name(command)

"""What a row of the table is: a server that is started, asked, loaded and stopped."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from archive_builder.command import CommandError
from benchmarks.photographs import Bodies, Photographs
from benchmarks.processes import Memory, memory, post

WORKERS, REST = "workers", "rest"


@dataclass(frozen=True)
class Setting:
    """What all rows have in common: temporary folder, weights, photographs, cores.

    `network` is the OpenVINO model of our archive, `int8_store` a model store with the int8
    archive, None where there is none.
    """

    folder: Path
    weights: Path
    photographs: Photographs
    cores: int
    model_store: Path
    network: Path
    int8_store: Path | None = None
    int8_network: Path | None = None


@dataclass(frozen=True)
class Started:
    """Seconds from the program's start to its first good answer, and of a worker to READY.

    `ready_s` is known for TorchServe only, whose management API tells it.
    """

    answer_s: float
    ready_s: float | None = None


class Row(ABC):
    """One server; `url` takes `bodies` as they are."""

    name: str
    url: str

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.folder = setting.folder / self.name

    @property
    def bodies(self) -> Bodies:
        """What is posted to it: the photographs' bytes unless a row says otherwise."""
        return self.setting.photographs.raw

    @abstractmethod
    def start(self) -> Started:
        """Start the server and wait for its first good answer."""

    @abstractmethod
    def stop(self) -> None:
        """End the server, also one that is half started or never was."""

    @abstractmethod
    def processes(self) -> Mapping[str, list[psutil.Process]]:
        """Return its processes by kind."""

    @abstractmethod
    def read_answer(self, answer: Any) -> str:  # noqa: ANN401 - whatever JSON holds
        """Return the name of the top-1 class that a JSON answer gives."""

    def settings(self) -> dict[str, Any]:
        """Return what a reader of the results must know to repeat the row."""
        return {}

    def ask(self, body: bytes) -> str:
        """Return the name of the class that the server gives for one of `bodies`."""
        return self.answer_to(body, self.bodies.content_type)

    def answer_to(self, body: bytes, content_type: str) -> str:
        """Post a body and return the name of the class; `CommandError` for a bad status."""
        response = post(self.url, body, content_type)
        if not response.ok:
            message = f"{self.name} answered {response.status_code}: {response.text.strip()[:300]}"
            raise CommandError(message)
        return self.read_answer(response.json())

    def memory(self) -> Memory:
        """Return the memory of its processes by kind."""
        return memory(self.processes())

    @contextmanager
    def running(self) -> Iterator[Started]:
        """Start it for the time of a block; nothing is left running, whatever happens."""
        try:
            yield self.start()
        finally:
            self.stop()

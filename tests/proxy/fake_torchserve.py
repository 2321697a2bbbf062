"""A fake of a TorchServe of this machine: its folder says that it runs, and its APIs answer.

Real ones (test_two_hosts.py) take minutes and cannot be told what to answer.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server_control.configuration import Configuration
from server_control.ports import write_configuration
from server_control.runtime import Runtime
from tests.unit.local_http import Answer, Request, Server, serving

_MODEL = {
    "modelName": "densenet121",
    "modelVersion": "1.0",
    "modelUrl": "densenet121.mar",
    "minWorkers": 1,
    "workers": [{"id": "9000", "pid": 1, "status": "READY", "startTime": "", "gpu": False}],
    "batchSize": 2,
}
_DESCRIPTIONS = {"/models/densenet121", "/models/densenet121/all"}


@dataclass(frozen=True)
class FakeTorchServe:
    """`table` is what the proxy's file says of it."""

    table: str
    server: Server

    @property
    def predictions(self) -> list[Request]:
        return [each for each in self.server.requests if each.path not in _DESCRIPTIONS]


@contextmanager
def fake_torchserve(
    folder: Path,
    name: str,
    answer: Callable[[Request], Answer],
    queue: int = 256,
    *,
    dies: bool = False,
) -> Iterator[FakeTorchServe]:
    """Run one that is ready and says that `queue` requests may wait.

    After the block nothing is left of one, and of one that `dies` its folder's words.
    """
    model = {**_MODEL, "jobQueueStatus": {"pendingRequests": 0, "remainingCapacity": queue}}

    def respond(request: Request) -> Answer:
        if request.path in _DESCRIPTIONS:
            return Answer(json.dumps([model]).encode())
        return answer(request)

    path = folder / name / "config.properties"
    with serving(respond) as server:
        addresses = {f"{kind}_address": server.url for kind in ("inference", "management")}
        write_configuration(path, **addresses, disable_token_authorization="true")
        runtime = Runtime(path)
        with runtime.locked():
            runtime.write_configuration(Configuration.read(path))
            runtime.write_note({}, {})
            runtime.started.touch()
        try:
            yield FakeTorchServe(f'name = "{name}"\nconfiguration = "{path}"', server)
        finally:
            if not dies:
                clear(folder, name)


def clear(folder: Path, name: str) -> None:
    """Remove what the fake of that name has left."""
    runtime = Runtime(folder / name / "config.properties")
    runtime.clean()
    shutil.rmtree(runtime.folder, ignore_errors=True)

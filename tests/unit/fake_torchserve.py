"""What TorchServe answers about its model and its keys, for the web server of one test.

`FakeTorchServe` is an `answer` of `local_http.serving`. It describes `versions`, the default one
first, renews the tokens in the key file of `runtime`, and answers predictions as the handler does
to a request without an image, with each of `predictions` before that.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from server_control.configuration import Configuration
from server_control.runtime import Runtime
from tests.unit.local_http import Answer, Request

PAST, FUTURE = "2000-01-01T00:00:00.123456789Z", "2999-01-01T00:00:00Z"
OF_THE_HANDLER = Answer(b"{}", status=400, headers={"X-Model-Weights": "demo"})
NO_KEY = Answer(b'{"type": "InvalidKeyException"}', status=400)
QUEUE_FULL = Answer(b'{"type": "ServiceUnavailableException"}', status=503)


def configuration(url: str, **values: str) -> Configuration:
    """Return that of a server with all APIs at `url` and no tokens."""
    return Configuration(
        Path("c"),
        {
            "load_models": "m.mar",
            "inference_address": url,
            "management_address": url,
            "disable_token_authorization": "true",
            **values,
        },
    )


def version(*states: str, number: str = "1.0", wanted: int | None = None) -> dict[str, Any]:
    """Return what TorchServe 0.12 tells about a version whose workers have these states."""
    workers = [
        {
            "id": str(9000 + index),
            "startTime": "2026-01-01T00:00:00.000Z",
            "status": state,
            "memoryUsage": 0,
            "pid": 4_194_304 + index,  # above every process's
            "gpu": False,
            "gpuUsage": "N/A",
        }
        for index, state in enumerate(states)
    ]
    return {
        "modelName": "m",
        "modelVersion": number,
        "modelUrl": "m.mar",
        "minWorkers": len(states) if wanted is None else wanted,
        "maxWorkers": len(states) if wanted is None else wanted,
        "workers": workers,
        "batchSize": 8,
        "jobQueueStatus": {"remainingCapacity": 97, "pendingRequests": 3},
    }


def write_keys(runtime: Runtime, expires: str = FUTURE, **tokens: str) -> None:
    """Write a key file with these tokens, each by the name of what it is for."""
    keys = {"inference": "i-0", "management": "m-0", **tokens}
    document: dict[str, Any] = {
        kind: {"key": key, "expiration time": expires} for kind, key in keys.items()
    }
    runtime.key_file.write_text(json.dumps({**document, "API": {"key": "a-0"}}))


@dataclass
class FakeTorchServe:
    runtime: Runtime
    versions: list[dict[str, Any]] = field(default_factory=lambda: [version("READY")])
    predictions: list[Answer] = field(default_factory=list)
    renewals: int = 0
    lock: Lock = field(default_factory=Lock)

    def __call__(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        with self.lock:
            if parts.path == "/token":
                return self._renew(parse_qs(parts.query)["type"][0])
            if parts.path.startswith("/predictions/"):
                return self.predictions.pop(0) if self.predictions else OF_THE_HANDLER
        described = {"/models/m": self.versions[:1], "/models/m/all": self.versions}
        if request.method == "GET" and parts.path in described:
            return Answer(json.dumps(described[parts.path]).encode())
        return Answer(b'{"status": "done"}')

    def _renew(self, kind: str) -> Answer:
        self.renewals += 1
        keys = json.loads(self.runtime.key_file.read_text())
        keys[kind] = {"key": f"{kind[0]}-{self.renewals}", "expiration time": FUTURE}
        self.runtime.key_file.write_text(json.dumps(keys))
        return Answer(b"{}")

"""The management API of a running TorchServe: which workers there are, and how many there be.

Every function takes the configuration that the server runs from and raises `CommandError` where
the API does not answer or refuses.
"""

from dataclasses import dataclass
from typing import Any, BinaryIO

import requests

from archive_builder.command import CommandError
from server_control.configuration import Configuration
from server_control.keys import token
from server_control.own_http import TIMEOUT_S, request
from server_control.runtime import Runtime

READY = "READY"


@dataclass(frozen=True)
class Worker:
    """One worker: `status` is READY once it has loaded the model; `started` is ISO 8601."""

    id: str
    pid: int
    status: str
    started: str
    gpu: str


@dataclass(frozen=True)
class Model:
    """One version of the model, its workers and its queue."""

    name: str
    version: str
    archive: str
    is_default: bool
    wanted: int
    workers: tuple[Worker, ...]
    pending: int
    capacity: int
    batch_size: int

    @property
    def ready(self) -> int:
        """How many workers can answer."""
        return sum(worker.status == READY for worker in self.workers)

    @property
    def most_waiting(self) -> int:
        """How many requests it can be handed at once without refusing one."""
        return max(self.capacity, self.wanted * self.batch_size)


def call(
    configuration: Configuration,
    runtime: Runtime,
    method: str,
    url: str,
    *,
    key: str,
    timeout_s: float = TIMEOUT_S,
    files: dict[str, BinaryIO] | None = None,
) -> requests.Response:
    """Send a request to our own server, with its own token where it asks for tokens.

    `key` says which, `inference` or `management`. Raises `requests.RequestException` too.
    """
    return request(
        method,
        url,
        certificate=runtime.certificate(configuration),
        token=token(configuration, runtime, key),
        timeout_s=timeout_s,
        files=files,
    )


def ask(
    configuration: Configuration,
    runtime: Runtime,
    method: str,
    path: str,
    timeout_s: float = TIMEOUT_S,
) -> Any:  # noqa: ANN401 - JSON
    """Return what the management API answers to `path`."""
    url = configuration.management_url + path
    try:
        response = call(configuration, runtime, method, url, key="management", timeout_s=timeout_s)
    except requests.RequestException as error:
        message = f"no answer of the management API at {url}: {error}"
        raise CommandError(message) from error
    if not response.ok:
        message = f"{method} {url} answered {response.status_code}: {response.text.strip()}"
        raise CommandError(message)
    try:
        return response.json()
    except requests.RequestException as error:
        message = f"{method} {url} answered no JSON: is that TorchServe?"
        raise CommandError(message) from error


def describe(configuration: Configuration, runtime: Runtime) -> list[Model]:
    """Return every version that is served, the default one first."""
    path = f"/models/{configuration.model_name}"
    try:
        versions = ask(configuration, runtime, "GET", f"{path}/all")
        # The only one is the default; the proxy asks this twice a second.
        (default,) = versions if len(versions) == 1 else ask(configuration, runtime, "GET", path)
        models = [_model(each, default["modelVersion"]) for each in versions]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{configuration.management_url}{path} describes no model: is that TorchServe?"
        raise CommandError(message) from error
    return sorted(models, key=lambda model: not model.is_default)


def scale(
    configuration: Configuration, runtime: Runtime, model: Model, workers: int, timeout_s: float
) -> None:
    """Set the number of workers of a version and wait until TorchServe has done so."""
    # Both: TorchServe takes a missing one for 1.
    query = f"min_worker={workers}&max_worker={workers}&synchronous=true&timeout=-1"
    path = f"/models/{model.name}/{model.version}?{query}"
    ask(configuration, runtime, "PUT", path, timeout_s)


def _model(answer: dict[str, Any], default: str) -> Model:
    queue = answer["jobQueueStatus"]
    return Model(
        answer["modelName"],
        answer["modelVersion"],
        answer["modelUrl"],
        answer["modelVersion"] == default,
        answer["minWorkers"],
        tuple(_worker(worker) for worker in answer["workers"]),
        queue["pendingRequests"],
        queue["remainingCapacity"] + queue["pendingRequests"],
        answer["batchSize"],
    )


def _worker(answer: dict[str, Any]) -> Worker:
    return Worker(
        answer["id"],
        answer["pid"],
        answer["status"],
        answer["startTime"],
        answer["gpuUsage"] if answer["gpu"] else "",
    )

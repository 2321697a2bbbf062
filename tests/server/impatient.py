"""A server whose workers are ended after three seconds with one batch, instead of twenty-five."""

import shutil
from pathlib import Path

import psutil
import yaml

from server_control.readiness import readiness
from server_control.runtime import processes
from tests.server.harness import DEMO_WEIGHTS, Server, rewrite

RESPONSE_TIMEOUT_S = 3


def impatient_server(folder: Path, demo_store: Path, **settings: str) -> Server:
    """Return one that is not yet started; its archive, in `folder`, is served as it is."""
    store = folder / "model_store"
    shutil.copytree(demo_store, store)
    server = Server(folder, store, environment=DEMO_WEIGHTS)
    rewrite(store / "densenet121.mar", "model-config.yaml", _impatient)
    server.write_configuration(load_models="densenet121=densenet121.mar", **settings)
    return server


def _impatient(configuration: bytes) -> bytes:
    settings = yaml.safe_load(configuration)
    return yaml.safe_dump(settings | {"responseTimeout": RESPONSE_TIMEOUT_S}).encode()


def workers(server: Server) -> list[psutil.Process]:
    return [each for each in processes(server.note()) if "--sock-name" in each.cmdline()]


def all_ready(server: Server) -> bool:
    """Tell whether each of the two workers has loaded the model."""
    reason = readiness(server.configuration, server.runtime).reason
    return len(workers(server)) == 2 and reason.startswith("2 of 2 workers")

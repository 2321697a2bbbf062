"""A configuration of the project on ports that are free: for servers beside the one of the user."""

import random
import re
import socket
from itertools import islice
from pathlib import Path

from archive_builder import ROOT
from server_control.configuration import Configuration

LOCAL = ROOT / "config.properties"
PRODUCTION = ROOT / "deploy" / "config.properties"
_ADDRESSES = ("inference_address", "management_address", "metrics_address")
_PORTS = ("grpc_inference_port", "grpc_management_port")
# Below those that Linux (from 32768) and macOS (from 49152) give to outgoing connections: one of
# these could take a port between our look and the server's start.
_CANDIDATES = range(10_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Return as many ports of the loopback interface that nothing listens on, all different."""
    candidates = random.SystemRandom().sample(_CANDIDATES, len(_CANDIDATES))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_configuration(path: Path, origin: Path = LOCAL, /, **changes: str) -> None:
    """Write the configuration `origin` to `path` with free ports and other `changes`."""
    values = {**Configuration.read(origin).values}
    ports = iter(free_ports(len(_ADDRESSES) + len(_PORTS)))
    for key in _ADDRESSES:
        values[key] = re.sub(r"\d+$", str(next(ports)), values[key])
    for key in _PORTS:
        values[key] = str(next(ports))
    path.parent.mkdir(parents=True, exist_ok=True)
    configuration = Configuration(path, {**values, **changes})
    path.write_text(configuration.text(), encoding="utf-8")

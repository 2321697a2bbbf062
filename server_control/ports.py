"""A configuration of the project on ports that are free: for servers beside the one of the user."""

import re
import socket
from contextlib import ExitStack
from pathlib import Path

from archive_builder import ROOT
from server_control.configuration import Configuration

LOCAL = ROOT / "config.properties"
PRODUCTION = ROOT / "deploy" / "config.properties"
_ADDRESSES = ("inference_address", "management_address", "metrics_address")
_PORTS = ("grpc_inference_port", "grpc_management_port")


def free_ports(count: int) -> list[int]:
    """Return as many ports of the loopback interface that nothing listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


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

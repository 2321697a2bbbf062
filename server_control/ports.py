"""The project's configuration on ports that are free: for servers beside the one of the user."""

import socket
from contextlib import ExitStack
from pathlib import Path

from server_control.configuration import Configuration


def free_ports(count: int) -> list[int]:
    """Return as many ports of the loopback interface that nothing listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_configuration(path: Path, **changes: str) -> None:
    """Write the project's configuration to `path` with free ports and other `changes`."""
    inference, management, metrics, grpc, grpc_management = free_ports(5)
    values = {
        **Configuration.load({}).values,
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": str(grpc),
        "grpc_management_port": str(grpc_management),
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Configuration(path, values).text(), encoding="utf-8")

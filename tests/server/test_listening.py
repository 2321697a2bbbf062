"""What a server of config.properties has open: five ports of the loopback, a socket a worker.

The same of deploy/config.properties: test_secrets.py; of the proxy: tests/proxy/test_listening.py.
"""

import socket
import sys
from pathlib import Path

import psutil
import requests

from archive_builder import SAMPLES
from server_control.configuration import Configuration
from server_control.ports import LOCAL, PRODUCTION
from server_control.runtime import java_process, processes
from tests.server.harness import Server
from tests.sockets import open_to_others, whole_tree

TIMEOUT_S = 60
# As README.md and docs/THREAT_MODEL.md name them.
PORTS = {8080, 8081, 8082, 7070, 7071}


def test_each_configuration_names_five_ports_of_the_loopback() -> None:
    for file in (LOCAL, PRODUCTION):
        found = set(Configuration.read(file).listeners().values())
        assert found == {("127.0.0.1", port) for port in PORTS}


def test_nothing_else_listens_while_it_answers(demo_server: Server) -> None:
    body = (SAMPLES / "umbrella.png").read_bytes()
    assert requests.post(demo_server.url, data=body, timeout=TIMEOUT_S).ok
    found = open_to_others(processes(demo_server.note()))
    assert found.tcp == set(demo_server.configuration.listeners().values())
    assert {host for host, _ in found.tcp} == {"127.0.0.1"}
    assert found.udp == set()
    assert found.outgoing == set()


def test_workers_are_reached_by_sockets_of_a_private_folder(demo_server: Server) -> None:
    note = demo_server.note()
    found = {Path(name) for name in open_to_others(processes(note)).unix}
    assert {path.parent for path in found} == {Path(note.temp)}
    assert len(found) == len(demo_server.workers())
    assert all(path.name.startswith(".ts.sock.") for path in found)
    assert Path(note.temp).stat().st_mode & 0o777 == 0o700


def test_java_and_the_workers_are_all_there_is(demo_server: Server) -> None:
    # Nothing that would listen later: no metrics collector, no shell, no debugger.
    java = java_process(demo_server.note())
    assert java is not None
    assert whole_tree([java]) == {java, *demo_server.workers()}
    assert not [each for each in java.cmdline() if "jmx" in each or "jdwp" in each]


def test_what_is_opened_beside_it_would_be_seen() -> None:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        with socket.create_connection(("127.0.0.1", tcp.getsockname()[1])) as client:
            found = open_to_others([psutil.Process()])
            assert tcp.getsockname() in found.tcp
            assert udp.getsockname() in found.udp
            assert client.getpeername() not in found.outgoing  # our own
    assert sys.platform == "linux"

import socket
from pathlib import Path

import pytest

from server_control import ports
from server_control.ports import free_ports

# Linux's own word on what it gives to outgoing connections; other systems have no such file.
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_differ_and_are_none_that_an_outgoing_connection_gets() -> None:
    found = free_ports(50)
    assert len(set(found)) == 50
    assert found != free_ports(50)
    if OUTGOING.exists():
        assert max(found) < int(OUTGOING.read_text().split()[0])


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        (taken, free) = free_ports(2)
        held.bind(("127.0.0.1", taken))
        monkeypatch.setattr(ports, "_CANDIDATES", [taken, free])
        assert free_ports(1) == [free]

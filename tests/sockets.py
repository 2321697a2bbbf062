"""What a server's processes have open: whatever others can connect or send to."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Open:
    """`tcp` and `udp` are host and port, `unix` the paths of sockets with a name.

    `outgoing` are addresses that the processes have connected to, but for their own.
    """

    tcp: frozenset[tuple[str, int]]
    udp: frozenset[tuple[str, int]]
    unix: frozenset[str]
    outgoing: frozenset[tuple[str, int]]


def whole_tree(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Return the processes and everything that they have started."""
    return {
        each
        for process in processes
        for each in (process, *process.children(recursive=True))
        if each.is_running()
    }


def open_to_others(processes: Iterable[psutil.Process]) -> Open:
    """Return what the processes, and those that they have started, have open."""
    tree = whole_tree(processes)
    internet = [each for process in tree for each in process.net_connections("inet")]
    tcp = {
        _address(each.laddr)
        for each in internet
        if each.type == socket.SOCK_STREAM and each.status == psutil.CONN_LISTEN
    }
    connected = {
        _address(each.raddr) for each in internet if each.raddr and _address(each.laddr) not in tcp
    }
    return Open(
        tcp=frozenset(tcp),
        udp=frozenset(_address(each.laddr) for each in internet if each.type == socket.SOCK_DGRAM),
        unix=frozenset(
            str(each.laddr)
            for process in tree
            for each in process.net_connections("unix")
            if each.laddr
        ),
        outgoing=frozenset(connected - tcp),
    )


def _address(address: object) -> tuple[str, int]:
    ip, port = address.ip, address.port  # type: ignore[attr-defined]
    return ip.removeprefix("::ffff:"), port  # Java listens on IPv4 by way of IPv6

"""Until when requests may be answered by an earlier configuration of one nginx."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reverse_proxy.folders import Folders, masters
from reverse_proxy.generation import answered_by
from reverse_proxy.nginx import Nginx
from tests.proxy.harness import TIMEOUT_S, wait_for

WORKERS = 1


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(root=tmp_path, private=tmp_path, sockets=tmp_path, logs=tmp_path, user="")


@pytest.fixture
def nginx(folders: Folders) -> Iterator[Nginx]:
    """Return an nginx that answers by its first configuration."""
    nginx = Nginx("one", folders)
    try:
        nginx.apply(configuration(folders, "first"), "first")
        yield nginx
    finally:
        nginx.quit(TIMEOUT_S)
    assert masters(folders.root) == []


def configuration(folders: Folders, generation: str) -> str:
    temporary = "".join(
        f"{name}_temp_path {folders.private}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; worker_processes {WORKERS}; pid {folders.private}/pid;"
        f"error_log {folders.logs}/error.log; events {{}}"
        f"http {{ access_log off; {temporary}"
        f"server {{ listen unix:{folders.sockets}/one.sock; return 200 {generation}; }} }}"
    )


@contextmanager
def request_under_way(folders: Folders) -> Iterator[None]:
    """Have a worker of nginx that cannot end before its request does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(folders.sockets / "one.sock"))
        client.sendall(b"GET / HTTP/1.1\r\n")
        # Its worker takes connections in their order, so it has ours when it answers a later one.
        assert answered_by(folders.sockets / "one.sock")
        yield


def test_without_requests_none_is_left(nginx: Nginx, folders: Folders) -> None:
    assert not nginx.has_earlier_workers(WORKERS)
    nginx.apply(configuration(folders, "second"), "second")
    wait_for(lambda: not nginx.has_earlier_workers(WORKERS), "the earlier worker has ended")


def test_a_request_under_way_is_one_of_the_earlier_configuration(
    nginx: Nginx, folders: Folders
) -> None:
    with request_under_way(folders):
        nginx.apply(configuration(folders, "second"), "second")
        assert nginx.has_earlier_workers(WORKERS)
    wait_for(lambda: not nginx.has_earlier_workers(WORKERS), "the earlier worker has ended")


def test_a_worker_that_we_never_saw_begin_is_waited_for(nginx: Nginx, folders: Folders) -> None:
    with request_under_way(folders):
        # Told without `apply`: as a worker that nginx began between our look and its reload.
        (folders.private / "one.conf").write_text(configuration(folders, "second"))
        (master,) = masters(folders.root)
        master.send_signal(signal.SIGHUP)
        wait_for(lambda: len(master.children()) == WORKERS + 1, "it has its new worker")
        assert nginx.has_earlier_workers(WORKERS)
    wait_for(lambda: not nginx.has_earlier_workers(WORKERS), "the worker has ended")

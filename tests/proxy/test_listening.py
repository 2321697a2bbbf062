"""What the proxy has open: the addresses of its file, and sockets in a private folder."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.proxy.harness import Proxy, answering, remote, running
from tests.sockets import open_to_others
from tests.unit.local_http import Answer, serving


def test_it_listens_where_its_file_says_and_nowhere_else(make_proxy: Callable[..., Proxy]) -> None:
    with serving(answering(lambda _: Answer(b"{}"))) as host:
        proxy = make_proxy(remote("one", host.url))
        with running(proxy):
            assert proxy.post().status_code == 200
            assert proxy.process is not None
            found = open_to_others([psutil.Process(proxy.process.pid)])
            assert found.tcp == {("127.0.0.1", proxy.port), ("127.0.0.1", proxy.plain_port)}
            assert found.udp == set()
            # Its hosts, and nobody else.
            assert {f"http://{name}:{port}" for name, port in found.outgoing} <= {host.url}
            sockets = {Path(name) for name in found.unix}
            names = {"front.sock", "balance.sock", "nobody.sock", "host-one.sock"}
            assert sockets == {proxy.root / "sockets" / name for name in names}


def test_what_holds_a_secret_is_its_accounts_alone(make_proxy: Callable[..., Proxy]) -> None:
    with serving(answering(lambda _: Answer(json.dumps({}).encode()))) as host:
        proxy = make_proxy(remote("one", host.url))
        with running(proxy):
            modes = {
                "clients": (proxy.folder / "clients", 0o600),
                "key": (proxy.folder / "server.key", 0o600),
                "configurations": (proxy.root / "private", 0o700),
            }
            for name, (path, mode) in modes.items():
                assert path.stat().st_mode & 0o777 == mode, name
            # The folder itself may be passed through by nginx's workers; the sockets' is theirs.
            others = {path.name: path.stat().st_mode & 0o007 for path in proxy.root.iterdir()}
            assert others["sockets"] == others["private"] == 0
            assert (proxy.state / "logs").stat().st_mode & 0o007 == 0

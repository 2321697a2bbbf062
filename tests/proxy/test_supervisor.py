"""A proxy in step with its hosts and files, its end, and what a dead one leaves."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest
import requests

from archive_builder import ROOT
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders, masters
from reverse_proxy.supervisor import Supervisor
from tests.proxy.harness import TIMEOUT_S, Proxy, answering, remote, running, wait_for
from tests.unit.interrupts import interrupted_in_a_condition
from tests.unit.local_http import Answer, Request, Server, serving

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def host() -> Iterator[Server]:
    def respond(request: Request) -> Answer:
        return Answer(json.dumps({"token": request.headers["Authorization"]}).encode())

    with serving(answering(respond)) as server:
        yield server


def test_a_client_is_added_and_removed_without_a_restart(
    make_proxy: MakeProxy, host: Server
) -> None:
    proxy = make_proxy(remote("one", host.url))
    with running(proxy):
        header = {"Authorization": f"Bearer {proxy.add_client('second')}"}
        wait_for(lambda: proxy.post(headers=header).status_code == 200, "the client is known")
        clients = proxy.folder / "clients"
        kept = [line for line in clients.read_text().splitlines() if "second" not in line]
        clients.write_text("\n".join(kept))
        wait_for(lambda: proxy.post(headers=header).status_code == 401, "the client is gone")
        assert proxy.post().status_code == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("proxy.toml", "is no TOML"),
        ("clients", "must be NAME TOKEN"),
        ("server.pem", "nginx does not take its configuration"),
    ],
)
def test_a_file_that_becomes_wrong_is_told_and_changes_nothing(
    make_proxy: MakeProxy, host: Server, name: str, words: str
) -> None:
    proxy = make_proxy(remote("one", host.url))
    certificate = (proxy.folder / "server.pem").read_bytes()
    with running(proxy):
        (proxy.folder / name).write_text("nonsense\n")
        wait_for(lambda: words in proxy.output, "the proxy complains")
        assert "going on as before" in proxy.output
        (proxy.folder / "server.pem").write_bytes(certificate)  # for us to check
        assert proxy.post().status_code == 200


def test_a_new_certificate_is_shown_to_new_connections(
    make_proxy: MakeProxy, host: Server, tmp_path: Path
) -> None:
    proxy = make_proxy(remote("one", host.url))
    command = [ROOT / "scripts" / "make-certificate", tmp_path / "new"]
    subprocess.run(command, check=True, timeout=TIMEOUT_S, capture_output=True)
    with running(proxy):
        old = (proxy.folder / "server.pem").read_bytes()
        for name in ("server.key", "server.pem"):
            (tmp_path / "new" / name).replace(proxy.folder / name)
        assert (proxy.folder / "server.pem").read_bytes() != old

        def trusted() -> bool:
            try:
                return proxy.post().status_code == 200
            except requests.exceptions.SSLError:
                return False

        wait_for(trusted, "the new certificate is shown")


def test_a_hosts_new_token_is_taken(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url, 'token_file = "one.token"'))
    token = proxy.folder / "one.token"
    token.write_text("first")
    with running(proxy):
        assert proxy.post().json() == {"token": "Bearer first"}
        token.write_text("second")
        wait_for(lambda: proxy.post().json() == {"token": "Bearer second"}, "the token is taken")


def test_a_host_is_added_to_the_file(make_proxy: MakeProxy, host: Server) -> None:
    with serving(answering(lambda _: Answer(reset=True))) as gone:
        proxy = make_proxy(remote("one", gone.url))
        with running(proxy):
            assert proxy.post().status_code == 503
            proxy.write([remote("one", gone.url), remote("two", host.url)])
            wait_for(lambda: proxy.post().status_code == 200, "the new host answers")
            proxy.write([remote("two", host.url)])
            wait_for(
                lambda: "Listening" in proxy.output and _names(proxy) == {"host-two"}, "one is gone"
            )


def _names(proxy: Proxy) -> set[str]:
    return {path.stem for path in (proxy.root / "sockets").glob("host-*")}


def test_clients_keep_their_connections_when_hosts_change(
    make_proxy: MakeProxy, host: Server
) -> None:
    proxy = make_proxy(remote("one", host.url, 'token_file = "one.token"'))
    token = proxy.folder / "one.token"
    token.write_text("token-0")
    with running(proxy), requests.Session() as session:
        session.trust_env, session.verify = False, str(proxy.folder / "server.pem")
        url, headers = f"{proxy.url}/predictions/densenet121", proxy.authorization
        before = session.post(url, headers=headers, timeout=TIMEOUT_S, stream=True)
        port = local_port(before)
        before.content  # noqa: B018 - read, so that the connection is free
        for number in range(1, 4):
            token.write_text(f"token-{number}")
            wanted = {"token": f"Bearer token-{number}"}
            wait_for(partial(answers, proxy, wanted), "the new token is taken")
            answer = session.post(url, headers=headers, timeout=TIMEOUT_S, stream=True)
            assert local_port(answer) == port
            assert answer.json() == wanted


def answers(proxy: Proxy, wanted: dict[str, str]) -> bool:
    return bool(proxy.post().json() == wanted)


def local_port(answer: requests.Response) -> int:
    connection: Any = answer.raw.connection
    port: int = connection.sock.getsockname()[1]
    return port


def test_the_end_answers_what_has_come(make_proxy: MakeProxy) -> None:
    arrived, release = Event(), Event()

    def respond(_request: Request) -> Answer:
        arrived.set()
        release.wait(TIMEOUT_S)
        return Answer(b"{}")

    with serving(answering(respond)) as host, ThreadPoolExecutor(1) as pool:
        proxy = make_proxy(remote("one", host.url))
        proxy.start()
        pending = pool.submit(proxy.post)
        assert arrived.wait(TIMEOUT_S)
        assert proxy.process is not None
        proxy.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listening(proxy.port), "nothing new is taken")
        assert not pending.done()
        release.set()
        assert pending.result(TIMEOUT_S).status_code == 200
        assert proxy.process.wait(TIMEOUT_S) == 0
        assert not list(proxy.state.glob("proxy.json"))


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_ending_proxy_says_so_before_it_ends(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url), limits="settle_s = 3")
    with running(proxy):
        assert proxy.process is not None
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_until("draining")
        assert proxy.post().status_code == 200
        assert proxy.process.wait(TIMEOUT_S) == 0


def test_what_a_killed_proxy_has_left_is_cleared_away(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url))
    proxy.start()
    assert proxy.process is not None
    root, left = proxy.root, proxy.children()
    proxy.process.kill()
    proxy.process.wait(TIMEOUT_S)
    assert len(masters(root)) == 2
    with running(proxy):
        assert masters(root) == []
        assert not root.exists()
        psutil.wait_procs(left, timeout=TIMEOUT_S)
        assert not [process for process in left if process.is_running()]
        assert proxy.post().status_code == 200


def test_a_proxy_whose_nginx_dies_ends_and_says_so(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url))
    proxy.start()
    assert proxy.process is not None
    root = proxy.root
    masters(root)[0].kill()
    assert proxy.process.wait(TIMEOUT_S) == 1
    assert "has ended" in proxy.output
    assert masters(root) == []
    assert not root.exists()
    # Nor do the workers of the one that was killed go on by themselves.
    with pytest.raises(requests.ConnectionError):
        proxy.post()


def test_a_second_proxy_of_one_file_is_refused(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url))
    with running(proxy):
        result = proxy.script()
        assert result.returncode == 1
        assert "is running already" in result.stderr
        assert proxy.post().status_code == 200


def test_a_taken_port_is_told(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", proxy.port))
        taken.listen()
        result = proxy.script()
    assert result.returncode == 1
    assert f"127.0.0.1:{proxy.port} failed" in result.stderr
    assert not list(proxy.state.glob("proxy.json"))


def test_a_port_that_is_taken_is_told_and_taken_later(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url, 'token_file = "one.token"'))
    (proxy.folder / "one.token").write_text("first")
    with running(proxy):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            text = proxy.path.read_text().replace("listen = [", f'listen = ["127.0.0.1:{port}", ')
            proxy.path.write_text(text)
            words = "the nginx called front does not take its new configuration"
            wait_for(lambda: words in proxy.output, "it is told")
            assert "Address already in use" in proxy.errors()
            # What was in force goes on, and so do the hosts.
            assert proxy.post().json() == {"token": "Bearer first"}
            (proxy.folder / "one.token").write_text("second")
            wait_for(lambda: proxy.post().json() == {"token": "Bearer second"}, "the new token")
        wait_for(lambda: listening(port), "the address is free and taken")
        assert proxy.output.count(words) == 1


def test_a_full_disk_is_told_and_ends_nothing(make_proxy: MakeProxy, host: Server) -> None:
    limits = "max_log_bytes = 1000\nkept_logs = 1\nsettle_s = 1"
    proxy = make_proxy(remote("one", host.url, 'token_file = "one.token"'), limits=limits)
    token = proxy.folder / "one.token"
    token.write_text("first")
    with running(proxy):
        # What cannot be written, by root neither.
        trial, rotated = proxy.root / "private" / "balance.trial", proxy.state / "logs/access.log.1"
        trial.unlink()
        trial.mkdir()
        rotated.mkdir()
        token.write_text("second")
        wait_for(lambda: "balance.trial" in proxy.output, "the configuration is not written")
        for _ in range(5):
            assert proxy.post().json() == {"token": "Bearer first"}
        wait_for(lambda: "access.log.1" in proxy.output, "the log is not moved")
        trial.rmdir()
        rotated.rmdir()
        wait_for(lambda: proxy.post().json() == {"token": "Bearer second"}, "it goes on")
        wait_for(rotated.exists, "the log is moved")
        trial.unlink()
        trial.mkdir()
        # `stop` asserts that it ends in order.


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """Return one that has not been started."""
    file = tmp_path / "proxy.toml"
    file.write_text(
        'listen = ["127.0.0.1:8080"]\n[[hosts]]\nname = "one"\nconfiguration = "none"\n'
        "[limits]\npoll_s = 0.01\n"
    )
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path, "")
    return Supervisor(ProxyConfiguration.load(file), folders)


def test_an_interrupt_while_it_waits_is_nothing_else(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with interrupted_in_a_condition(monkeypatch):
        supervisor._wait()


def test_an_nginx_that_hangs_in_its_test_is_told(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    def hang() -> None:
        raise subprocess.TimeoutExpired("nginx", 1)

    for _ in range(2):
        supervisor._attempt(hang)
    assert capsys.readouterr().err.count("timed out after 1 seconds; going on as before") == 1


def favicon_is_logged(proxy: Proxy, log: Path) -> bool:
    """Ask for it and look; the log may be moved, and be absent, at any moment."""
    proxy.get("/favicon.ico")
    with suppress(FileNotFoundError):
        return "favicon" in log.read_text()
    return False


def test_logs_that_have_grown_begin_anew(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url), limits="max_log_bytes = 1000\nkept_logs = 2")
    with running(proxy):
        logs = proxy.state / "logs"
        for _ in range(60):
            assert proxy.post().status_code == 200
        wait_for((logs / "access.log.1").exists, "the log is moved")
        wait_for(lambda: favicon_is_logged(proxy, logs / "access.log"), "the new log is written")
        assert not (logs / "access.log.3").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other accounts' processes")
def test_run_by_root_the_workers_are_not_roots(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url))
    with running(proxy):
        workers = [process for process in proxy.children() if "worker" in process.cmdline()[0]]
        assert {process.username() for process in workers} == {"www-data"}
        assert len(workers) == 4
        # And they cannot read the tokens, nor put sockets of their own in place of ours.
        folders = [proxy.root / "private", proxy.root / "sockets", proxy.state / "logs"]
        assert [each.stat().st_mode & 0o777 for each in folders] == [0o700, 0o710, 0o750]
        assert {each.owner() for each in folders} == {"root"}


def test_workers_may_open_what_their_connections_need(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url), limits="max_connections = 100")
    with running(proxy):
        workers = [process for process in proxy.children() if "worker" in process.cmdline()[0]]
        limits = [Path(f"/proc/{process.pid}/limits").read_text() for process in workers]
        files = [re.findall(r"Max open files +(\d+)", each)[0] for each in limits]
        assert sorted(files) == ["456", "456", "656", "656"]
        assert "warning" not in proxy.output


def test_a_hard_limit_that_is_too_low_is_told(make_proxy: MakeProxy, host: Server) -> None:
    proxy = make_proxy(remote("one", host.url), limits="max_connections = 100")
    with running(proxy, hard_limit=500):
        assert "500 files may be open, and max_connections may need 656" in proxy.output
        assert proxy.post().status_code == 200


def test_a_certificate_that_is_gone_takes_its_host_along_and_nothing_else(
    make_proxy: MakeProxy, host: Server, certificates: Path, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes((certificates / "server.pem").read_bytes())
    secure = 'url = "https://127.0.0.1:9"\n' + f'ca_file = "{ca_file}"'
    proxy = make_proxy(remote("one", host.url), f'name = "two"\n{secure}')
    with running(proxy):
        proxy.wait_until_told("two", "down")
        ca_file.unlink()
        header = {"Authorization": f"Bearer {proxy.add_client('second')}"}
        wait_for(lambda: proxy.post(headers=header).status_code == 200, "changes are taken")
        (proxy.folder / "one.token").write_text("new")
        table = remote("one", host.url, 'token_file = "one.token"')
        proxy.write([table, f'name = "two"\n{secure}'])
        wait_for(lambda: proxy.post().json() == {"token": "Bearer new"}, "the balancer reloads")

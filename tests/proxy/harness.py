"""A real `./scripts/proxy` for tests, on free ports, with a deadline for every wait.

`Proxy.stop` asserts that nothing is left: no nginx, no private folder, no note.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from archive_builder import ROOT
from reverse_proxy.folders import masters, state_folder
from reverse_proxy.hosts import LOCAL_READY
from server_control.ports import free_ports
from tests.unit.local_http import Answer, Request

TIMEOUT_S = 60.0
READY = '{"state": "ready"}'


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"the deadline has passed: {what}"
        time.sleep(0.05)


class Proxy:
    """One proxy with a folder of its own; `hosts` are the tables [[hosts]], as TOML text."""

    def __init__(
        self,
        folder: Path,
        certificates: Path,
        hosts: Sequence[str],
        *,
        keys: str = "",
        limits: str = "",
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificates / "server.pem", folder)
        shutil.copy(certificates / "server.key", folder)
        self.port, self.plain_port = free_ports(2)
        self.path = folder / "proxy.toml"
        self._keys = keys
        self.write(hosts, limits=limits)
        self.token = self.add_client("tester")
        self.process: subprocess.Popen[str] | None = None

    def write(self, hosts: Sequence[str], *, limits: str = "") -> None:
        """Write the proxy's file; poll often, so that tests wait little."""
        tables = "".join(f"[[hosts]]\n{host}\n" for host in hosts)
        partial = self.folder / "partial.toml"
        partial.write_text(
            f'listen = ["127.0.0.1:{self.port}"]\nredirect = ["127.0.0.1:{self.plain_port}"]\n'
            'certificate = "server.pem"\ncertificate_key = "server.key"\nclients = "clients"\n'
            f"{self._keys}\n{tables}[limits]\npoll_s = 0.1\n{limits}\n"
        )
        partial.replace(self.path)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def state(self) -> Path:
        return state_folder(self.path)

    @property
    def output(self) -> str:
        file = self.folder / "output"
        return file.read_text() if file.exists() else ""

    @property
    def root(self) -> Path:
        """The private folder of the running proxy."""
        return Path(json.loads((self.state / "proxy.json").read_text())["folder"])

    def script(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [ROOT / "scripts" / "proxy", "--config", self.path, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def add_client(self, name: str) -> str:
        result = self.script("--add-client", name)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def start(self, *, until: str = "ready", hard_limit: int | None = None) -> None:
        """Start the proxy and wait until it says that it is ready, or as `until` tells.

        `hard_limit` is how many files it may open.
        """
        limited = ["prlimit", f"--nofile={hard_limit}"] if hard_limit else []
        began = self.output.count("Listening")
        with (self.folder / "output").open("a") as output:
            self.process = subprocess.Popen(
                [*limited, ROOT / "scripts" / "proxy", "--config", self.path],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
            )
        # Another proxy's nginx may answer until this one has cleared it away.
        wait_for(self._is_running_and(lambda: self.output.count("Listening") > began), "it listens")
        self.wait_until(until)

    def wait_until(self, state: str) -> None:
        wait_for(self._is_running_and(lambda: self.says() == state), f"the proxy is {state}")
        self._wait_until_settled()

    def wait_until_told(self, host: str, state: str) -> None:
        """Wait until what the proxy has told last of a host is this state."""
        wait_for(self._is_running_and(lambda: self.told(host) == state), f"{host} is {state}")
        self._wait_until_settled()

    def told(self, host: str) -> str:
        """Return the state that the proxy has told last of a host; "" for none."""
        lines = [line for line in self.output.splitlines() if line.startswith(f"{host} is ")]
        return lines[-1].split()[2].rstrip(":") if lines else ""

    def _wait_until_settled(self) -> None:
        """Wait until workers of an earlier configuration take no requests any more.

        New ones take some before nginx has told the old ones to end, on a busy machine much later.
        """
        root = self.root
        wait_for(lambda: all(map(_is_settled, masters(root))), "only the latest workers are left")

    def _is_running_and(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        def check() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output
            return condition()

        return check

    def says(self) -> str:
        """Return the state that /ready tells; "" without an answer."""
        try:
            return str(self.get("/ready").json()["state"])
        except (requests.ConnectionError, ValueError, KeyError):
            return ""

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request over TLS; `headers` have the tester's token unless given."""
        arguments.setdefault("headers", self.authorization)
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.folder / "server.pem")
            return session.request(method, f"{self.url}{path}", timeout=TIMEOUT_S, **arguments)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str = "/predictions/densenet121", **arguments: Any) -> requests.Response:
        return self.request("POST", path, **arguments)

    def access_log(self) -> list[dict[str, Any]]:
        lines = (self.state / "logs" / "access.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def errors(self) -> str:
        """Return what nginx has logged as errors."""
        logs = self.state / "logs"
        return "".join(path.read_text() for path in sorted(logs.glob("*-error.log")))

    def stop(self) -> None:
        """End the proxy as systemd would, and assert that nothing of it is left."""
        if self.process is not None and self.process.poll() is None:
            root = self.root
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(TIMEOUT_S)
            assert status == 0, self.output
            assert masters(root) == []
            assert not root.exists()
            assert {path.name for path in self.state.iterdir()} == {"lock", "logs"}
        shutil.rmtree(self.state, ignore_errors=True)

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)


def _is_settled(master: psutil.Process) -> bool:
    """Return whether an nginx has as many workers that take requests as it is to have."""
    try:
        configuration = Path(" ".join(master.cmdline()).rpartition(" -c ")[2].strip())
        wanted = re.search(r"worker_processes (\d+);", configuration.read_text())
        titles = [" ".join(each.cmdline()) for each in master.children()]
    except (psutil.NoSuchProcess, FileNotFoundError):  # an `nginx -t` that has ended
        return False
    assert wanted is not None
    taking = [each for each in titles if each and "is shutting down" not in each]
    return len(taking) == int(wanted[1])


@contextmanager
def running(
    proxy: Proxy, *, until: str = "ready", hard_limit: int | None = None
) -> Iterator[Proxy]:
    try:
        proxy.start(until=until, hard_limit=hard_limit)
        yield proxy
    finally:
        proxy.stop()


def remote(name: str, url: str, *lines: str) -> str:
    """Return the table of a remote host: for tests, a fake of another machine's proxy."""
    return "\n".join([f'name = "{name}"', f'url = "{url}"', *lines])


def answering(answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """Return a fake host that is ready, and else answers so."""

    def respond(request: Request) -> Answer:
        return Answer(READY.encode()) if request.path == LOCAL_READY else answer(request)

    return respond

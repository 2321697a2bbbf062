"""The servers under load, on free ports and in a temporary folder: TorchServe, and nginx in front.

`running` yields where to send requests; at its end nothing is left running.
"""

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from archive_builder import ROOT
from archive_builder.command import CommandError
from archive_builder.model_configuration import model_configuration
from benchmarks.ours import by_kind, run_script
from reverse_proxy.folders import state_folder
from server_control.configuration import Configuration
from server_control.ports import LOCAL, PRODUCTION, free_ports, write_configuration
from server_control.runtime import Runtime, processes

_TIMEOUT_S = 60.0
_POLL_S = 0.1
# One client here stands for many: the limits of a single one are not what is measured.
_LIMITS = """
requests_per_s = 100000
burst_requests = 100000
concurrent_requests = 20000
max_connections = 16384
"""


@dataclass
class Stack:
    """One TorchServe and, if `proxy`, its nginx. `url`, `headers` and `tls` are for clients."""

    folder: Path
    weights: str
    proxy: bool
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Any = False
    _supervisor: "subprocess.Popen[bytes] | None" = None

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        """Start everything for the time of a block."""
        try:
            self._start_torchserve()
            if self.proxy:
                self._start_proxy()
            yield self
        finally:
            self._stop_proxy()
            if self._path.exists():
                run_script("stop", changes=self._environment)
                # The logs go with the servers.
                shutil.rmtree(Runtime(self._path).folder, ignore_errors=True)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes by what they are: java, workers, nginx."""
        note = Runtime(self._path).note()
        kinds = by_kind([] if note is None else processes(note))
        found = {"Java": kinds["rest"], "workers": kinds["workers"]}
        if self._supervisor is not None:
            own = psutil.Process(self._supervisor.pid)
            found["proxy"] = [own, *own.children(recursive=True)]
        return found

    def temporary_folders(self) -> list[Path]:
        """Return the private folders of TorchServe and of the proxy."""
        note = Runtime(self._path).note()
        found = [] if note is None else [Path(note.temp)]
        if self._supervisor is not None:
            text = (state_folder(self._proxy_path) / "proxy.json").read_text(encoding="utf-8")
            found.append(Path(json.loads(text)["folder"]))
        return found

    def log_folders(self) -> list[Path]:
        """Return the folders of the logs."""
        states = [Runtime(self._path).folder]
        if self._supervisor is not None:
            states.append(state_folder(self._proxy_path))
        return [state / "logs" for state in states]

    @property
    def _path(self) -> Path:
        return self.folder / "config.properties"

    @property
    def _proxy_path(self) -> Path:
        return self.folder / "proxy.toml"

    @property
    def _environment(self) -> dict[str, str]:
        return {"TS_CONFIG_FILE": str(self._path), "DENSENET121_WEIGHTS": self.weights}

    def _start_torchserve(self) -> None:
        store = self.folder / "model_store"
        store.mkdir(parents=True)
        changes = {"model_store": str(store)}
        if self.proxy:
            run_script("make-certificate", str(self.folder), changes={})
            for key, name in (("certificate_file", "pem"), ("private_key_file", "key")):
                changes[key] = str(self.folder / f"server.{name}")
        write_configuration(self._path, PRODUCTION if self.proxy else LOCAL, **changes)
        run_script("serve", changes=self._environment)
        self.url = Configuration.load({"TS_CONFIG_FILE": str(self._path)}).inference_url

    def _start_proxy(self) -> None:
        (port,) = free_ports(1)
        self._proxy_path.write_text(
            f'listen = ["127.0.0.1:{port}"]\ncertificate = "server.pem"\n'
            f'certificate_key = "server.key"\nclients = "clients"\n'
            f'[[hosts]]\nname = "one"\nconfiguration = "{self._path}"\n[limits]\n{_LIMITS}\n'
        )
        command = [str(ROOT / "scripts" / "proxy"), "--config", str(self._proxy_path)]
        added = subprocess.run(
            [*command, "--add-client", "soak"], capture_output=True, text=True, check=True
        )
        with (self.folder / "proxy.log").open("w") as log:
            self._supervisor = subprocess.Popen(command, stdout=log, stderr=log)
        self.url = f"https://localhost:{port}"
        self.headers = {"Authorization": f"Bearer {added.stdout.strip()}"}
        self.tls = ssl.create_default_context(cafile=str(self.folder / "server.pem"))
        deadline = time.monotonic() + _TIMEOUT_S
        while not self._is_ready():
            if time.monotonic() > deadline or self._supervisor.poll() is not None:
                words = (self.folder / "proxy.log").read_text()
                message = f"the proxy did not become ready:\n{words}"
                raise CommandError(message)
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False
                certificate = str(self.folder / "server.pem")
                return session.get(f"{self.url}/ready", verify=certificate, timeout=5).ok
        except requests.ConnectionError:
            return False

    def _stop_proxy(self) -> None:
        if self._supervisor is not None:
            self._supervisor.terminate()
            self._supervisor.wait(_TIMEOUT_S)
            shutil.rmtree(state_folder(self._proxy_path), ignore_errors=True)


def most_waiting() -> int:
    """Return how many requests TorchServe takes before it refuses: its queue, and all in work."""
    model = model_configuration()
    return int(model["jobQueueSize"] + model["maxWorkers"] * model["batchSize"])

"""`serve --foreground` as a container runs it: read-only files, no rights, process number 1."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from archive_builder import ROOT, SAMPLES
from server_control.torchserve import require_free_ports
from tests.server.harness import SCRIPT_TIMEOUT_S, Server

SCRIPT = Path(__file__).with_name("read_only.sh")
# What read_only.sh leaves a process.
_AS_IN_THERE = (
    *("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    "--bounding-set=-all,+dac_read_search",
)
# Namespaces and mounts, by way of util-linux, are root's.
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root"),
    pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is missing"),
]


@dataclass
class Container:
    """A command in its namespaces, and commands beside it in the same."""

    server: Server
    writable: Path
    process: subprocess.Popen[str]

    @property
    def first(self) -> psutil.Process:
        """The process that is number 1 in there."""
        return psutil.Process(self.process.pid).children()[0]

    def run(self, *command: str, namespaces: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        """Run a command in the named namespaces of the container, as another does beside it."""
        entered = ["nsenter", f"--target={self.first.pid}", *(f"--{name}" for name in namespaces)]
        return subprocess.run(
            [*entered, *_AS_IN_THERE, *command],
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=SCRIPT_TIMEOUT_S,
            check=False,
        )

    @property
    def variables(self) -> dict[str, str]:
        place = str(self.writable)
        return self.server.variables(HOME=place, TMPDIR=place)


@contextmanager
def contained(server: Server, writable: Path, *command: str) -> Iterator[Container]:
    writable.mkdir()
    (ROOT / ".run").mkdir(exist_ok=True)
    place = {"HOME": str(writable), "TMPDIR": str(writable)}
    # --kill-child: whatever becomes of a test, nothing of it is left.
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", str(SCRIPT)]
    with (
        (server.folder / "stderr").open("w") as stderr,
        subprocess.Popen(
            [*unshare, str(ROOT), str(writable), *command],
            env=server.variables(**place),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield Container(server, writable, process)
        finally:
            process.kill()


def wait_for_answer(container: Container) -> str:
    """Return the answer that `serve` shows last, once it is there."""
    assert container.process.stdout is not None
    for line in container.process.stdout:
        if line.startswith("{"):
            return line
    container.process.wait(SCRIPT_TIMEOUT_S)
    pytest.fail((container.server.folder / "stderr").read_text())


@pytest.fixture
def packed(demo_store: Path, tmp_path: Path) -> Server:
    """Return a server, not started, whose archive is there and served as it is."""
    return Server(
        tmp_path / "server",
        demo_store,
        environment={"TS_LOAD_MODELS": "densenet121=densenet121.mar"},
        settings={"disable_token_authorization": "false"},
    )


@pytest.fixture
def temp() -> Iterator[Path]:
    """Return a folder with a short path: names of sockets have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "tmp"


def test_a_read_only_container_serves_and_ends_by_sigterm(packed: Server, temp: Path) -> None:
    serve = str(ROOT / "scripts" / "serve")
    ready = str(ROOT / "scripts" / "ready")
    metrics = packed.configuration.values["metrics_address"] + "/metrics"
    with contained(packed, temp, serve, "--foreground") as container:
        assert "umbrella" in wait_for_answer(container)
        assert container.first.uids().real == 10001
        # As a probe in the container, and from the proxy's beside it, which has other processes.
        for namespaces in (("mount", "pid"), ("mount",)):
            result = container.run(ready, namespaces=namespaces)
            assert result.returncode == 0, result.stdout + result.stderr
        # The probe of liveness needs no token.
        assert requests.get(metrics, timeout=30).ok
        token = container.run(
            str(ROOT / "scripts" / "token"), "inference", namespaces=("mount",)
        ).stdout.strip()
        answer = requests.post(
            packed.url,
            data=(SAMPLES / "maze.png").read_bytes(),
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert answer.json()["class_name"] == "maze"
        container.first.send_signal(signal.SIGTERM)
        assert container.process.wait(SCRIPT_TIMEOUT_S) == 0
    require_free_ports(packed.configuration)
    # All that was written lay in the mounts, which are gone.
    assert not list(temp.iterdir())
    assert not packed.runtime.folder.exists()


def test_stop_inside_the_container_ends_it_well(packed: Server, temp: Path) -> None:
    serve = str(ROOT / "scripts" / "serve")
    stop = [str(ROOT / "scripts" / "stop"), "--settle-s", "1", "--drain-s", "60"]
    with contained(packed, temp, serve, "--foreground") as container:
        wait_for_answer(container)
        # What preStop of Kubernetes runs; the container, and this with it, may end first.
        container.run(*stop, namespaces=("mount", "pid"))
        assert container.process.wait(SCRIPT_TIMEOUT_S) == 0
    require_free_ports(packed.configuration)


def test_demo_weights_are_refused_in_a_container(packed: Server, temp: Path) -> None:
    serve = str(ROOT / "scripts" / "serve")
    arguments = (serve, "--foreground", "--require-pretrained")
    with contained(packed, temp, *arguments) as container:
        assert container.process.wait(SCRIPT_TIMEOUT_S) == 1
    assert "holds demo weights" in (packed.folder / "stderr").read_text()

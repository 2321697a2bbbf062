"""The clock of a TorchServe and of the proxy is put forward and back while clients ask.

Java, workers, nginx and our own programs see a wrong time by a library that is compiled here.
"""

import json
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server_control.configuration import Configuration
from server_control.ports import PRODUCTION
from tests.proxy.harness import Proxy, running
from tests.proxy.load import load
from tests.server.harness import DEMO_WEIGHTS, Server

HOUR_S, DAY_S = 3600, 86_400


@dataclass(frozen=True)
class Clock:
    """The clock of everything that is started while it is in the environment."""

    file: Path

    def set(self, wrong_by_s: int) -> None:
        with self.file.open("r+b") as file:
            file.write(struct.pack("q", wrong_by_s))


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler, cc, is missing")
    source, library = Path(__file__).with_name("wrong_clock.c"), tmp_path / "wrong_clock.so"
    options = ["-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *options, "-o", library, source], check=True, timeout=60)
    clock = Clock(tmp_path / "clock")
    clock.file.write_bytes(bytes(8))
    monkeypatch.setenv("WRONG_CLOCK", str(clock.file))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return clock


@pytest.fixture
def real(clock: Clock, demo_store: Path, tmp_path: Path) -> Iterator[Server]:
    """Return a server whose tokens live as long as in production."""
    clock.set(0)
    shutil.copytree(demo_store, tmp_path / "store")
    minutes = Configuration.read(PRODUCTION).values["token_expiration_min"]
    settings = {"disable_token_authorization": "false", "token_expiration_min": minutes}
    server = Server(
        tmp_path / "real", tmp_path / "store", environment=dict(DEMO_WEIGHTS), settings=settings
    )
    try:
        server.serve()
        yield server
    finally:
        server.stop()


def test_a_clock_that_jumps_loses_no_request(
    real: Server, certificates: Path, clock: Clock, tmp_path: Path
) -> None:
    table = f'name = "real"\nconfiguration = "{real.path}"'
    keys = real.runtime.key_file.read_text()
    requests_log = real.runtime.logs / "requests.log"
    with running(Proxy(tmp_path / "proxy", certificates, [table])) as proxy, load(proxy) as clients:
        for wrong_by_s in (HOUR_S, 25 * HOUR_S, -DAY_S, 6 * DAY_S, 0):
            clock.set(wrong_by_s)
            time.sleep(0.5)  # the proxy has looked at the host some times
            clients.goes_on()
            assert _wrong_by_s(requests_log) == pytest.approx(wrong_by_s, abs=60)
        assert "real is starting" not in proxy.output
    assert real.runtime.key_file.read_text() == keys


def _wrong_by_s(log: Path) -> float:
    """Return by how much the last line of a log of JSON lines is of another time than now."""
    told = json.loads(log.read_text().splitlines()[-1])["time"]
    return (datetime.fromisoformat(told) - datetime.now(UTC)).total_seconds()

"""The clock of a TorchServe and of the proxy is put forward and back while clients ask.

Java, workers, nginx and our own programs see a wrong time by a library that is compiled here.
"""

import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server_control.configuration import Configuration
from server_control.keys import read
from server_control.ports import PRODUCTION
from tests.proxy.harness import Proxy, running, wait_for
from tests.proxy.load import UMBRELLA, load
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
    assert clock.file.exists()
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
    with running(Proxy(tmp_path / "proxy", certificates, [table])) as proxy:
        with load(proxy) as clients:
            for wrong_by_s in (HOUR_S, 25 * HOUR_S, -DAY_S, 6 * DAY_S, 0):
                clock.set(wrong_by_s)
                time.sleep(0.5)  # the proxy has looked at the host some times
                clients.goes_on()
            assert "real is starting" not in proxy.output
            assert real.runtime.key_file.read_text() == keys
        # Beyond its end: Java makes the new one, and says until when by its own clock.
        clock.set(15 * DAY_S)
        wait_for(lambda: "its token has ended" in proxy.output, "the host is passed over")
        wait_for(lambda: real.runtime.key_file.read_text() not in {"", keys}, "there is a new one")
        wait_for(lambda: proxy.says() == "ready", "the host is back")
        assert proxy.post(data=UMBRELLA).status_code == 200
        ends = read(real.runtime, "inference").expires
        assert ends - datetime.now(UTC) > timedelta(days=28)

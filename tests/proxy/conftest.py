"""A certificate for all tests of the proxy; all are skipped where there is no nginx."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive_builder import ROOT
from archive_builder.command import CommandError
from reverse_proxy.nginx import find_nginx
from tests.proxy.harness import Proxy


@pytest.fixture(scope="session", autouse=True)
def _nginx() -> None:
    try:
        find_nginx()
    except CommandError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    folder = tmp_path_factory.mktemp("certificates")
    command = [ROOT / "scripts" / "make-certificate", folder]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return folder


@pytest.fixture
def make_proxy(tmp_path: Path, certificates: Path) -> Iterator[Callable[..., Proxy]]:
    """Return a way to make proxies that end with the test."""
    made: list[Proxy] = []

    def make(*hosts: str, keys: str = "", limits: str = "") -> Proxy:
        folder = tmp_path / f"proxy-{len(made)}"
        made.append(Proxy(folder, certificates, hosts, keys=keys, limits=limits))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()

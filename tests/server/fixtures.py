"""Servers that several tiers share: one with demo weights, one with real ones."""

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reliability.fuzzing.structures import png
from tests.server.harness import Server, rewrite


@pytest.fixture(scope="session")
def demo_server(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server with demo weights."""
    server = Server(
        tmp_path_factory.mktemp("demo-server"),
        demo_store,
        environment={"DENSENET121_WEIGHTS": "demo"},
    )
    yield from _running(server)


@pytest.fixture(scope="session")
def real_server(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server with the real weights of `TEST_ASSETS`, or skip."""
    folder = tmp_path_factory.mktemp("real-server")
    (folder / "model_store").mkdir()
    weights = assets / "weights" / "densenet121-imagenet1k.pth"
    server = Server(
        folder, folder / "model_store", environment={"DENSENET121_WEIGHTS": str(weights)}
    )
    yield from _running(server)


@pytest.fixture
def server(demo_store: Path, tmp_path: Path) -> Iterator[Server]:
    """Return a server with demo weights that is not yet started."""
    server = Server(tmp_path / "server", demo_store, environment={"DENSENET121_WEIGHTS": "demo"})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def batching_server(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with demo weights whose one worker waits long for company."""
    folder = tmp_path_factory.mktemp("batching-server")
    shutil.copytree(demo_store, folder / "model_store", ignore=shutil.ignore_patterns("*.mar"))
    yield from _batching(_as_it_is(folder, folder / "model_store"), "demo")


@pytest.fixture(scope="session")
def real_batching_server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return the same with the real weights of `TEST_ASSETS`, or skip."""
    folder = tmp_path_factory.mktemp("real-batching-server")
    weights = assets / "weights" / "densenet121-imagenet1k.pth"
    yield from _batching(_as_it_is(folder, folder / "model_store"), str(weights))


def _as_it_is(folder: Path, store: Path) -> Server:
    """Return a server that does not build its archive anew, which `_batching` changes."""
    return Server(folder, store, "batching", settings={"load_models": "batching=batching.mar"})


def _batching(server: Server, weights: str) -> Iterator[Server]:
    built = server.script(
        "build-archive",
        f"--model-name={server.model_name}",
        f"--model-store={server.model_store}",
        DENSENET121_WEIGHTS=weights,
    )
    assert built.returncode == 0, built.stderr
    rewrite(server.model_store / "batching.mar", "model-config.yaml", _wait_for_company)
    yield from _running(server)


def _wait_for_company(configuration: bytes) -> bytes:
    settings = yaml.safe_load(configuration)
    settings |= {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 300}
    return yaml.safe_dump(settings).encode()


@pytest.fixture(scope="session", params=["demo", "real"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Return each of the two in turn: they answer the same to the project's pictures."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server


def _running(server: Server) -> Iterator[Server]:
    try:
        server.serve()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def huge_png() -> bytes:
    """Return a PNG whose header promises 12000 x 12000 pixels, and almost nothing behind it."""
    return png(12000, 12000, (b"IDAT", zlib.compress(bytes(1000))))

"""Servers that several tiers share: one with demo weights, one with real ones."""

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from archive_builder import MODEL_NAME
from reliability.fuzzing.structures import png
from tests.server.harness import DEMO_WEIGHTS, Server, own_weights, rewrite


@pytest.fixture(scope="session")
def demo_server(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server with demo weights."""
    server = Server(
        tmp_path_factory.mktemp("demo-server"),
        demo_store,
        environment=DEMO_WEIGHTS,
    )
    yield from _running(server)


@pytest.fixture(scope="session")
def real_server(
    real_weights_file: Path, real_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a running server with the real weights of `TEST_ASSETS`, or skip."""
    folder = tmp_path_factory.mktemp("real-server")
    (folder / "model_store").mkdir()
    shutil.copy(real_archive, folder / "model_store")
    server = Server(folder, folder / "model_store", environment=own_weights(real_weights_file))
    yield from _running(server)


@pytest.fixture
def server(demo_store: Path, tmp_path: Path) -> Iterator[Server]:
    """Return a server with demo weights that is not yet started."""
    server = Server(tmp_path / "server", demo_store, environment=DEMO_WEIGHTS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def batching_server(
    demo_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a server with demo weights whose one worker waits long for company."""
    yield from _batching(demo_archive, tmp_path_factory.mktemp("batching-server"))


@pytest.fixture(scope="session")
def real_batching_server(
    real_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return the same with the real weights of `TEST_ASSETS`, or skip."""
    yield from _batching(real_archive, tmp_path_factory.mktemp("real-batching-server"))


def _batching(archive: Path, folder: Path) -> Iterator[Server]:
    store = folder / "model_store"
    store.mkdir()
    changed = Path(shutil.copy(archive, store / "batching.mar"))
    rewrite(changed, "model-config.yaml", _wait_for_company)
    # With the file's name it is served as it is.
    as_it_is = {"load_models": f"{MODEL_NAME}={changed.name}"}
    yield from _running(Server(folder, store, settings=as_it_is))


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

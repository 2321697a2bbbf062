"""What several tiers need: the optional test assets, weights that need no network, archives."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from archive_builder import MODEL_NAME, MODEL_STORE
from archive_builder.archive import build_archive
from archive_builder.demo_weights import demo_weights, file_name
from archive_builder.inputs import gather_inputs
from tests.once import Once
from tests.server.harness import DEMO_WEIGHTS, own_weights

# Processes of one run have folders beside each other.
_XDIST = "PYTEST_XDIST_WORKER" in os.environ
TIERS = ("archive", "server", "proxy", "browser")


def pytest_configure() -> None:
    # A shell has what it runs in the background ignore Ctrl-C, and so would all that tests start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it lies in."""
    for item in items:
        tier = item.path.relative_to(Path(__file__).parent).parts[0]
        if tier in TIERS:
            item.add_marker(tier)


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder of real weights and photographs, or skip."""
    folder = os.environ.get("TEST_ASSETS")
    if not folder:
        pytest.skip("TEST_ASSETS is not set: no real weights and photographs")
    return Path(folder)


@pytest.fixture(scope="session")
def real_weights_file(assets: Path) -> Path:
    """Return the real weights of `TEST_ASSETS`, or skip."""
    return assets / "weights" / "densenet121-imagenet1k.pth"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    base = tmp_path_factory.getbasetemp()
    return Once(base.parent if _XDIST else base)


@pytest.fixture(scope="session")
def demo_weights_file(once: Once) -> Path:
    """Return the demo weights, fitted once a checkout: the name is a hash of all they are of."""
    fitted = MODEL_STORE / file_name()
    return fitted if fitted.exists() else once("demo-weights", demo_weights) / file_name()


@pytest.fixture(scope="session")
def demo_archive(once: Once, demo_weights_file: Path) -> Path:
    """Return an archive of the demo weights, which tests copy and never change."""

    def build(store: Path) -> None:
        shutil.copy(demo_weights_file, store)
        build_archive(gather_inputs(MODEL_NAME, store, environment=DEMO_WEIGHTS), store)

    return once("demo-archive", build) / f"{MODEL_NAME}.mar"


@pytest.fixture(scope="session")
def real_archive(once: Once, real_weights_file: Path) -> Path:
    """Return an archive of the real weights of `TEST_ASSETS`, or skip; tests copy it."""

    def build(store: Path) -> None:
        environment = own_weights(real_weights_file)
        build_archive(gather_inputs(MODEL_NAME, store, environment=environment), store)

    return once("real-archive", build) / f"{MODEL_NAME}.mar"


@pytest.fixture(scope="session")
def demo_store(
    demo_weights_file: Path, demo_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a model store with the demo weights and their archive, this process's own."""
    store = tmp_path_factory.mktemp("demo") / "model_store"
    store.mkdir()
    for file in (demo_weights_file, demo_archive):
        shutil.copy(file, store)
    return store

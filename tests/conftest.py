"""What several tiers need: the optional test assets, and weights that need no network."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from archive_builder import MODEL_STORE
from archive_builder.demo_weights import demo_weights, file_name

# Processes of one run have folders beside each other.
_XDIST = "PYTEST_XDIST_WORKER" in os.environ
TIERS = ("archive", "server", "proxy", "browser")


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
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model store that holds the demo weights and nothing else."""
    store = tmp_path_factory.mktemp("demo") / "model_store"
    store.mkdir()
    # Fitted once a checkout (the file's name is a hash of all that it depends on), and once a run:
    # of processes that test side by side one fits, the others wait and copy.
    fitted = MODEL_STORE / file_name()
    if not fitted.exists():
        shared = tmp_path_factory.getbasetemp().parent if _XDIST else store.parent
        with (shared / "fitting.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fitted = demo_weights(shared)
    shutil.copy(fitted, store)
    return store

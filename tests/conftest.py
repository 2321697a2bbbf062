"""What several tiers need: the optional test assets, and weights that need no network."""

import os
import shutil
from pathlib import Path

import pytest

from archive_builder import MODEL_STORE
from archive_builder.demo_weights import demo_weights, file_name

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
    # Fitted once a checkout: the file's name is a hash of all that it depends on.
    fitted = MODEL_STORE / file_name()
    if fitted.exists():
        shutil.copy(fitted, store)
    demo_weights(store)
    return store

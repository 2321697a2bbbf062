"""Many requests at once: TorchServe forms batches, and nobody's answer depends on a neighbour."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import yaml

from archive_builder import SAMPLES
from archive_builder.archive import build_archive
from archive_builder.inputs import ArchiveInputs, gather_inputs
from tests.server.harness import Server

TIMEOUT_S = 60
CONFIGURATION = "model-config.yaml"
# What TorchServe's worker writes for each batch that it is handed.
BATCH_LINE = "Backend received inference at"


@pytest.fixture(scope="module")
def batching_server(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server whose one worker waits long enough for company."""
    demo = {"DENSENET121_WEIGHTS": "demo"}
    inputs = gather_inputs("batching", demo_store, environment=demo)
    settings = yaml.safe_load(inputs.sources[CONFIGURATION])
    settings |= {"minWorkers": 1, "maxWorkers": 1, "batchSize": 8, "maxBatchDelay": 500}
    sources = inputs.sources | {CONFIGURATION: yaml.safe_dump(settings).encode()}
    build_archive(ArchiveInputs("batching", inputs.weights, inputs.labels, sources), demo_store)
    server = Server(tmp_path_factory.mktemp("batching"), demo_store, "batching")
    try:
        server.serve()
        yield server
    finally:
        server.stop()


def test_bad_items_share_batches_with_good_ones(batching_server: Server, huge_png: bytes) -> None:
    umbrella = (SAMPLES / "umbrella.png").read_bytes()
    maze = (SAMPLES / "maze.png").read_bytes()
    cases: list[tuple[bytes, dict[str, str], int, str]] = [
        (umbrella, {}, 200, "umbrella"),
        (umbrella[:5000], {}, 422, "UndecodableImageError"),
        (maze, {"describe": "True"}, 200, "maze"),
        (b"hello", {"Content-Type": "text/plain"}, 415, "UnsupportedImageError"),
        (b'{"a":', {"Content-Type": "application/json"}, 415, "UnsupportedImageError"),
        (b"", {"describe": "True", "explain": "True"}, 400, "NoImageError"),
        (huge_png, {}, 422, "TooManyPixelsError"),
        (maze, {"explain": "True", "Content-Type": "no/such; type"}, 200, "maze"),
    ] * 4
    before = _count_batches(batching_server)
    with ThreadPoolExecutor(len(cases)) as pool:
        responses = list(pool.map(lambda case: _post(batching_server, case[0], case[1]), cases))
    for response, (_, _, status, word) in zip(responses, cases, strict=True):
        assert response.status_code == status, response.text
        assert word in response.text
    batches = _count_batches(batching_server) - before
    assert 0 < batches <= len(cases) / 2, "no real batches were formed"


def _post(server: Server, content: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(server.url, data=content, headers=headers, timeout=TIMEOUT_S)


def _count_batches(server: Server) -> int:
    """Count the worker's batches in the server's log, once the log has come to rest."""
    deadline = time.monotonic() + TIMEOUT_S
    count, previous = 0, -1
    while count != previous and time.monotonic() < deadline:
        previous = count
        count = server.runtime.log.read_text(errors="replace").count(BATCH_LINE)
        time.sleep(0.5)
    return count

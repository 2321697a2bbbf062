"""Many requests at once: TorchServe forms batches, and nobody's answer depends on a neighbour."""

from concurrent.futures import ThreadPoolExecutor

import requests

from archive_builder import SAMPLES
from tests.server.harness import Server

TIMEOUT_S = 60


def test_bad_items_share_batches_with_good_ones(batching_server: Server, huge_png: bytes) -> None:
    umbrella = (SAMPLES / "umbrella.png").read_bytes()
    maze = (SAMPLES / "maze.png").read_bytes()
    cases: list[tuple[bytes, dict[str, str], int, str]] = [
        (umbrella, {}, 200, "umbrella"),
        (umbrella[:5000], {}, 422, "UndecodableImageError"),
        (maze, {"describe": "True"}, 200, "maze"),
        (b"hello", {"Content-Type": "text/plain"}, 415, "UnsupportedImageError"),
        (b'{"a":', {"Content-Type": "application/json"}, 400, "InvalidDocumentError"),
        (b"", {"describe": "True", "explain": "True"}, 400, "NoImageError"),
        (huge_png, {}, 422, "TooManyPixelsError"),
        (maze, {"explain": "True", "Content-Type": "no/such; type"}, 200, "maze"),
    ] * 4
    before = batching_server.count_batches()
    with ThreadPoolExecutor(len(cases)) as pool:
        responses = list(pool.map(lambda case: _post(batching_server, case[0], case[1]), cases))
    for response, (_, _, status, word) in zip(responses, cases, strict=True):
        assert response.status_code == status, response.text
        assert word in response.text
    batches = batching_server.count_batches() - before
    assert 0 < batches <= len(cases) / 2, "no real batches were formed"


def _post(server: Server, content: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(server.url, data=content, headers=headers, timeout=TIMEOUT_S)

"""Real weights on real photographs, and on awkward files, over HTTP."""

import csv
import json
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from archive_builder import LABELS
from tests.server.harness import Server

TIMEOUT_S = 60
CONNECTIONS = 16
# The table of README.md; everything else would be a fault of the server.
CLIENT_ERRORS = {400, 413, 415, 422}
EGYPTIAN_CAT = {"class_id": "n02124075", "class_name": "Egyptian_cat"}


def _post(server: Server, path: Path) -> requests.Response:
    return requests.post(server.url, data=path.read_bytes(), timeout=TIMEOUT_S)


def _post_all(server: Server, paths: Iterable[Path]) -> list[requests.Response]:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda path: _post(server, path), paths))


def _best_candidate(server: Server, path: Path) -> dict[str, str | None]:
    """Return the most probable class, recognised or not."""
    with path.open("rb") as file:
        form = {"min_probability": "0"}
        response = requests.post(server.url, form, files={"file": file}, timeout=TIMEOUT_S)
    assert response.status_code == 200, f"{path.name}: {response.text}"
    answer: dict[str, str | None] = response.json()
    return answer


def _workers(server: Server) -> list[int]:
    """Return the process ids of the workers that are READY."""
    (model,) = requests.get(server.configuration.model_url, timeout=TIMEOUT_S).json()
    return [worker["pid"] for worker in model["workers"] if worker["status"] == "READY"]


def test_the_cat_of_the_readme(real_server: Server, assets: Path) -> None:
    response = _post(real_server, assets / "images" / "photos" / "cat.jpg")
    assert response.json() == EGYPTIAN_CAT


def test_photographs_get_the_reference_answers(real_server: Server, assets: Path) -> None:
    with (assets / "images" / "expected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = json.loads(LABELS.read_text())
    paths = [assets / "images" / row["file"] for row in rows]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = list(pool.map(lambda path: _best_candidate(real_server, path), paths))
    differing = []
    for row, answer in zip(rows, answers, strict=True):
        class_id, class_name = labels[row["top1_index"]]
        if answer != {"class_id": class_id, "class_name": class_name}:
            differing.append(f"{row['file']}: {answer}, expected {class_name}")
    if differing:
        lines = ["answers that differ from the reference:", *differing]
        warnings.warn("\n".join(lines), stacklevel=1)
    assert len(rows) == 207
    assert len(differing) <= len(rows) * 0.01, "\n".join(differing)


def test_awkward_files_get_an_answer_or_a_client_error(real_server: Server, assets: Path) -> None:
    workers = _workers(real_server)
    for path in sorted((assets / "images" / "awkward").iterdir()):
        response = _post(real_server, path)
        assert response.status_code in {200, *CLIENT_ERRORS}, f"{path.name}: {response.text}"
    assert _workers(real_server) == workers


def test_awkward_files_do_not_change_their_neighbours_in_a_batch(
    real_batching_server: Server, assets: Path
) -> None:
    server = real_batching_server
    workers = _workers(server)
    awkward = sorted((assets / "images" / "awkward").iterdir())
    cat = assets / "images" / "photos" / "cat.jpg"
    mixed = [path for each in awkward for path in (each, cat)]
    alone = {path: _post(server, path).content for path in awkward}
    before = server.count_batches()
    for path, response in zip(mixed, _post_all(server, mixed), strict=True):
        if path == cat:
            assert response.json() == EGYPTIAN_CAT
        else:
            assert response.content == alone[path], path.name
    assert server.count_batches() - before <= len(mixed) / 2, "no real batches were formed"
    assert _workers(server) == workers

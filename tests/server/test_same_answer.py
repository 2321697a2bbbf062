"""The same picture, the same answer: alone, in a crowd, from either worker, after any restart.

How many pictures go through the network together, and on how many threads, may decide in which
order it adds, and so the last digits of a sum: `TOLERANCE` is what a probability may differ by.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from archive_builder import SAMPLES
from server_control.readiness import readiness
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for

# On the CPUs that were measured it is 0 (docs/RELIABILITY.md). Workers of different precision, or
# pictures that are decoded otherwise when there is much to do, would be further apart.
TOLERANCE = 0.0001
CLIENTS = 24
REQUESTS = 200  # with pictures; three each time for each picture
PHOTOGRAPHS = 12

Probabilities = dict[str, float]  # by class, the most probable first


class Asked(NamedTuple):
    """One request of a crowd: the pictures in it that are to be answered as they are alone."""

    pictures: Sequence[str]
    send: Callable[[dict[str, str]], requests.Response]


def route(server: Server, path: str) -> str:
    return f"{server.configuration.values['inference_address']}/{path}/{server.model_name}"


def probabilities(entry: dict[str, Any]) -> Probabilities:
    return {each["class_id"]: each["probability"] for each in entry["predictions"]}


def alone(server: Server, pictures: dict[str, bytes]) -> dict[str, Probabilities]:
    """Return what is said of each picture by a server that does nothing else."""
    found = {}
    for name, content in pictures.items():
        response = requests.post(
            server.url, files={"file": content}, data={"top_k": "1000"}, timeout=TIMEOUT_S
        )
        assert response.status_code == 200, response.text
        found[name] = probabilities(response.json())
    return found


def assert_same(name: str, found: Probabilities, expected: Probabilities) -> None:
    changes = {key: abs(value - expected[key]) for key, value in found.items()}
    assert max(changes.values()) <= TOLERANCE, f"{name}: {changes}"
    first, second = list(expected.values())[:2]
    if first - second > 2 * TOLERANCE:
        assert next(iter(found)) == next(iter(expected)), name


@pytest.fixture(scope="module")
def samples() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.png"))}


@pytest.fixture(scope="module")
def heavy(samples: dict[str, bytes]) -> bytes:
    """A picture of 6 megapixels, which takes a worker longer to decode than to classify."""
    buffer = BytesIO()
    picture = Image.open(BytesIO(samples["maze"])).convert("RGB").resize((3000, 2000))
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def crowd(server: Server, pictures: dict[str, bytes], bad: Sequence[bytes]) -> Iterator[Asked]:
    """Yield each picture by itself, explained, and between two others in one request."""
    predictions, explanations = route(server, "predictions"), route(server, "explanations")
    for number, (name, content) in enumerate(pictures.items()):
        one = {"file": content}
        yield Asked([name], _sender(predictions, one))
        yield Asked([name], _sender(explanations, one))
        after = list(pictures)[number - 1]
        several = {"bad": bad[number % len(bad)], name: content, after: pictures[after]}
        yield Asked([name, after], _sender(predictions, several))
    for content in bad:
        yield Asked([], _sender(predictions, {"file": content}))


def _sender(url: str, files: dict[str, bytes]) -> Callable[[dict[str, str]], requests.Response]:
    def send(headers: dict[str, str]) -> requests.Response:
        options = {"top_k": "3"}
        return requests.post(url, files=files, data=options, headers=headers, timeout=TIMEOUT_S)

    return send


def told(response: requests.Response, names: Sequence[str]) -> list[Probabilities]:
    """Return what an answer says of the pictures of these names."""
    body = response.json()
    if len(names) == 1:
        return [probabilities(body)]
    entries = {each["name"]: each for each in body["predictions"]}
    return [probabilities(entries[name]) for name in names]


def request_lines(server: Server, prefix: str, count: int) -> list[dict[str, Any]]:
    """Wait for the log lines of requests whose own ids begin so."""
    found: list[dict[str, Any]] = []

    def all_there() -> bool:
        text = (server.runtime.logs / "requests.log").read_text()
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        found[:] = [each for each in lines if each.get("client_request_id", "").startswith(prefix)]
        return len(found) >= count

    wait_for(all_there)
    return found


def test_the_answer_does_not_depend_on_the_crowd(
    any_server: Server, samples: dict[str, bytes], heavy: bytes, huge_png: bytes, request: Any
) -> None:
    pictures = dict(samples)
    if any_server.environment["DENSENET121_WEIGHTS"] != "demo":
        assets: Path = request.getfixturevalue("assets")
        paths = sorted((assets / "images" / "labelled").iterdir())
        pictures |= {path.stem: path.read_bytes() for path in paths[:PHOTOGRAPHS]}
    expected = alone(any_server, pictures)
    workers = {each.pid for each in any_server.workers()}
    bad = [samples["maze"][:3000], b"hello", huge_png, heavy]
    rounds = max(3, REQUESTS // (3 * len(pictures)))
    asked = [each for _ in range(rounds) for each in crowd(any_server, pictures, bad)]
    asked = [asked[index] for index in np.random.default_rng(121).permutation(len(asked))]
    prefix = f"crowd-{uuid.uuid4()}-"
    with ThreadPoolExecutor(CLIENTS) as clients:
        ids = [{"X-Request-ID": f"{prefix}{number}"} for number in range(len(asked))]
        answers = list(clients.map(lambda each, headers: each.send(headers), asked, ids))
    for (names, _), answer in zip(asked, answers, strict=True):
        if names:
            assert answer.status_code == 200, answer.text
            for name, found in zip(names, told(answer, names), strict=True):
                assert_same(name, found, expected[name])
    lines = request_lines(any_server, prefix, len(asked))
    assert {each["worker_pid"] for each in lines} == workers, "both have answered"
    assert len({each["images_in_batch"] for each in lines}) >= 6, "of many sizes"
    for name, found in alone(any_server, pictures).items():
        assert_same(name, found, expected[name])


def test_the_answer_is_the_same_from_new_workers_and_a_new_server(
    demo_server: Server, samples: dict[str, bytes]
) -> None:
    expected = alone(demo_server, samples)
    killed = demo_server.workers()
    for worker in killed:
        worker.kill()
    psutil.wait_procs(killed, TIMEOUT_S)
    wait_for(lambda: is_ready(demo_server))
    assert {each.pid for each in demo_server.workers()}.isdisjoint(each.pid for each in killed)
    again = alone(demo_server, samples)
    demo_server.stop()
    demo_server.serve()
    restarted = alone(demo_server, samples)
    for name, found in expected.items():
        assert_same(name, again[name], found)
        assert_same(name, restarted[name], found)


def is_ready(server: Server) -> bool:
    return readiness(server.configuration, server.runtime).state == "ready"

"""Two versions of the model in one server, tokens on: the way to a new archive and back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import requests
import torch

from archive_builder import SAMPLES
from densenet_classifier.labels import load_labels
from densenet_classifier.weights import sha256_of
from server_control.management import describe
from tests.server.harness import Server, copy_as

# An archive is built before the first test.
pytestmark = pytest.mark.timeout(600)

TIMEOUT_S = 60
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
BLUE, GREEN = "blue", "0.3.0-green"
NAMES = {BLUE: "umbrella", GREEN: "maze"}


@pytest.fixture(scope="module")
def server(
    demo_archive: Path, demo_weights_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a running server with demo weights, and with some that take umbrellas for mazes."""
    folder = tmp_path_factory.mktemp("versions")
    store = folder / "model_store"
    store.mkdir()
    server = Server(
        folder,
        store,
        settings={
            "load_models": ",".join(f"densenet121=densenet121-{each}.mar" for each in NAMES),
            "disable_token_authorization": "false",
        },
    )
    copy_as(demo_archive, store / f"densenet121-{BLUE}.mar", version=BLUE)
    green = exchanged(demo_weights_file, folder / "green.pth")
    built = server.script(
        "build-archive",
        f"--version={GREEN}",
        f"--model-store={store}",
        DENSENET121_WEIGHTS=str(green),
    )
    assert built.returncode == 0, built.stderr
    try:
        server.serve()
        yield server
    finally:
        server.stop()


def exchanged(weights: Path, target: Path) -> Path:
    """Write the weights with the outputs of umbrella and maze exchanged."""
    state = torch.load(weights, weights_only=True)
    labels = load_labels(SAMPLES.parent / "index_to_name.json", 1000)
    rows = [index for index, label in enumerate(labels) if label.class_name in NAMES.values()]
    for key in ("classifier.weight", "classifier.bias"):
        state[key][rows] = state[key][rows[::-1]]
    torch.save(state, target)
    return target


@pytest.fixture(autouse=True)
def _blue_by_default(server: Server) -> Iterator[None]:
    yield
    assert server.script("versions", "--default", BLUE).returncode == 0


def ask(server: Server, version: str = "") -> requests.Response:
    token = server.script("token", "inference").stdout.strip()
    url = f"{server.url}/{version}".rstrip("/")
    return post(url, token)


def post(url: str, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(url, data=UMBRELLA, headers=headers, timeout=TIMEOUT_S)


def test_each_version_answers_at_its_own_address(server: Server) -> None:
    for version, name in NAMES.items():
        assert ask(server, version).json()["class_name"] == name


def test_the_first_archive_is_the_default(server: Server) -> None:
    answer = ask(server)
    assert answer.json()["class_name"] == NAMES[BLUE]
    assert answer.headers["X-Model-Weights"] == "demo"


def test_versions_shows_what_is_served(server: Server) -> None:
    result = server.script("versions")
    assert result.returncode == 0, result.stderr
    green = sha256_of(server.folder / "green.pth")[:12]
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["VERSION", "DEFAULT", "WORKERS", "WEIGHTS", "ARCHIVE"],
        [BLUE, "yes", "2", "of", "2", "demo", f"densenet121-{BLUE}.mar"],
        [GREEN, "2", "of", "2", f"custom:{green}", f"densenet121-{GREEN}.mar"],
    ]


def test_the_default_is_switched_and_back_under_load_without_an_error(server: Server) -> None:
    token = server.script("token", "inference").stdout.strip()
    ended, answers = Event(), list[tuple[int, str]]()

    def keep_asking() -> None:
        while not ended.is_set():
            answer = post(server.url, token)
            answers.append((answer.status_code, answer.json().get("class_name", answer.text)))

    with ThreadPoolExecutor(3) as clients:
        asking = [clients.submit(keep_asking) for _ in range(3)]
        try:
            switched = server.script("versions", "--default", GREEN)
            after_switching = ask(server).json()["class_name"]
            back = server.script("versions", "--default", BLUE)
            after_rolling_back = ask(server).json()["class_name"]
        finally:
            ended.set()
    for each in asking:
        each.result()
    assert f"Version {GREEN} is the default now" in switched.stderr
    assert f"./scripts/versions --default {BLUE}" in switched.stderr
    assert back.returncode == 0, back.stderr
    assert (after_switching, after_rolling_back) == (NAMES[GREEN], NAMES[BLUE])
    assert set(answers) == {(200, NAMES[BLUE]), (200, NAMES[GREEN])}


@pytest.mark.parametrize("arguments", [["--default", "red"], ["--default", ""]])
def test_a_version_that_is_not_served_changes_nothing(arguments: list[str], server: Server) -> None:
    result = server.script("versions", *arguments)
    assert result.returncode == 1
    assert f"these are: {BLUE}, {GREEN}" in result.stderr
    assert ask(server).json()["class_name"] == NAMES[BLUE]


def test_a_version_without_workers_does_not_become_the_default(server: Server) -> None:
    scale(server, GREEN, 0)
    try:
        result = server.script("versions", "--default", GREEN)
        assert result.returncode == 1
        assert "no worker that is ready" in result.stderr
        assert ask(server).json()["class_name"] == NAMES[BLUE]
    finally:
        scale(server, GREEN, 2)


def scale(server: Server, version: str, workers: int) -> None:
    """Set the number of workers as `curl -X PUT` does."""
    token = server.script("token", "management").stdout.strip()
    answer = requests.put(
        f"{server.configuration.model_url}/{version}",
        params=f"min_worker={workers}&max_worker={workers}&synchronous=true",
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_S,
    )
    assert answer.ok, answer.text


def test_a_second_serve_finds_both(server: Server) -> None:
    assert "Already running" in server.serve().stderr
    models = describe(server.configuration, server.runtime)
    assert [model.version for model in models] == [BLUE, GREEN]


def test_both_are_verified(server: Server) -> None:
    result = server.script("verify-archive")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("intact") == 2


def test_an_archive_that_is_changed_later_is_told(server: Server) -> None:
    archive = server.model_store / f"densenet121-{GREEN}.mar"
    content = archive.read_bytes()
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 1])
    try:
        archive.write_bytes(content[:middle] + changed + content[middle + 1 :])
        result = server.script("serve")
    finally:
        archive.write_bytes(content)
    assert result.returncode == 1
    assert f"densenet121-{GREEN}.mar is not as it was built" in result.stderr


def test_versions_without_a_server_is_one_line(tmp_path: Path) -> None:
    stopped = Server(tmp_path / "server", tmp_path)
    result = stopped.script("versions")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1

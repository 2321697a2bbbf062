"""Two real TorchServes behind the proxy, under load, while everything happens to them.

No client ever tries again, and every answer is 200. What matters to nginx alone is tested with
fakes, in seconds; here each thing happens once, to the host where it is harder.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch

from server_control.ports import free_ports
from server_control.readiness import readiness
from server_control.runtime import java_process, processes
from tests.proxy.harness import Proxy, running, wait_for
from tests.proxy.load import UMBRELLA, load
from tests.server.harness import DEMO_WEIGHTS, Server

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
TOKENS = {"disable_token_authorization": "false"}


def local(name: str, server: Server) -> str:
    return f'name = "{name}"\nconfiguration = "{server.path}"'


@pytest.fixture(scope="module")
def pair(
    demo_store: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Return two running servers, both with tokens, the second with TLS."""
    folder = tmp_path_factory.mktemp("pair")
    inference, management = free_ports(2)
    tls = {
        "inference_address": f"https://127.0.0.1:{inference}",
        "management_address": f"https://127.0.0.1:{management}",
        "certificate_file": str(certificates / "server.pem"),
        "private_key_file": str(certificates / "server.key"),
    }
    servers: list[Server] = []
    try:
        for name, settings in (("one", TOKENS), ("two", TOKENS | tls)):
            store = folder / f"{name}-store"
            shutil.copytree(demo_store, store)
            server = Server(folder / name, store, environment=dict(DEMO_WEIGHTS), settings=settings)
            servers.append(server)
            server.serve()
        yield servers[0], servers[1]
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def proxy(
    pair: tuple[Server, Server], certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    one, two = pair
    folder = tmp_path_factory.mktemp("proxy")
    with running(Proxy(folder, certificates, [local("one", one), local("two", two)])) as proxy:
        wait_until_all_ready(proxy, pair)
        yield proxy


@pytest.fixture
def one(pair: tuple[Server, Server], proxy: Proxy) -> Server:
    """Return the first, with both ready."""
    wait_until_all_ready(proxy, pair)
    return pair[0]


@pytest.fixture
def two(pair: tuple[Server, Server], proxy: Proxy) -> Server:
    """Return the second, the one with TLS, with both ready."""
    wait_until_all_ready(proxy, pair)
    return pair[1]


def wait_until_all_ready(proxy: Proxy, servers: tuple[Server, ...]) -> None:
    for server in servers:
        wait_until(proxy, server, "ready")


def wait_until(proxy: Proxy, server: Server, state: str) -> None:
    proxy.wait_until_told(server.folder.name, state)


def all_workers_ready(server: Server) -> bool:
    """Tell whether each worker has loaded: without any, the host would rightly be passed over."""
    reason = readiness(server.configuration, server.runtime).reason
    return len(workers(server)) == 2 and reason.startswith("2 of 2 workers")


def workers(server: Server) -> list[psutil.Process]:
    return [each for each in processes(server.note()) if "--sock-name" in each.cmdline()]


def test_a_worker_is_killed(proxy: Proxy, one: Server) -> None:
    with load(proxy) as clients:
        workers(one)[0].kill()
        clients.goes_on()
        wait_for(lambda: all_workers_ready(one), "the worker has come back")


def test_a_host_dies_and_comes_back(proxy: Proxy, two: Server) -> None:
    with load(proxy) as clients:
        java = java_process(two.note())
        assert java is not None
        java.kill()
        clients.goes_on()
        wait_until(proxy, two, "down")
        clients.goes_on()
        two.serve()  # with a new certificate and new tokens
        wait_until(proxy, two, "ready")


def test_a_host_is_scaled(proxy: Proxy, one: Server) -> None:
    with load(proxy) as clients:
        for number in ("1", "2"):
            result = one.script("scale", number)
            assert result.returncode == 0, result.stderr
            wait_until(proxy, one, "ready")
            clients.goes_on()


def test_tokens_are_renewed(proxy: Proxy, one: Server, two: Server) -> None:
    with load(proxy) as clients:
        before = {each.runtime.key_file: _let_token_end_soon(each) for each in (one, two)}
        for file, old in before.items():
            wait_for(partial(_is_another, file, old), "each has another token")
        clients.goes_on()


def _let_token_end_soon(server: Server) -> str:
    """Have less than half of its life be left, and return the token."""
    keys = json.loads(server.runtime.key_file.read_text())
    end = datetime.now(UTC) + timedelta(minutes=20)
    keys["inference"]["expiration time"] = end.isoformat()
    server.runtime.key_file.write_text(json.dumps(keys))
    return str(keys["inference"]["key"])


def _is_another(file: Path, old: str) -> bool:
    return old not in file.read_text()


@pytest.fixture
def next_version(pair: tuple[Server, Server], tmp_path: Path) -> tuple[Path, Path]:
    """Return other weights and the archive of them, built before there is any load."""
    server, _ = pair
    (file,) = server.model_store.glob("*.pth")
    weights = torch.load(file, weights_only=True)
    weights["classifier.bias"] = weights["classifier.bias"] + 1.0  # the same answers
    torch.save(weights, tmp_path / "next.pth")
    store = tmp_path / "store"
    store.mkdir()
    arguments = (f"--model-name={server.model_name}", f"--model-store={store}")
    result = server.script(
        "build-archive", *arguments, DENSENET121_WEIGHTS=str(tmp_path / "next.pth")
    )
    assert result.returncode == 0, result.stderr
    return tmp_path / "next.pth", store / f"{server.model_name}.mar"


def test_versions_change_host_by_host(
    pair: tuple[Server, Server], proxy: Proxy, next_version: tuple[Path, Path]
) -> None:
    wait_until_all_ready(proxy, pair)
    weights, archive = next_version
    with load(proxy) as clients:
        for server in pair:
            result = server.script("stop", "--settle-s", "2")
            assert result.returncode == 0, result.stderr
            clients.goes_on()
            shutil.copy(archive, server.model_store)
            server.environment["DENSENET121_WEIGHTS"] = str(weights)
            started = server.serve()
            assert "Building" not in started.stderr, started.stderr
            wait_until(proxy, server, "ready")
    assert len(clients.weights) == 2
    assert proxy.post(data=UMBRELLA).headers["X-Model-Weights"].startswith("custom:")


@pytest.fixture
def single(
    pair: tuple[Server, Server], make_proxy: Callable[..., Proxy], proxy: Proxy
) -> Iterator[tuple[Proxy, Server]]:
    """Return a proxy with one host behind it."""
    wait_until_all_ready(proxy, pair)
    limits = "concurrent_requests = 1000\nburst_requests = 1000"
    with running(make_proxy(local("one", pair[0]), limits=limits)) as alone:
        yield alone, pair[0]


def test_a_worker_of_the_only_host_is_killed(single: tuple[Proxy, Server]) -> None:
    alone, host = single
    with load(alone) as clients:
        workers(host)[0].kill()
        clients.goes_on()
        wait_for(lambda: all_workers_ready(host), "the worker has come back")


def test_a_full_queue_is_429(single: tuple[Proxy, Server]) -> None:
    alone, host = single
    stopped = workers(host)
    for worker in stopped:
        worker.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(330) as pool:
            pending = [pool.submit(alone.post, data=UMBRELLA) for _ in range(330)]
            wait_for(lambda: any(each.done() for each in pending), "the queue is full")
            for worker in stopped:
                worker.send_signal(signal.SIGCONT)
            answers = [each.result() for each in pending]
    finally:
        for worker in stopped:
            worker.send_signal(signal.SIGCONT)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {429}
    assert {answer.json()["type"] for answer in refused} == {"BusyError"}
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    # The queue has 256 places.
    assert len(answers) - len(refused) >= 256


def test_the_page_and_its_pictures(single: tuple[Proxy, Server]) -> None:
    alone, _ = single
    page = alone.get("/", headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Content-Security-Policy" in page.headers
    assert 'action="/predictions/densenet121"' in page.text
    answer = alone.post("/explanations/densenet121", files={"file": UMBRELLA})
    assert answer.json()["class_name"] == "umbrella"
    assert answer.headers["X-Model-Weights"]
    assert alone.post("/predict", files={"file": UMBRELLA}).json() == {
        "class_id": "n04507155",
        "class_name": "umbrella",
    }


def test_errors_of_clients_come_through(single: tuple[Proxy, Server]) -> None:
    alone, _ = single
    for form in (
        {"files": {"": UMBRELLA}},
        {"data": UMBRELLA, "headers": alone.authorization | URLENCODED},
    ):
        answer = alone.post("/predict", **form)
        assert (answer.status_code, answer.json()["type"]) == (400, "UnreadableRequestError")
    answer = alone.post("/predict", files={"file": b"no picture"})
    assert (answer.status_code, answer.json()["type"]) == (415, "UnsupportedImageError")
    assert alone.post("/predict").json()["type"] == "NoImageError"

"""Faults of a host: what its own clients see, and that those of a proxy with another see none.

One real TorchServe for all of it, whose `responseTimeout` is short and whose archive has become
half an archive since it was started; the second host is a fake that answers at once.
"""

import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import psutil
import pytest
from PIL import Image

from server_control.readiness import DOWN, readiness
from tests.proxy.harness import Proxy, answering, remote, running, wait_for
from tests.proxy.load import load
from tests.server.asking import ANSWERED, CLIENTS, UMBRELLA, asking, authorization, outcome_of
from tests.server.harness import Server
from tests.server.impatient import all_ready, impatient_server, workers
from tests.server.waiting import TIMEOUT_S
from tests.unit.local_http import Answer, Request, serving

# What TorchServe says to the batch of a worker that has ended: 507 where it saw it killed.
DIED = {"500 Worker died.", "507 Worker died."}
# Enough for an umbrella, not for a picture of 49 million pixels.
SPARE_BYTES = 16 << 20


@pytest.fixture(scope="module")
def host(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tokens = {"disable_token_authorization": "false"}
    server = impatient_server(tmp_path_factory.mktemp("host"), demo_store, **tokens)
    archive = server.model_store / "densenet121.mar"
    try:
        server.serve()
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def proxy(
    host: Server, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    tables = [f'name = "real"\nconfiguration = "{host.path}"']
    with serving(answering(lambda _: Answer(headers={"X-Model-Weights": "fake"}))) as fake:
        tables.append(remote("fake", fake.url))
        with running(Proxy(tmp_path_factory.mktemp("proxy"), certificates, tables)) as proxy:
            yield proxy


@pytest.fixture
def real(proxy: Proxy, host: Server) -> Server:
    """Return the real host, once it is ready and the proxy knows."""
    wait_for(lambda: all_ready(host), "all workers are ready")
    wait_for(lambda: last_word(proxy) == "ready", "the proxy knows")
    return host


def last_word(proxy: Proxy) -> str:
    """Return the state of the real host that the proxy has told last."""
    said = [line for line in proxy.output.splitlines() if line.startswith("real is ")]
    return said[-1].split()[2].rstrip(":") if said else ""


def test_a_worker_that_hangs_is_ended_and_costs_its_own_batch(proxy: Proxy, real: Server) -> None:
    hanging, _ = workers(real)
    with asking(real.url, authorization(real)) as own, load(proxy) as clients:
        began = time.monotonic()
        hanging.suspend()
        own.go_on()  # the other one answers
        hanging.wait(TIMEOUT_S)  # ended as it stands there, stopped
        wait_for(lambda: all_ready(real), "another one is there")
        clients.goes_on()
    assert set(own.lost(began)) <= DIED
    assert len(own.lost(began)) <= CLIENTS


def test_what_torchserve_says_of_a_worker_that_hung_is_known_to_the_byte(real: Server) -> None:
    token = authorization(real)
    hanging = workers(real)
    for worker in hanging:
        worker.suspend()
    try:
        assert outcome_of(real.url, UMBRELLA, token) == "500 Worker died."
    finally:
        for worker in hanging:
            with suppress(psutil.NoSuchProcess):
                worker.resume()
    wait_for(lambda: all_ready(real), "both are there again")


def test_requests_wait_for_workers_that_were_killed_together(proxy: Proxy, real: Server) -> None:
    token = authorization(real)
    with asking(real.url, token) as own, load(proxy) as clients:
        began = time.monotonic()
        killed = workers(real)
        for worker in killed:
            worker.kill()
        psutil.wait_procs(killed, TIMEOUT_S)
        clients.goes_on()
        wait_for(lambda: readiness(real.configuration, real.runtime).state == DOWN, "none is left")
        # Nothing of the archive is needed for new ones.
        assert outcome_of(real.url, UMBRELLA, token) == ANSWERED
        own.go_on()
    assert set(own.lost(began)) <= DIED
    assert len(own.lost(began)) <= CLIENTS


@contextmanager
def without_memory(worker: psutil.Process) -> Iterator[None]:
    """Let a worker have no more memory than it has, and a little."""
    _, most = worker.rlimit(psutil.RLIMIT_AS)
    worker.rlimit(psutil.RLIMIT_AS, (worker.memory_info().vms + SPARE_BYTES, most))
    try:
        yield
    finally:
        worker.rlimit(psutil.RLIMIT_AS, (most, most))


def test_a_picture_for_which_there_is_no_memory_costs_nobody_else(real: Server) -> None:
    one, two = workers(real)
    token = authorization(real)
    content = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(content, "PNG")
    large = content.getvalue()
    with asking(real.url, token) as own, without_memory(one), without_memory(two):
        began = time.monotonic()
        assert outcome_of(real.url, large, token) == "500 InternalError"
        own.go_on()
    assert own.lost(began) == []
    assert outcome_of(real.url, large, token) == ANSWERED  # once there is memory again
    assert workers(real) == [one, two]


def test_no_worker_takes_damaged_weights_and_mended_ones_bring_it_back(real: Server) -> None:
    (weights,) = Path(real.note().temp).glob("models/*/network.bin")
    intact = weights.rename(weights.with_suffix(".intact"))
    content = bytearray(intact.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    log = real.runtime.logs / "model_log.log"
    with asking(real.url, authorization(real)) as own:
        began = time.monotonic()
        workers(real)[0].kill()
        wait_for(lambda: f"{weights.name} has SHA-256" in log.read_text(), "it is refused")
        own.go_on()  # the other one answers
        intact.replace(weights)
        wait_for(lambda: all_ready(real), "it is back")
    assert len(own.lost(began)) <= CLIENTS


def end_token(server: Server) -> None:
    """Let a clock look put forward to the proxy; TorchServe's own stays here."""
    keys = json.loads(server.runtime.key_file.read_text())
    keys["inference"]["expiration time"] = "2000-01-01T00:00:00Z"
    server.runtime.key_file.write_text(json.dumps(keys))


def test_a_host_whose_token_has_ended_is_passed_over_until_it_is_renewed(
    proxy: Proxy, real: Server
) -> None:
    before = proxy.output.count("Renewing the token of real")
    with load(proxy):
        end_token(real)
        wait_for(lambda: "its token has ended" in proxy.output, "the host is passed over")
        wait_for(lambda: proxy.output.count("Renewing the token") > before, "it is renewed")
        wait_for(lambda: last_word(proxy) == "ready", "the host is back")


@contextmanager
def failing_late(
    real: Server, certificates: Path, folder: Path
) -> Iterator[tuple[Proxy, Callable[[], None]]]:
    """Yield a proxy whose other host has a request for long, and what lets it fail that request.

    Its next try is the real host, where it must be answered.
    """
    arrived, over = Event(), Event()

    def fail_late(_: Request) -> Answer:
        arrived.set()
        assert over.wait(TIMEOUT_S)
        return Answer(status=503)

    with serving(answering(fail_late)) as late, ThreadPoolExecutor() as clients:
        tables = [f'name = "real"\nconfiguration = "{real.path}"', remote("late", late.url)]
        with running(Proxy(folder, certificates, tables)) as proxy:
            asked = [clients.submit(proxy.post, data=UMBRELLA) for _ in range(2)]

            def fail() -> None:
                over.set()
                assert [each.result().status_code for each in asked] == [200, 200]

            try:
                assert arrived.wait(TIMEOUT_S)
                yield proxy, fail
            finally:
                over.set()


def test_a_token_is_not_renewed_while_a_request_may_still_bring_the_old_one(
    real: Server, certificates: Path, tmp_path: Path
) -> None:
    with failing_late(real, certificates, tmp_path) as (proxy, fail):
        end_token(real)
        wait_for(lambda: "its token has ended" in proxy.output, "it is passed over")
        time.sleep(3)  # longer than it would take to renew the token
        assert "Renewing" not in proxy.output
        fail()
        wait_for(lambda: "Renewing" in proxy.output, "the token is renewed")
        wait_for(lambda: last_word(proxy) == "ready", "the host is back")


def test_a_request_that_comes_late_to_a_host_that_is_down_brings_its_token(
    real: Server, certificates: Path, tmp_path: Path
) -> None:
    with failing_late(real, certificates, tmp_path) as (proxy, fail):
        for worker in workers(real):
            worker.kill()
        wait_for(lambda: last_word(proxy) == "down", "the proxy knows")
        fail()

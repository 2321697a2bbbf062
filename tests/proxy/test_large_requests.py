"""Large requests wait in TorchServe's memory: the proxy hands it no more of them than fit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import requests

from tests.proxy.fake_torchserve import fake_torchserve
from tests.proxy.harness import TIMEOUT_S, Proxy, running, wait_for
from tests.unit.local_http import Answer, Request


@pytest.mark.parametrize(
    ("limit", "size"), [("large_requests", 1_000_000), ("largest_requests", 10_000_000)]
)
def test_a_host_gets_no_more_large_requests_than_its_memory_takes(
    make_proxy: Callable[..., Proxy], tmp_path: Path, limit: str, size: int
) -> None:
    release, large = Event(), bytes(size)

    def answer(request: Request) -> Answer:
        if len(request.body) >= size:
            release.wait(TIMEOUT_S)
        return Answer(b"{}")

    with (
        ThreadPoolExecutor(3) as pool,
        fake_torchserve(tmp_path, "one", answer) as host,
        running(make_proxy(host.table, limits=f"{limit} = 3")) as proxy,
    ):
        clients = [proxy.token, *(proxy.add_client(name) for name in ("second", "third"))]
        first, second, third = ({"Authorization": f"Bearer {token}"} for token in clients)
        wait_for(lambda: proxy.post(headers=third).status_code == 200, "the clients are known")
        known = len(host.predictions)
        waiting = []
        for header in (first, first, second):
            waiting.append(pool.submit(proxy.post, headers=header, data=large))
            wait_for(lambda: len(host.predictions) == known + len(waiting), "it has arrived")
        try:
            # A client has half of them, for which it is told itself; then the host has all.
            assert kind(proxy.post(headers=first, data=large)) == (429, "RateLimitError")
            assert kind(proxy.post(headers=second, data=large)) == (429, "BusyError")
            chunks = iter([large])
            assert kind(proxy.post(headers=third, data=chunks)) == (429, "BusyError")
            assert proxy.post(headers=first, data=bytes(size - 1)).status_code == 200
        finally:
            release.set()
        assert {each.result().status_code for each in waiting} == {200}


def kind(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]

"""A host whose queue is full is not even asked: refusing costs TorchServe what its workers need."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.proxy.fake_torchserve import fake_torchserve
from tests.proxy.harness import TIMEOUT_S, Proxy, running, wait_for
from tests.unit.local_http import Answer, Request


def waiting_for(release: Event) -> Callable[[Request], Answer]:
    """Return a host that answers nobody before it is told to."""

    def answer(_: Request) -> Answer:
        release.wait(TIMEOUT_S)
        return Answer(b"{}")

    return answer


@pytest.mark.parametrize(
    ("queue", "most"), [(4, 4), (1, 2)], ids=["as the queue holds", "a batch of each worker"]
)
def test_a_host_gets_no_more_requests_than_may_wait(
    make_proxy: Callable[..., Proxy], tmp_path: Path, queue: int, most: int
) -> None:
    release = Event()
    answer = waiting_for(release)
    with (
        ThreadPoolExecutor(most) as pool,
        fake_torchserve(tmp_path, "one", answer, queue) as host,
        running(make_proxy(host.table)) as proxy,
    ):
        try:
            waiting = [pool.submit(proxy.post) for _ in range(most)]
            wait_for(lambda: len(host.predictions) == most, "all have arrived")
            refused = proxy.post()
            assert (refused.status_code, refused.json()["type"]) == (429, "BusyError")
            assert refused.headers["Retry-After"] == "1"
            assert len(host.predictions) == most
        finally:
            release.set()
        assert [each.result().status_code for each in waiting] == [200] * most
        assert proxy.post().status_code == 200


def test_what_one_host_has_no_room_for_goes_to_another(
    make_proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    release = Event()
    answer = waiting_for(release)
    with (
        ThreadPoolExecutor(6) as pool,
        fake_torchserve(tmp_path, "one", answer, 2) as one,
        fake_torchserve(tmp_path, "two", answer, 4) as two,
        running(make_proxy(one.table, two.table)) as proxy,
    ):
        try:
            answers = [pool.submit(proxy.post) for _ in range(6)]
            wait_for(lambda: len(one.predictions) + len(two.predictions) == 6, "all have arrived")
            assert (len(one.predictions), len(two.predictions)) == (2, 4)
            assert proxy.post().status_code == 429
        finally:
            release.set()
        assert {each.result().status_code for each in answers} == {200}

"""Which host answers, and which one instead. The hosts are fakes of another machine's proxy."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest

from reverse_proxy.hosts import LOCAL_READY
from tests.proxy.harness import TIMEOUT_S, Proxy, answering, remote, running, wait_for
from tests.unit.local_http import Answer, Request, Server, refusing, serving

MakeProxy = Callable[..., Proxy]
OK = Answer(b"{}")
RESET = Answer(reset=True)


def asked(server: Server) -> int:
    return sum(request.path != LOCAL_READY for request in server.requests)


@contextmanager
def two(
    make_proxy: MakeProxy, first: Answer, second: Answer, limits: str = ""
) -> Iterator[tuple[Proxy, Server, Server]]:
    """Run a proxy before two hosts that answer so."""
    with (
        serving(answering(lambda _: first)) as one,
        serving(answering(lambda _: second)) as another,
    ):
        proxy = make_proxy(remote("one", one.url), remote("two", another.url), limits=limits)
        with running(proxy):
            for name in ("one", "two"):
                proxy.wait_until_told(name, "ready")
            yield proxy, one, another


def fails(status: int) -> Answer:
    body = json.dumps({"code": status, "type": "OfTheHost", "message": ""}).encode()
    return Answer(body, status, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "failure",
    [RESET, *map(fails, (401, 403, 429, 500, 502, 503, 504, 507))],
    ids=lambda each: str(each.status if not each.reset else "reset"),
)
def test_another_host_answers_instead(make_proxy: MakeProxy, failure: Answer) -> None:
    with two(make_proxy, failure, OK) as (proxy, broken, good):
        for _ in range(6):
            assert proxy.post(data=b"picture").status_code == 200
        assert asked(broken) > 0
        assert asked(good) == 6


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_the_handler_says_of_a_picture_is_final(make_proxy: MakeProxy, status: int) -> None:
    with two(make_proxy, fails(status), fails(status)) as (proxy, one, another):
        answer = proxy.post(data=b"picture")
        assert (answer.status_code, answer.json()["type"]) == (status, "OfTheHost")
        assert asked(one) + asked(another) == 1


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (fails(507), 503, "WorkerEndedError"),
        (RESET, 503, "HostGoneError"),
        (fails(401), 503, "HostRefusedError"),
        (fails(500), 500, "OfTheHost"),
        (fails(503), 503, "OfTheHost"),
        (fails(429), 429, "OfTheHost"),
    ],
    ids=["507", "reset", "401", "500", "503", "429"],
)
def test_a_request_that_fails_everywhere_is_tried_so_often_and_no_more(
    make_proxy: MakeProxy, failure: Answer, status: int, kind: str
) -> None:
    with two(make_proxy, failure, failure) as (proxy, one, another):
        answer = proxy.post(data=b"picture")
        assert (answer.status_code, answer.json()["type"]) == (status, kind)
        assert answer.headers.get("Retry-After") == (None if status == 500 else "1")
        assert asked(one) + asked(another) == 3


def test_one_host_is_tried_again_on_itself(make_proxy: MakeProxy) -> None:
    answers = iter([fails(507), OK])
    with serving(answering(lambda _: next(answers))) as host:
        proxy = make_proxy(remote("one", host.url))
        with running(proxy):
            assert proxy.post(data=b"picture").status_code == 200
            wait_for(lambda: bool(proxy.access_log()), "the line of the log")
            (line,) = proxy.access_log()
    assert line["tries"] == "503, 200"


def test_a_silent_host_is_left_for_another(make_proxy: MakeProxy) -> None:
    with silent_and_good(make_proxy, "answer_timeout_s = 1") as (proxy, _, good):
        for _ in range(3):
            assert proxy.post(data=b"picture").status_code == 200
        assert asked(good) == 3


def test_what_hung_a_host_for_long_is_not_handed_to_another(make_proxy: MakeProxy) -> None:
    limits = "answer_timeout_s = 2\nretry_window_s = 1"
    with silent_and_good(make_proxy, limits) as (proxy, silent, good):
        # Two at most go to the good one before the silent one has its turn.
        answers = [proxy.post(data=b"picture") for _ in range(3)]
        late = [each for each in answers if each.status_code != 200]
        assert {each.json()["type"] for each in late} == {"HostSilentError"}
        assert {each.status_code for each in late} == {504}
        assert asked(silent) == len(late)
        assert asked(good) + len(late) == 3


@contextmanager
def silent_and_good(make_proxy: MakeProxy, limits: str) -> Iterator[tuple[Proxy, Server, Server]]:
    over = Event()

    def wait(_request: Request) -> Answer:
        over.wait(TIMEOUT_S)
        return RESET

    with ExitStack() as stack:
        silent = stack.enter_context(serving(answering(wait)))
        good = stack.enter_context(serving(answering(lambda _: OK)))
        proxy = make_proxy(remote("one", silent.url), remote("two", good.url), limits=limits)
        stack.enter_context(running(proxy))
        stack.callback(over.set)
        proxy.wait_until_told("one", "ready")
        proxy.wait_until_told("two", "ready")
        yield proxy, silent, good


def test_without_a_host_the_answer_is_503_at_once(make_proxy: MakeProxy) -> None:
    with refusing() as url:
        proxy = make_proxy(remote("one", url))
        with running(proxy, until="down"):
            answer = proxy.post(data=b"picture")
            ready = proxy.get("/ready")
            assert proxy.get("/live").status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (503, "NoHostError")
    assert answer.headers["Retry-After"] == "1"
    assert (ready.status_code, ready.json()) == (503, {"state": "down"})


def test_a_host_that_is_being_emptied_is_asked_only_when_no_other_is_there(
    make_proxy: MakeProxy,
) -> None:
    states = {"one": "ready", "two": "ready"}

    def host(name: str) -> Callable[[Request], Answer]:
        def respond(request: Request) -> Answer:
            if request.path != LOCAL_READY:
                return OK
            status = 200 if states[name] == "ready" else 503
            return Answer(json.dumps({"state": states[name]}).encode(), status)

        return respond

    with serving(host("one")) as one, serving(host("two")) as two_:
        proxy = make_proxy(remote("one", one.url), remote("two", two_.url))
        with running(proxy):
            proxy.wait_until_told("one", "ready")
            proxy.wait_until_told("two", "ready")
            states["one"] = "draining"
            proxy.wait_until_told("one", "draining")
            wait_until_gone(proxy, one)
            for _ in range(5):
                assert proxy.post(data=b"picture").status_code == 200
            before = asked(one)
            for _ in range(5):
                assert proxy.post(data=b"picture").status_code == 200
            assert asked(one) == before
            states["two"] = "draining"
            # For 0.1 s nginx's old workers answer beside the new ones.
            wait_for(lambda: proxy.get("/ready").status_code == 503, "all are draining")
            proxy.wait_until("draining")
            for _ in range(6):
                assert proxy.post(data=b"picture").status_code == 200
            assert asked(one) > before


def wait_until_gone(proxy: Proxy, server: Server) -> None:
    """Wait until requests do not reach this server any more."""

    def passed_over() -> bool:
        before = asked(server)
        for _ in range(3):
            proxy.post(data=b"picture")
        return asked(server) == before

    wait_for(passed_over, "the host gets nothing new")


def test_a_host_with_tls_is_known_by_its_certificate(
    make_proxy: MakeProxy, certificates: Path
) -> None:
    with serving(answering(lambda _: OK), tls=certificates) as host:
        url = host.url.replace("127.0.0.1", "localhost")
        known = make_proxy(remote("machine", url, f'ca_file = "{certificates}/server.pem"'))
        with running(known):
            assert known.post(data=b"picture").status_code == 200
        stranger = make_proxy(remote("machine", url))
        with running(stranger, until="down"):
            assert stranger.post(data=b"picture").status_code == 503
    assert asked(host) == 1


def test_a_host_may_be_called_like_one_of_nginxs_sockets(make_proxy: MakeProxy) -> None:
    names = ("balance", "nobody", "front")
    with serving(answering(lambda _: OK)) as host:
        proxy = make_proxy(*(remote(name, host.url) for name in names))
        with running(proxy):
            for name in names:
                proxy.wait_until_told(name, "ready")
            for _ in range(6):
                assert proxy.post(data=b"picture").status_code == 200
            wait_for(lambda: {each["host"] for each in proxy.access_log()} == {*names}, "all")

"""Patience with a busy server, and who gets to see the token."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from densenet_client import Client, NoServerError, Prediction, PredictionError
from tests.unit.local_http import Answer, Request, refusing, serving

CONTENT = b"\x89PNG\r\n\x1a\n\x00\xff"
GOOD = Answer(json.dumps({"class_id": "n04507155", "class_name": "umbrella"}).encode())
UMBRELLA = Prediction("n04507155", "umbrella")
BUSY = Answer(b'{"code": 503, "type": "ServiceUnavailableException", "message": "busy"}', 503)
TOO_MANY = Answer(b"slow down", 429)
RESET = Answer(reset=True)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that would have been made, in seconds; none is."""
    made: list[float] = []
    clock = SimpleNamespace(sleep=made.append, time=time.time)
    monkeypatch.setattr("urllib3.util.retry.time", clock)
    return made


def one_after_the_other(answers: Iterable[Answer]) -> Callable[[Request], Answer]:
    waiting: Iterator[Answer] = iter(answers)
    return lambda _: next(waiting)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param([BUSY], id="503"),
        pytest.param([TOO_MANY], id="429"),
        pytest.param([RESET], id="reset"),
        pytest.param([BUSY, RESET, TOO_MANY, BUSY, BUSY], id="five in a row"),
    ],
)
def test_passing_trouble_is_waited_for(trouble: list[Answer]) -> None:
    with serving(one_after_the_other([*trouble, GOOD])) as server, Client(server.url) as client:
        assert client.predict(CONTENT) == UMBRELLA

    assert len(server.requests) == len(trouble) + 1
    assert all(request.form() == {"file": CONTENT} for request in server.requests)


def test_pauses_grow(pauses: list[float]) -> None:
    with serving(one_after_the_other([*[BUSY] * 5, GOOD])) as server, Client(server.url) as client:
        client.predict(CONTENT)

    assert [int(pause) for pause in pauses] == [1, 2, 4, 8]  # the first retry is at once
    assert any(pause % 1 for pause in pauses)  # never in step with others


@pytest.mark.parametrize(("said", "waited"), [("7", 7), ("86400", 60)], ids=["short", "a day"])
def test_retry_after_is_honoured_up_to_a_minute(
    pauses: list[float], said: str, waited: float
) -> None:
    busy = Answer(status=503, headers={"Retry-After": said})

    with serving(one_after_the_other([busy, GOOD])) as server, Client(server.url) as client:
        client.predict(CONTENT)

    assert pauses == [waited]


@pytest.mark.parametrize("retries", [0, 2])
def test_trouble_that_stays_is_the_error_in_the_end(retries: int) -> None:
    with (
        serving(lambda _: BUSY) as server,
        Client(server.url, retries=retries) as client,
        pytest.raises(PredictionError) as caught,
    ):
        client.predict(CONTENT)

    assert str(caught.value) == "503 busy"
    assert len(server.requests) == retries + 1


def test_connection_that_always_breaks_is_no_missing_server() -> None:
    with (
        serving(lambda _: RESET) as server,
        Client(server.url, retries=1) as client,
        pytest.raises(PredictionError) as caught,
    ):
        client.predict(CONTENT)

    assert str(caught.value) == f"the connection to {server.url} broke"
    assert not isinstance(caught.value, NoServerError)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422, 500, 507])
def test_other_errors_are_not_tried_again(status: int) -> None:
    with (
        serving(lambda _: Answer(b"no", status)) as server,
        Client(server.url) as client,
        pytest.raises(PredictionError),
    ):
        client.predict(CONTENT)

    assert len(server.requests) == 1


def test_answer_that_takes_too_long_is_not_asked_for_again() -> None:
    over = Event()

    def never(_: Request) -> Answer:
        over.wait(10)
        return GOOD

    with (
        serving(never) as server,
        Client(server.url, timeout_s=0.2) as client,
        pytest.raises(PredictionError) as caught,
    ):
        client.predict(CONTENT)
    over.set()

    assert str(caught.value) == f"no answer from {server.url} within 0.2 s"
    assert len(server.requests) == 1


def test_server_that_never_was_is_not_waited_for(pauses: list[float]) -> None:
    with refusing() as url, Client(url) as client, pytest.raises(NoServerError):
        client.predict(CONTENT)

    assert pauses == []


def test_server_of_an_image_that_never_was_is_not_waited_for(pauses: list[float]) -> None:
    with refusing() as url, Client() as client, pytest.raises(PredictionError, match="no conn"):
        client.read(url)

    assert pauses == []


def test_server_without_a_secure_connection_is_not_asked_again(pauses: list[float]) -> None:
    with serving(lambda _: GOOD) as server:
        url = server.url.replace("http", "https")
        with Client(url) as client, pytest.raises(PredictionError) as caught:
            client.predict(CONTENT)

    assert str(caught.value) == f"{url} has no TLS, or no valid certificate"
    assert pauses == []


def test_server_that_was_there_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: GOOD) as server:
        client = Client(server.url)
        client.predict(CONTENT)
    with ExitStack() as restarted:

        def restart(_pause: float) -> None:
            port = urlsplit(server.url).port
            restarted.enter_context(serving(lambda _: GOOD, port or 0))

        monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=restart))
        with client:
            assert client.predict(CONTENT) == UMBRELLA


# Who gets to see what.


def test_token_is_sent_whatever_netrc_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))

    with serving(lambda _: GOOD) as server, Client(server.url, token="s3cret") as client:
        client.predict(CONTENT)

    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"


def test_without_a_token_none_is_sent() -> None:
    with serving(lambda _: GOOD) as server, Client(server.url) as client:
        client.predict(CONTENT)

    assert "Authorization" not in server.requests[0].headers


def test_token_stays_with_its_server() -> None:
    with serving(lambda _: Answer(CONTENT)) as web, serving(lambda _: GOOD) as server:
        elsewhere = Answer(status=307, headers={"Location": f"{web.url}/elsewhere"})
        with Client(server.url, token="s3cret") as client:
            client.predict(f"{web.url}/image.png")
        with (
            serving(lambda _: elsewhere) as moved,
            Client(moved.url, token="s3cret") as client,
            pytest.raises(PredictionError),
        ):
            client.predict(CONTENT)

    assert [request.path for request in web.requests] == ["/image.png", "/elsewhere"]
    assert not any("Authorization" in request.headers for request in web.requests)


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with refusing() as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        yield


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])  # noqa: S104
@pytest.mark.usefixtures("dead_proxy")
def test_this_machine_is_reached_without_a_proxy(host: str) -> None:
    with serving(lambda _: GOOD) as server:
        url = server.url.replace("127.0.0.1", host)
        with Client(url) as client:
            assert client.predict(CONTENT) == UMBRELLA
        with serving(lambda _: Answer(CONTENT)) as web, Client(url) as client:
            image = web.url.replace("127.0.0.1", host)
            assert client.predict(image) == UMBRELLA


@pytest.mark.usefixtures("dead_proxy")
def test_other_machines_are_reached_through_the_proxy() -> None:
    url = "http://densenet.invalid/predictions/m"

    with Client(url) as client, pytest.raises(PredictionError) as caught:
        client.predict(CONTENT)

    assert str(caught.value) == f"the proxy does not lead to {url}"

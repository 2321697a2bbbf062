"""Images from the web, and the limits of size and time."""

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from densenet_client import Client, Image, PredictionError
from tests.unit.local_http import Answer, Request, refusing, serving

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(retries=0, max_image_bytes=len(CONTENT), timeout_s=5) as client:
        yield client


def error_of(client: Client, url: str) -> str:
    with pytest.raises(PredictionError) as caught:
        client.read(url)
    assert (caught.value.status, caught.value.type) == (None, None)  # no server's answer
    return str(caught.value)


def test_url_is_fetched(client: Client) -> None:
    with serving(lambda _: Answer(CONTENT)) as web:
        assert client.read(f"{web.url}/a.png?size=1") == CONTENT

    assert [request.path for request in web.requests] == ["/a.png?size=1"]


def test_redirect_is_followed(client: Client) -> None:
    def answer(request: Request) -> Answer:
        if request.path == "/old":
            return Answer(status=302, headers={"Location": "/new"})
        return Answer(CONTENT)

    with serving(answer) as web:
        assert client.read(f"{web.url}/old") == CONTENT


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(Answer(b"x", 404), "it was answered with 404, no image", id="status"),
        pytest.param(Answer(CONTENT[1:], missing=1), "the transfer was cut", id="cut"),
        pytest.param(Answer(reset=True), "no connection", id="reset"),
        pytest.param(
            Answer(CONTENT + b"x", missing=1), "more than 256000 bytes are not sent", id="size"
        ),
    ],
)
def test_url_that_gives_no_image_is_an_error(client: Client, answer: Answer, message: str) -> None:
    with serving(lambda _: answer) as web:
        assert error_of(client, web.url) == message


def test_url_that_nobody_serves_is_an_error(client: Client) -> None:
    with refusing() as url:
        assert error_of(client, url) == "no connection"


def test_url_that_is_none_is_an_error(client: Client) -> None:
    assert error_of(client, "http://[") == "Invalid IPv6 URL"


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(lambda _: CONTENT, id="bytes"),
        pytest.param(lambda path: path, id="path"),
        pytest.param(lambda _: BytesIO(CONTENT), id="file"),
    ],
)
def test_largest_image_is_read_and_one_byte_more_is_not(
    client: Client, tmp_path: Path, image: Callable[[Path], Image]
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(CONTENT)

    assert client.read(image(path)) == CONTENT
    with (
        Client(max_image_bytes=len(CONTENT) - 1) as stricter,
        pytest.raises(PredictionError, match=r"^more than 255999 bytes are not sent$"),
    ):
        stricter.read(image(path))


def test_no_more_is_read_than_tells_that_it_is_too_much(client: Client) -> None:
    endless = BytesIO(CONTENT * 3)

    with pytest.raises(PredictionError):
        client.read(endless)

    assert endless.tell() == len(CONTENT) + 1


def test_endless_file_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)  # as long as it is open, the reader finds no end
    os.write(pipe, CONTENT[:11])

    with Client(max_image_bytes=10) as client, pytest.raises(PredictionError, match="more than 10"):
        client.read(path)

    os.close(pipe)


def test_server_of_an_image_that_says_nothing_is_given_up() -> None:
    over = Event()

    def never(_: Request) -> Answer:
        over.wait(10)
        return Answer()

    with serving(never) as web, Client(timeout_s=0.2) as client:
        assert error_of(client, web.url) == "no answer in time"
    over.set()


def test_trickle_is_given_up_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()  # every look at it is a second later
    seconds = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("densenet_client.images.time", seconds)
    with serving(lambda _: Answer(CONTENT * 40)) as web, Client(timeout_s=2) as client:
        assert error_of(client, web.url) == "it did not arrive within 2 s"

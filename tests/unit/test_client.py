import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from densenet_client.__main__ import main
from densenet_client.predict import DEFAULT_URL, Prediction, PredictionError, predict
from tests.unit.local_http import Answer, Request, Server, refusing, serving

CONTENT = b"\x89PNG\r\n\x1a\n\x00\xff"
GOOD = Answer(json.dumps({"class_id": "n04507155", "class_name": "umbrella"}).encode())
REFUSED = {"code": 415, "type": "UnsupportedImageError", "message": "GIF is not accepted."}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "umbrella.png"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: GOOD) as server:
        yield server


# One file.


def test_answer_becomes_a_prediction(picture: Path, server: Server) -> None:
    assert predict(picture, server.url) == Prediction("n04507155", "umbrella")


def test_more_fields_in_the_answer_are_no_error(picture: Path) -> None:
    answer = Answer(b'{"class_id": "a", "class_name": "ant", "probability": 0.9}')

    with serving(lambda _: answer) as server:
        assert predict(picture, server.url) == Prediction("a", "ant")


def test_file_is_sent_as_form_field_file(picture: Path, server: Server) -> None:
    predict(picture, f"{server.url}/predictions/m")

    (request,) = server.requests
    head, _, rest = request.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="umbrella.png"' in head
    assert rest.startswith(CONTENT + b"\r\n--")
    assert request.path == "/predictions/m"


def test_default_is_the_service_on_this_machine() -> None:
    assert DEFAULT_URL == "http://127.0.0.1:8080/predictions/densenet121"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            Answer(json.dumps(REFUSED).encode(), status=415),
            "415 GIF is not accepted.",
            id="message of the service",
        ),
        pytest.param(Answer(b"<h1>Bad</h1>", status=502), "502 <h1>Bad</h1>", id="no JSON"),
        pytest.param(Answer(b"[1]", status=500), "500 [1]", id="JSON of another form"),
        pytest.param(Answer(b'{"a": 1}', status=500), '500 {"a": 1}', id="JSON without message"),
        pytest.param(Answer(b"", status=404), "404 Not Found", id="no body"),
    ],
)
def test_error_status_is_an_error_with_its_message(
    picture: Path, answer: Answer, message: str
) -> None:
    with serving(lambda _: answer) as server, pytest.raises(PredictionError) as caught:
        predict(picture, server.url)

    assert str(caught.value) == message


def test_no_server_is_an_error_that_says_how_to_start_one(picture: Path) -> None:
    with refusing() as url, pytest.raises(PredictionError) as caught:
        predict(picture, url)

    assert str(caught.value) == f"no server at {url}; start one with ./scripts/serve"


def test_missing_file_is_an_error_before_anything_is_sent(tmp_path: Path, server: Server) -> None:
    with pytest.raises(PredictionError, match=r"^No such file or directory$"):
        predict(tmp_path / "missing.png", server.url)

    assert server.requests == []


def test_folder_is_an_error(tmp_path: Path, server: Server) -> None:
    with pytest.raises(PredictionError, match=r"^Is a directory$"):
        predict(tmp_path, server.url)


def test_url_that_is_none_is_an_error(picture: Path) -> None:
    with pytest.raises(PredictionError, match="Invalid URL"):
        predict(picture, "nowhere")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>a proxy's page</html>", id="no JSON"),
        pytest.param(b'{"prediction": 1}', id="other fields"),
        pytest.param(b"[]", id="no object"),
    ],
)
def test_answer_that_is_no_prediction_is_an_error(picture: Path, body: bytes) -> None:
    with serving(lambda _: Answer(body)) as server, pytest.raises(PredictionError):
        predict(picture, server.url)


# The command.

RunMain = Callable[..., int]


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> RunMain:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["predict", *arguments])
        return main()

    return run


@pytest.fixture
def echo() -> Iterator[Server]:
    """Answer with the file's content as the class; refuse the content `bad`."""

    def answer(request: Request) -> Answer:
        content = request.body.partition(b"\r\n\r\n")[2].partition(b"\r\n")[0].decode()
        if content == "bad":
            return Answer(json.dumps(REFUSED).encode(), status=415)
        return Answer(json.dumps({"class_id": f"id-{content}", "class_name": content}).encode())

    with serving(answer) as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[str]]:
    def write(*contents: str) -> list[str]:
        paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_text(content)
        return [str(path) for path in paths]

    return write


def test_one_line_a_file_in_the_order_asked_for(
    run_main: RunMain,
    echo: Server,
    files: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two, three = files("owl", "ant", "fox")

    run_main("--url", echo.url, three, one, two)

    assert capsys.readouterr() == (
        f"{three}\tid-fox\tfox\n{one}\tid-owl\towl\n{two}\tid-ant\tant\n",
        "",
    )


def test_file_that_fails_does_not_stop_the_others(
    run_main: RunMain,
    echo: Server,
    files: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two, three = files("owl", "bad", "fox")

    run_main("--url", echo.url, one, two, three)

    assert capsys.readouterr() == (
        f"{one}\tid-owl\towl\n{three}\tid-fox\tfox\n",
        f"{two}: 415 GIF is not accepted.\n",
    )


@pytest.mark.parametrize(
    ("contents", "status"),
    [
        pytest.param(["owl"], 0, id="one answer"),
        pytest.param(["owl", "fox"], 0, id="all answers"),
        pytest.param(["bad", "fox"], 1, id="one failure"),
        pytest.param(["bad", "bad"], 1, id="all failures"),
    ],
)
def test_status_tells_whether_every_file_got_an_answer(
    run_main: RunMain,
    echo: Server,
    files: Callable[..., list[str]],
    contents: list[str],
    status: int,
) -> None:
    assert run_main("--url", echo.url, *files(*contents)) == status


def test_no_file_is_a_usage_error(run_main: RunMain, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main()

    assert caught.value.code == 2
    assert "usage: predict" in capsys.readouterr().err

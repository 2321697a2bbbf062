"""The importable client: what it sends, what it returns, what it raises."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from densenet_client import (
    DEFAULT_URL,
    Candidate,
    Client,
    Explanation,
    Image,
    NoServerError,
    Prediction,
    PredictionError,
)
from tests.unit.local_http import Answer, Request, Server, refusing, serving

CONTENT = b"\x89PNG\r\n\x1a\n\x00\xff"
HEATMAP = b"\x89PNG heat"
UMBRELLA = {"class_id": "n04507155", "class_name": "umbrella"}
REFUSED = {"code": 415, "type": "UnsupportedImageError", "message": "PDF is not accepted."}
WAIT_S = 10


def json_answer(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "umbrella.png"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: json_answer(UMBRELLA)) as server:
        yield server


def predicted(answer: Answer, **options: Any) -> Prediction:
    with serving(lambda _: answer) as server, Client(server.url, retries=0) as client:
        return client.predict(CONTENT, **options)


def explained(answer: Answer, **options: Any) -> Explanation:
    with serving(lambda _: answer) as server, Client(f"{server.url}/predictions/m") as client:
        return client.explain(CONTENT, **options)


# Answers.


def test_answer_becomes_a_prediction() -> None:
    assert predicted(json_answer(UMBRELLA)) == Prediction("n04507155", "umbrella", None, ())


def test_prediction_with_candidates() -> None:
    candidates = [{**UMBRELLA, "probability": 0.75}, {**UMBRELLA, "probability": 0.25}]
    answer = {**UMBRELLA, "probability": 0.75, "predictions": candidates}

    assert predicted(json_answer(answer), top_k=2) == Prediction(
        "n04507155",
        "umbrella",
        0.75,
        (Candidate("n04507155", "umbrella", 0.75), Candidate("n04507155", "umbrella", 0.25)),
    )


def test_not_recognised_is_an_answer() -> None:
    prediction = predicted(json_answer({"class_id": None, "class_name": None}))

    assert prediction == Prediction(None, None)
    assert not prediction.recognised


def test_a_class_is_recognised() -> None:
    assert Prediction("n04507155", "umbrella").recognised


def test_explanation_has_heat_maps() -> None:
    encoded = b64encode(HEATMAP).decode()
    entry = {**UMBRELLA, "probability": 0.5, "heatmap": encoded}

    assert explained(json_answer({**entry, "predictions": [entry]})) == Explanation(
        "n04507155",
        "umbrella",
        0.5,
        (Candidate("n04507155", "umbrella", 0.5, HEATMAP),),
        heatmap=HEATMAP,
    )


def test_explanation_without_a_heat_map_is_an_error() -> None:
    with pytest.raises(PredictionError, match="is no DenseNet-121"):
        explained(json_answer(UMBRELLA))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>a proxy's page</html>", id="no JSON"),
        pytest.param(b'{"prediction": 1}', id="other fields"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"class_id": 5, "class_name": "a"}', id="a number for a name"),
        pytest.param(b'{"class_id": "a", "class_name": "a", "predictions": [1]}', id="candidate"),
        pytest.param(b'{"predictions": []}', id="a list of answers"),
    ],
)
def test_answer_that_is_no_prediction_is_an_error(body: bytes) -> None:
    with pytest.raises(PredictionError, match="is no DenseNet-121: it answered"):
        predicted(Answer(body))


@pytest.mark.parametrize(
    ("answer", "message", "type_"),
    [
        pytest.param(
            json_answer(REFUSED, 415), "PDF is not accepted.", REFUSED["type"], id="the service"
        ),
        pytest.param(Answer(b"<h1>Bad</h1>", 502), "<h1>Bad</h1>", None, id="no JSON"),
        pytest.param(Answer(b"[1]", 500), "[1]", None, id="JSON of another form"),
        pytest.param(Answer(b'{"a": 1}', 500), '{"a": 1}', None, id="JSON without message"),
        pytest.param(Answer(b"", 404), "Not Found", None, id="no body"),
    ],
)
def test_error_status_is_an_error_with_what_was_said(
    answer: Answer, message: str, type_: str | None
) -> None:
    with pytest.raises(PredictionError) as caught:
        predicted(answer)

    assert (caught.value.status, caught.value.type) == (answer.status, type_)
    assert caught.value.message == message
    assert str(caught.value) == f"{answer.status} {message}"


# Requests.


@pytest.fixture
def open_file(picture: Path) -> Iterator[Any]:
    with picture.open("rb") as file:
        yield file


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(lambda path, _: path, id="path"),
        pytest.param(lambda path, _: str(path), id="text"),
        pytest.param(lambda path, _: path.read_bytes(), id="bytes"),
        pytest.param(lambda _, file: file, id="file"),
        pytest.param(lambda *_: BytesIO(CONTENT), id="in memory"),
    ],
)
def test_image_is_sent_as_form_field_file(
    server: Server, picture: Path, open_file: Any, image: Callable[..., Image]
) -> None:
    with Client(f"{server.url}/predictions/m") as client:
        client.predict(image(picture, open_file))

    (request,) = server.requests
    assert request.form() == {"file": CONTENT}
    assert request.path == "/predictions/m"
    assert b"umbrella" not in request.body  # names of files are private


def test_open_file_stays_open(server: Server, open_file: Any) -> None:
    with Client(server.url) as client:
        client.predict(open_file)

    assert not open_file.closed


def test_options_are_fields_of_the_form(server: Server) -> None:
    with Client(server.url) as client:
        client.predict(CONTENT, top_k=5, min_probability=0.25)

    (request,) = server.requests
    assert request.form() == {"top_k": b"5", "min_probability": b"0.25", "file": CONTENT}


def test_explanation_is_asked_for_beside_the_prediction() -> None:
    encoded = b64encode(HEATMAP).decode()
    with serving(lambda _: json_answer({**UMBRELLA, "heatmap": encoded})) as server:
        with Client(f"{server.url}/a/predictions/m/1.0") as client:
            client.explain(CONTENT, top_k=3, min_probability=0.5, target="n1")

        (request,) = server.requests
        assert request.path == "/a/explanations/m/1.0"
        assert request.headers["Accept"] == "application/json"
        assert request.form() == {
            "top_k": b"3",
            "min_probability": b"0.5",
            "target": b"n1",
            "file": CONTENT,
        }


def test_overlay_is_the_picture_that_is_answered() -> None:
    with serving(lambda _: Answer(CONTENT)) as server:
        with Client(f"{server.url}/predictions/m") as client:
            assert client.overlay(CONTENT, top_k=2, target="n1") == CONTENT

        (request,) = server.requests
        assert request.path == "/explanations/m"
        assert request.headers["Accept"] == "image/png"
        assert request.form() == {"top_k": b"2", "target": b"n1", "file": CONTENT}


def test_overlay_that_is_no_png_is_an_error(server: Server) -> None:
    with Client(f"{server.url}/predictions/m") as client, pytest.raises(PredictionError) as caught:
        client.overlay(CONTENT)

    assert str(caught.value) == f"{server.url}/explanations/m answered with no PNG"


def test_default_is_the_service_on_this_machine() -> None:
    assert DEFAULT_URL == "http://127.0.0.1:8080/predictions/densenet121"
    with Client() as client:
        assert client.url == DEFAULT_URL
        assert client.explanation_url == "http://127.0.0.1:8080/explanations/densenet121"


# Nothing to ask, nothing to send.


def test_no_server_is_an_error_that_says_how_to_start_one() -> None:
    with refusing() as url, Client(url) as client, pytest.raises(NoServerError) as caught:
        client.predict(CONTENT)

    assert str(caught.value) == f"no server at {url}; start one with ./scripts/serve"
    assert (caught.value.status, caught.value.type) == (None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("missing.png", "No such file or directory", id="missing"),
        pytest.param("", "Is a directory", id="folder"),
        pytest.param("a\0b", "embedded null byte", id="impossible name"),
    ],
)
def test_unreadable_file_is_an_error_before_anything_is_sent(
    tmp_path: Path, server: Server, name: str, message: str
) -> None:
    with Client(server.url) as client, pytest.raises(PredictionError) as caught:
        client.predict(tmp_path / name)

    assert str(caught.value) == message
    assert server.requests == []


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/x", "http://", "http://["])
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"the URL must be like http://127|Invalid IPv6 URL"):
        Client(url)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ü"])
def test_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="the token must be"):
        Client(token=token)


def test_explanations_need_the_address_of_predictions(server: Server) -> None:
    with Client(server.url) as client, pytest.raises(ValueError, match="need a URL like http"):
        client.explain(CONTENT)


# Many.


def test_many_are_answered_in_order_whichever_comes_first() -> None:
    others = Event()

    def answer(request: Request) -> Answer:
        name = request.form()["file"].decode()
        if name == "0":
            assert others.wait(WAIT_S)
        elif name == "2":
            others.set()
        return json_answer({"class_id": name, "class_name": name})

    with serving(answer) as server, Client(server.url) as client:
        answers = list(client.predict_many([b"0", b"1", b"2", b"3"], concurrency=3))

    assert answers == [Prediction(name, name) for name in "0123"]


def test_failure_among_many_stands_in_its_place(tmp_path: Path, server: Server) -> None:
    with Client(server.url) as client:
        first, second, third = client.predict_many([CONTENT, tmp_path / "missing.png", CONTENT])

    assert first == third == Prediction("n04507155", "umbrella")
    assert isinstance(second, PredictionError)
    assert str(second) == "No such file or directory"


def test_many_have_the_options_of_one(server: Server) -> None:
    with Client(server.url) as client:
        list(client.predict_many([CONTENT], top_k=2, min_probability=0.5))

    (request,) = server.requests
    assert request.form() == {"top_k": b"2", "min_probability": b"0.5", "file": CONTENT}

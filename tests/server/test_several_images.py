"""Several images in one request, as a form and as JSON, and the options beside them."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from archive_builder import SAMPLES
from tests.server.harness import Server

TIMEOUT_S = 60
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
MAZE = (SAMPLES / "maze.png").read_bytes()
UMBRELLA_ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}
MAZE_ANSWER = {"class_id": "n03733281", "class_name": "maze"}


def post(server: Server, **options: Any) -> requests.Response:
    return requests.post(server.url, timeout=TIMEOUT_S, **options)


def route(server: Server, path: str) -> str:
    return f"{server.configuration.values['inference_address']}/{path}"


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_parts_of_a_form_are_answered_by_name_and_in_order(demo_server: Server) -> None:
    files = {
        "first": ("1.png", UMBRELLA, "image/png"),
        "second": ("2.txt", b"hello", "text/plain"),
        "third": ("3.png", MAZE, "image/png"),
    }
    response = post(demo_server, files=files)
    assert response.status_code == 200
    first, second, third = response.json()["predictions"]
    assert first == {"name": "first", **UMBRELLA_ANSWER}
    assert (second["name"], second["error"]["code"]) == ("second", 415)
    assert third == {"name": "third", **MAZE_ANSWER}


@pytest.mark.parametrize("name", ["Host", "User-Agent", "Accept", "explain", "url_path"])
def test_a_part_called_like_a_header_is_not_lost(demo_server: Server, name: str) -> None:
    response = post(demo_server, files={name: ("1.png", UMBRELLA), "other": ("2.png", MAZE)})
    answers = {each.pop("name"): each for each in response.json()["predictions"]}
    assert answers == {name: UMBRELLA_ANSWER, "other": MAZE_ANSWER}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_parts_of_one_name_are_noticed(demo_server: Server, *, chunked: bool) -> None:
    parts = [("file", ("a.png", UMBRELLA)), ("file", ("b.png", MAZE))]
    prepared = requests.Request("POST", demo_server.url, files=parts).prepare()
    assert isinstance(prepared.body, bytes)
    headers = {"Content-Type": prepared.headers["Content-Type"]}
    # TorchServe gathers a chunked body and then tells its length like any other.
    body = iter([prepared.body]) if chunked else prepared.body
    response = post(demo_server, data=body, headers=headers)
    assert (response.status_code, response.json()["type"]) == (400, "DuplicatePartError")
    assert "name of its own" in response.json()["message"]


def test_small_parts_of_one_name_escape(demo_server: Server) -> None:
    parts = [("file", ("a.txt", b"hello")), ("file", ("b.png", MAZE))]
    assert post(demo_server, files=parts).json() == MAZE_ANSWER


@pytest.mark.parametrize("path", ["predictions/densenet121", "v1/models/densenet121:predict"])
def test_a_json_document_of_instances(demo_server: Server, path: str) -> None:
    instances = [
        {"b64": text(UMBRELLA)},
        {"data": "not base64!"},
        {"image_bytes": {"b64": text(MAZE)}, "name": "maze.png"},
        f"data:image/png;base64,{text(UMBRELLA)}",
    ]
    url = route(demo_server, path)
    response = requests.post(url, json={"instances": instances}, timeout=TIMEOUT_S)
    assert response.status_code == 200
    first, second, third, fourth = response.json()["predictions"]
    assert first == fourth == UMBRELLA_ANSWER
    assert second["error"]["type"] == "InvalidDocumentError"
    assert third == {"name": "maze.png", **MAZE_ANSWER}


def test_a_plain_list_without_a_content_type(demo_server: Server) -> None:
    response = post(demo_server, data=f'["{text(MAZE)}"]'.encode())
    assert response.json() == {"predictions": [MAZE_ANSWER]}


def test_one_object_is_one_image(demo_server: Server) -> None:
    assert post(demo_server, json={"b64": text(MAZE)}).json() == MAZE_ANSWER


def test_no_more_than_the_setting_allows(demo_server: Server) -> None:
    many = [text(MAZE)] * 33
    assert post(demo_server, json=many).json()["type"] == "TooManyImagesError"
    assert len(post(demo_server, json=many[:32]).json()["predictions"]) == 32


@pytest.mark.parametrize("way", ["form", "json", "parameters", "query"])
def test_options_in_every_place(demo_server: Server, way: str) -> None:
    options = {"top_k": 3, "min_probability": 1}
    if way == "form":
        response = post(demo_server, files={"file": MAZE}, data=options)
    elif way == "json":
        response = post(demo_server, json={"b64": text(MAZE), **options})
    elif way == "parameters":
        response = post(demo_server, json={"b64": text(MAZE), "parameters": options})
    else:
        url = route(demo_server, "models/densenet121/invoke")
        headers = {"Content-Type": "image/png"}
        response = requests.post(url, MAZE, params=options, headers=headers, timeout=TIMEOUT_S)
    answer = response.json()
    assert list(answer) == ["class_id", "class_name", "probability", "predictions"]
    assert (answer["class_id"], answer["class_name"]) == (None, None)
    best, *others = answer["predictions"]
    assert best == {**MAZE_ANSWER, "probability": answer["probability"]}
    assert len(others) == 2


def test_all_classes_of_the_model(demo_server: Server) -> None:
    answer = post(demo_server, files={"file": MAZE}, data={"top_k": 1000}).json()
    assert len({each["class_id"] for each in answer["predictions"]}) == 1000
    assert sum(each["probability"] for each in answer["predictions"]) == pytest.approx(1, abs=1e-3)
    # Class names are not unique, which is why the answer is a list.
    names = [each["class_name"] for each in answer["predictions"]]
    assert names.count("crane") == names.count("maillot") == 2


def test_a_wrong_option_names_the_range(demo_server: Server) -> None:
    response = post(demo_server, files={"file": MAZE}, data={"top_k": "1001"})
    assert (response.status_code, response.json()["type"]) == (400, "InvalidOptionError")
    assert "from 1 to 1000" in response.json()["message"]


def test_images_of_all_requests_of_a_batch_are_answered(batching_server: Server) -> None:
    def ask(number: int) -> list[dict[str, Any]]:
        images = [MAZE, UMBRELLA] if number % 2 else [UMBRELLA]
        response = post(batching_server, json={"instances": [text(each) for each in images]})
        predictions: list[dict[str, Any]] = response.json()["predictions"]
        return predictions

    before = batching_server.count_batches()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert answers[0::2] == [[UMBRELLA_ANSWER]] * 8
    assert answers[1::2] == [[MAZE_ANSWER, UMBRELLA_ANSWER]] * 8
    assert batching_server.count_batches() - before <= 8, "no real batches were formed"

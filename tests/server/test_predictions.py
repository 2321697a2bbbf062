"""What a client sends and gets, over HTTP, from a real TorchServe."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from archive_builder import LABELS, SAMPLES
from densenet_classifier import __version__
from densenet_classifier.openvino_runtime import openvino
from samples.draw import SAMPLES as DRAWINGS
from tests.server.harness import Server

TIMEOUT_S = 60
UMBRELLA = SAMPLES / "umbrella.png"
ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}


def post(server: Server, **options: Any) -> requests.Response:
    return requests.post(server.url, timeout=TIMEOUT_S, **options)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: str(drawing.class_name))
def test_every_sample_is_recognised(any_server: Server, drawing: Any) -> None:
    content = (SAMPLES / f"{drawing.class_name}.png").read_bytes()
    class_id, class_name = json.loads(LABELS.read_text())[str(drawing.index)]
    response = post(any_server, data=content)
    assert response.status_code == 200
    assert response.json() == {"class_id": class_id, "class_name": class_name}


def test_the_tutorials_own_client_works(demo_server: Server) -> None:
    with UMBRELLA.open("rb") as file:
        response = requests.post(demo_server.url, files={"file": file}, timeout=TIMEOUT_S)
    assert response.json() == ANSWER


def test_the_answer_is_one_line_of_json_with_the_two_keys(demo_server: Server) -> None:
    response = post(demo_server, data=UMBRELLA.read_bytes())
    assert response.text == '{"class_id": "n04507155", "class_name": "umbrella"}'
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "content_type",
    [None, "image/png", "application/octet-stream", "text/plain", "application/json"],
)
def test_a_raw_body_of_any_content_type(
    demo_server: Server, method: str, content_type: str | None
) -> None:
    response = requests.request(
        method,
        demo_server.url,
        data=UMBRELLA.read_bytes(),
        headers={"Content-Type": content_type} if content_type else {},
        timeout=TIMEOUT_S,
    )
    assert response.json() == ANSWER


@pytest.mark.parametrize("name", ["file", "data", "image", "body", "explain"])
def test_a_form_field_of_any_name(demo_server: Server, name: str) -> None:
    response = post(demo_server, files={name: ("picture", UMBRELLA.read_bytes(), "image/png")})
    assert response.json() == ANSWER


def test_a_file_without_a_content_type_under_any_name(demo_server: Server) -> None:
    assert post(demo_server, files={"holiday": UMBRELLA.read_bytes()}).json() == ANSWER


def test_other_fields_of_the_form_are_ignored(demo_server: Server) -> None:
    form = {"user": "42", "data": "none", "caption": "BMW at the lake"}
    response = post(demo_server, files={"file": UMBRELLA.read_bytes()}, data=form)
    assert response.json() == ANSWER


def _assert_error(response: requests.Response, code: int, kind: str, *words: str) -> None:
    assert response.status_code == code
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Model-Weights"] == "demo"
    body = response.json()
    assert list(body) == ["code", "type", "message"]
    assert (body["code"], body["type"]) == (code, kind)
    for word in words:
        assert word in body["message"]


def test_no_body_is_400(demo_server: Server) -> None:
    _assert_error(post(demo_server), 400, "NoImageError", "0 bytes")


def test_a_get_is_400(demo_server: Server) -> None:
    _assert_error(requests.get(demo_server.url, timeout=TIMEOUT_S), 400, "NoImageError")


def test_a_form_without_a_file_is_400(demo_server: Server) -> None:
    response = post(demo_server, files={"user": (None, "42")})
    _assert_error(response, 400, "NoImageError", "user", "'file'")


def test_a_field_called_body_is_no_image(demo_server: Server) -> None:
    response = post(demo_server, files={"file": UMBRELLA.read_bytes()}, data={"body": "hello"})
    assert response.json() == ANSWER


def test_an_input_that_was_left_empty_is_no_second_file(demo_server: Server) -> None:
    files = {"file": UMBRELLA.read_bytes(), "x": ("", b"", "application/octet-stream")}
    assert post(demo_server, files=files).json() == ANSWER


def test_an_image_sent_as_urlencoded_form_is_torchserves_own_500(demo_server: Server) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = post(demo_server, data=UMBRELLA.read_bytes(), headers=headers)
    assert response.status_code == 500
    assert response.json()["type"] == "ErrorDataDecoderException"


def test_too_many_bytes_are_413(demo_server: Server) -> None:
    content = UMBRELLA.read_bytes().ljust(10 * 1024 * 1024 + 1, b"\0")
    _assert_error(post(demo_server, data=content), 413, "ImageTooLargeError", "10485760")


def test_more_than_max_request_size_is_torchserves_bare_413(demo_server: Server) -> None:
    response = post(demo_server, data=bytes(32 * 1024 * 1024 + 1))
    assert (response.status_code, response.content) == (413, b"")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"%PDF-1.7 ...", "application/pdf"),
        (b"hello", "text/plain"),
        (b"<svg/>", "image/svg+xml"),
        (b"\xff\xfe\x00\x01", "text/plain"),
    ],
    ids=["pdf", "text", "svg", "no-utf8"],
)
def test_what_is_no_image_is_415(demo_server: Server, content: bytes, content_type: str) -> None:
    response = post(demo_server, data=content, headers={"Content-Type": content_type})
    _assert_error(response, 415, "UnsupportedImageError")


def test_a_truncated_image_is_422(demo_server: Server) -> None:
    response = post(demo_server, data=UMBRELLA.read_bytes()[:5000])
    _assert_error(response, 422, "UndecodableImageError", "PNG")


def test_too_many_pixels_are_422(demo_server: Server, huge_png: bytes) -> None:
    response = post(demo_server, data=huge_png)
    _assert_error(response, 422, "TooManyPixelsError", "12000 x 12000", "50000000")


@pytest.mark.parametrize("header", ["describe", "explain"])
def test_a_clients_own_control_headers_do_no_harm(demo_server: Server, header: str) -> None:
    headers = {header: "True"}
    assert post(demo_server, data=UMBRELLA.read_bytes(), headers=headers).json() == ANSWER
    _assert_error(post(demo_server, headers=headers), 400, "NoImageError")


def test_a_header_named_like_the_form_field_does_no_harm(demo_server: Server) -> None:
    files = {"file": UMBRELLA.read_bytes()}
    assert post(demo_server, files=files, headers={"file": "1"}).json() == ANSWER


def test_the_weights_are_named_in_every_answer(any_server: Server) -> None:
    expected = any_server.note().archive["weights"]["name"]
    response = post(any_server, data=UMBRELLA.read_bytes())
    assert response.headers["X-Model-Weights"] == expected


def test_the_model_describes_itself(any_server: Server) -> None:
    url = f"{any_server.configuration.model_url}?customized=true"
    (model,) = requests.get(url, timeout=TIMEOUT_S).json()
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert model["customizedMetadata"] == {
        "version": __version__,
        "weights": any_server.note().archive["weights"],
        "engine": "openvino",
        "precision": "bf16" if "BF16" in capabilities else "float32",
        "device": "cpu",
        "classes": 1000,
    }


def test_models_are_neither_registered_nor_deleted(demo_server: Server) -> None:
    models = demo_server.configuration.model_url.rsplit("/", 1)[0]
    register = requests.post(models, params={"url": "http://127.0.0.1/x.mar"}, timeout=TIMEOUT_S)
    delete = requests.delete(demo_server.configuration.model_url, timeout=TIMEOUT_S)
    assert (register.status_code, delete.status_code) == (405, 405)


def test_predict_prints_a_line_for_each_file(demo_server: Server, tmp_path: Path) -> None:
    (tmp_path / "no image.jpg").write_text("hello")
    files = [str(SAMPLES / "maze.png"), str(tmp_path / "no image.jpg"), str(UMBRELLA)]
    result = demo_server.script("predict", *files)  # the address is the configuration's
    assert result.stdout.splitlines() == [
        f"{files[0]}\tn03733281\tmaze",
        f"{files[2]}\tn04507155\tumbrella",
    ]
    assert "no image.jpg: 415" in result.stderr
    assert result.returncode == 1

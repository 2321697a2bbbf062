"""The Open Inference Protocol V2 with Triton's client, on the route that TorchServe has for it."""

import base64
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from archive_builder import SAMPLES
from tests.server.harness import Server

with warnings.catch_warnings():
    # geventhttpclient imports a module that urllib3 has renamed.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tritonclient import http as triton
    from tritonclient.utils import InferenceServerException

MODEL = "densenet121"
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
MAZE = (SAMPLES / "maze.png").read_bytes()


@pytest.fixture(scope="module")
def client(demo_server: Server) -> Iterator[triton.InferenceServerClient]:
    address = demo_server.configuration.values["inference_address"].removeprefix("http://")
    with triton.InferenceServerClient(address) as result:
        yield result


def tensor(*elements: bytes, binary: bool, shape: list[int] | None = None) -> triton.InferInput:
    result = triton.InferInput("image", shape or [len(elements)], "BYTES")
    values = np.array(elements, dtype=object).reshape(shape or [len(elements)])
    result.set_data_from_numpy(values, binary_data=binary)
    return result


def texts(result: triton.InferResult, name: str) -> Any:
    values = result.as_numpy(name)
    assert values is not None, f"no output {name}"
    return values.ravel().tolist()


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_base64_in_and_named_outputs_back(
    client: triton.InferenceServerClient, *, binary: bool
) -> None:
    images = [base64.b64encode(content) for content in (UMBRELLA, MAZE)]
    result = client.infer(MODEL, [tensor(*images, binary=binary)], request_id="r1")
    assert texts(result, "class_id") == ["n04507155", "n03733281"]
    assert texts(result, "class_name") == ["umbrella", "maze"]
    assert (result.as_numpy("probability") > 0.9).all()
    assert result.get_response()["id"] == "r1"


def test_images_as_they_are_in_binary_data(client: triton.InferenceServerClient) -> None:
    result = client.infer(MODEL, [tensor(MAZE, UMBRELLA, MAZE, binary=True, shape=[3, 1])])
    assert texts(result, "class_name") == ["maze", "umbrella", "maze"]


def test_parameters_and_requested_outputs(client: triton.InferenceServerClient) -> None:
    wanted = [triton.InferRequestedOutput(name) for name in ("class_id", "top_k_probability")]
    result = client.infer(
        MODEL, [tensor(UMBRELLA, binary=True)], outputs=wanted, parameters={"top_k": 3}
    )
    assert [output["name"] for output in result.get_response()["outputs"]] == [
        "class_id",
        "top_k_probability",
    ]
    probabilities = result.as_numpy("top_k_probability")
    assert probabilities.shape == (1, 3)
    assert (np.diff(probabilities) <= 0).all()


def test_what_is_not_recognised_is_an_empty_text(client: triton.InferenceServerClient) -> None:
    result = client.infer(
        MODEL, [tensor(UMBRELLA, MAZE, binary=True)], parameters={"min_probability": 1.0}
    )
    assert texts(result, "class_id") == ["", ""]


def test_a_bad_image_leaves_its_neighbour_alone(client: triton.InferenceServerClient) -> None:
    result = client.infer(MODEL, [tensor(UMBRELLA[:5000], MAZE, binary=True)])
    assert texts(result, "class_name") == ["", "maze"]
    errors = texts(result, "error")
    assert "truncated" in errors[0]
    assert errors[1] == ""


@pytest.mark.parametrize(
    ("elements", "options", "message"),
    [
        ([b"hello"], {}, "415|no image"),
        ([UMBRELLA], {"parameters": {"top_k": 0}}, "top_k must be"),
        ([UMBRELLA] * 33, {}, "at most 32"),
    ],
    ids=["no-image", "option", "too-many"],
)
def test_errors_in_the_form_of_the_protocol(
    client: triton.InferenceServerClient,
    elements: list[bytes],
    options: dict[str, Any],
    message: str,
) -> None:
    images = [base64.b64encode(content) for content in elements]
    with pytest.raises(InferenceServerException, match=message):
        client.infer(MODEL, [tensor(*images, binary=False)], **options)


def test_explanations_are_an_output(demo_server: Server) -> None:
    address = demo_server.configuration.values["inference_address"]
    image = {"name": "image", "datatype": "BYTES", "shape": [1]}
    body = {"inputs": [{**image, "data": [base64.b64encode(MAZE).decode()]}]}
    response = requests.post(f"{address}/v2/models/{MODEL}/explain", json=body, timeout=60)
    outputs = {each["name"]: each for each in response.json()["outputs"]}
    assert outputs["heatmap"]["shape"] == [1]
    assert base64.b64decode(outputs["heatmap"]["data"][0]).startswith(b"\x89PNG")


@pytest.mark.parametrize("path", ["v2/health/ready", f"v2/models/{MODEL}", "v2"])
def test_torchserve_has_no_other_route_of_the_protocol(demo_server: Server, path: str) -> None:
    address = demo_server.configuration.values["inference_address"]
    assert requests.get(f"{address}/{path}", timeout=60).status_code == 404

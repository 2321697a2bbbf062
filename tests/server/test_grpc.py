"""TorchServe's gRPC `Predictions`, with a client made from the definitions in TorchServe itself."""

import importlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import grpc_tools
import pytest
from google.rpc import status_pb2
from grpc_tools import protoc

from archive_builder import SAMPLES
from tests.server.harness import Server

TIMEOUT_S = 60
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
MAZE = (SAMPLES / "maze.png").read_bytes()

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(demo_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Return a function `ask(field=content, ...) -> decoded answer`."""
    folder = tmp_path_factory.mktemp("grpc")
    messages, services = _compiled(folder)
    port = demo_server.configuration.values["grpc_inference_port"]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = services.InferenceAPIsServiceStub(channel)

        def _ask(model_name: str = "densenet121", **fields: bytes) -> Any:
            request = messages.PredictionsRequest(model_name=model_name, input=fields)
            return json.loads(stub.Predictions(request, timeout=TIMEOUT_S).prediction)

        yield _ask


def _compiled(folder: Path) -> tuple[Any, Any]:
    package = find_spec("ts")  # importing it would leave a file open
    assert package is not None
    jar = Path(str(package.origin)).with_name("frontend") / "model-server.jar"
    with zipfile.ZipFile(jar) as archive:
        (folder / "inference.proto").write_bytes(archive.read("proto/inference.proto"))
    includes = [
        folder,
        files(grpc_tools) / "_proto",
        Path(status_pb2.__file__).parents[2],
    ]
    options = [f"-I{path}" for path in includes]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *options, *outputs, "inference.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        modules = [importlib.import_module(f"inference_pb2{end}") for end in ("", "_grpc")]
    finally:
        sys.path.remove(str(folder))
    return modules[0], modules[1]


@pytest.mark.parametrize("name", ["data", "file", "body", "picture"])
def test_an_image_under_any_name(ask: Ask, name: str) -> None:
    assert ask(**{name: UMBRELLA}) == {"class_id": "n04507155", "class_name": "umbrella"}


def test_options_are_fields(ask: Ask) -> None:
    answer = ask(data=UMBRELLA, top_k=b"2", min_probability=b"1")
    assert answer["class_id"] is None
    assert len(answer["predictions"]) == 2


def test_several_images(ask: Ask) -> None:
    answer = ask(one=UMBRELLA, two=MAZE)
    assert {each["name"]: each["class_name"] for each in answer["predictions"]} == {
        "one": "umbrella",
        "two": "maze",
    }


def test_a_json_document(ask: Ask) -> None:
    answer = ask(body=b'{"instances": ["!"]}')
    assert answer["predictions"][0]["error"]["type"] == "InvalidDocumentError"


def test_an_error_is_an_answer_with_its_code_inside(ask: Ask) -> None:
    # TorchServe does not carry a status that a handler sets into gRPC.
    assert ask(data=b"hello")["code"] == 415


def test_nothing_sent(ask: Ask) -> None:
    assert ask()["type"] == "NoImageError"


def test_another_model_is_torchserves_own_error(ask: Ask) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask("no-such-model", data=UMBRELLA)
    assert "Model not found: no-such-model" in str(caught.value)

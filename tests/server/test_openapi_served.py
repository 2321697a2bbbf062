"""What a server answers, held against the description that it serves of itself."""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings, strategies
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from archive_builder import SAMPLES
from densenet_classifier.openapi import openapi_document
from samples.draw import SAMPLES as SAMPLE_DRAWINGS
from tests.server.harness import Server

Case = schemathesis.Case[Any]

TIMEOUT_S = 60
DRAWINGS = [drawing.class_name for drawing in SAMPLE_DRAWINGS]
OPENAPI = "application/openapi+json"
PREDICTIONS = "/predictions/densenet121"
EXPLANATIONS = "/explanations/densenet121"
INVOKE = "/models/densenet121/invoke"
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
PICTURE = base64.b64encode(UMBRELLA).decode()

OPERATIONS = [
    pytest.param(path, method, id=f"{method.upper()} {path}")
    for path, item in json.loads(openapi_document("densenet121"))["paths"].items()
    for method in item
]
# Requests at and beyond every limit of the schema; the other addresses share theirs with these.
COVERED = [(PREDICTIONS, "post"), (EXPLANATIONS, "post"), (INVOKE, "post")]
SETTINGS = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # a slow machine is no fault of the document
)

# Whole pictures, broken ones and none: a schema cannot say which bytes are an image.
CONTENTS = strategies.one_of(
    strategies.sampled_from([UMBRELLA, UMBRELLA[:5000], b"", b"hello"]),
    strategies.binary(max_size=100),
)
# A request without a body that accepts a document is answered with it at every address, which is
# described once, at GET, and has a test of its own; so no other operation is asked for one.
ACCEPTS = ["*/*", "application/json", "image/png", "image/*;q=0.5, text/plain"]
DOCUMENTS = ["text/html", OPENAPI, "application/vnd.oai.openapi+json"]


def server_error(context: Any, response: Any, case: Case) -> bool | None:
    """Allow the one 5xx that TorchServe answers before the handler is asked."""
    if case.media_type == "multipart/form-data" and response.status_code == 500:
        # A part without a name: described with the status 500.
        assert response.json()["type"] == "ErrorDataDecoderException"
        return None
    return not_a_server_error(context, response, case)


# Left out of schemathesis' checks, each for a reason:
# - positive_data_acceptance: what fits the schema may be no image;
# - negative_data_rejection: what is wrong with one image of a list stands in an answer of 200, and
#   forms and addresses without options ignore what they do not know;
# - unsupported_method, allow_header_conformance: TorchServe treats every method as POST;
# - ignored_auth: whether a token is asked for, the operator decides;
# - the others are about resources that are made and deleted; there are none.
CHECKS: Any = [
    server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def address(server: Server, path: str) -> str:
    parts = urlsplit(server.url)
    return f"{parts.scheme}://{parts.netloc}{path}"


@pytest.fixture(scope="module")
def document(demo_server: Server) -> dict[str, Any]:
    """Return the document as it is served."""
    response = requests.get(demo_server.url, headers={"Accept": OPENAPI}, timeout=TIMEOUT_S)
    assert response.status_code == 200
    result: dict[str, Any] = response.json()
    return result


@pytest.fixture(scope="module")
def schema(demo_server: Server, document: dict[str, Any]) -> Any:
    """Return the document as schemathesis takes it, with pictures to send as images."""
    kinds = ("jpeg", "png", "webp", "avif", "gif", "bmp", "tiff")
    schemathesis.openapi.media_type(
        "application/octet-stream", CONTENTS, aliases=[f"image/{kind}" for kind in kinds]
    )
    texts = CONTENTS.map(lambda content: base64.b64encode(content).decode())
    schemathesis.openapi.format("byte", strategies.one_of(texts, strategies.text(max_size=20)))
    # Not `from_url`: it leaves out the operation that serves the document.
    result = schemathesis.openapi.from_dict(document)
    result.config.update(base_url=address(demo_server, ""))
    load_all_checks()

    # OpenAPI has no parameter for this header.
    @result.hook
    def flatmap_case(_context: Any, case: Case) -> Any:
        def accepting(accept: str) -> Case:
            case.headers["Accept"] = accept
            return case

        accepts = ACCEPTS + DOCUMENTS if case.method == "GET" else ACCEPTS
        return strategies.sampled_from(accepts).map(accepting)

    return result


def assert_described(schema: Any, path: str, response: requests.Response) -> None:
    """Hold one answer to a request of the test's own against the document."""
    operation = schema[path][str(response.request.method)]
    operation.Case().validate_response(response, checks=CHECKS)


def same(answer: Any, example: Any) -> bool:
    """Compare, with some tolerance for a probability and without the end of a heat map."""
    if isinstance(example, dict):
        return list(answer) == list(example) and all(
            answer[key].startswith(value) if key == "heatmap" else same(answer[key], value)
            for key, value in example.items()
        )
    if isinstance(example, list):
        return len(answer) == len(example) and all(map(same, answer, example))
    return bool(
        answer == (pytest.approx(example, abs=0.05) if isinstance(example, float) else example)
    )


@pytest.mark.parametrize("media_type", [OPENAPI, "application/vnd.oai.openapi+json"])
def test_the_document_is_served(demo_server: Server, media_type: str) -> None:
    response = requests.get(demo_server.url, headers={"Accept": media_type}, timeout=TIMEOUT_S)
    assert response.headers["Content-Type"] == media_type
    assert response.text == openapi_document("densenet121")


@pytest.mark.parametrize("path", [PREDICTIONS, EXPLANATIONS])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_request_without_a_body_is_answered_like_get(
    demo_server: Server, path: str, method: str
) -> None:
    url, headers = address(demo_server, path), {"Accept": OPENAPI}
    response = requests.request(method, url, headers=headers, timeout=TIMEOUT_S)
    assert response.text == openapi_document("densenet121")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_nothing_is_answered_that_is_not_described(schema: Any, path: str, method: str) -> None:
    def check(case: Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=TIMEOUT_S)

    modes = [HypothesisTestMode.EXAMPLES, HypothesisTestMode.FUZZING]
    if (path, method) in COVERED:
        modes.append(HypothesisTestMode.COVERAGE)
    # What schemathesis' own parametrization calls; that one needs a pytest of before 9.2.
    create_test(
        operation=schema[path][method],
        test_func=check,
        config=HypothesisTestConfig(project=schema.config, modes=modes, settings=SETTINGS),
    )()


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_answer_to_a_sample_is_described(demo_server: Server, schema: Any, name: str) -> None:
    content = (SAMPLES / f"{name}.png").read_bytes()
    for path, top_k in ((PREDICTIONS, "1000"), (EXPLANATIONS, "10")):
        response = requests.post(
            address(demo_server, path),
            files={"file": content},
            data={"top_k": top_k},
            timeout=TIMEOUT_S,
        )
        assert response.json()["class_name"] == name
        assert len(response.json()["predictions"]) == int(top_k)
        assert_described(schema, path, response)


FORM = {"one": UMBRELLA, "two": UMBRELLA[:5000], "three": b"hello"}
INSTANCES = [{"b64": PICTURE, "name": "one"}, {"data": {"b64": "!"}}, PICTURE]
TENSOR = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [PICTURE, "aGVsbG8="]}


@pytest.mark.parametrize("path", [PREDICTIONS, EXPLANATIONS])
@pytest.mark.parametrize(
    "request_body",
    [
        {"files": FORM},
        {"files": FORM, "data": {"top_k": "2"}},
        {"json": {"instances": INSTANCES, "min_probability": 1}},
        {"json": INSTANCES},
        {"json": {"id": "7", "inputs": [TENSOR], "parameters": {"top_k": 2}}},
        {"json": {"inputs": [TENSOR], "outputs": [{"name": "top_k_class_id"}, {"name": "error"}]}},
    ],
    ids=["form", "form-top-k", "instances", "list", "tensor", "outputs"],
)
def test_the_answer_to_several_images_is_described(
    demo_server: Server, schema: Any, path: str, request_body: dict[str, Any]
) -> None:
    response = requests.post(address(demo_server, path), timeout=TIMEOUT_S, **request_body)
    assert response.status_code == 200
    assert_described(schema, path, response)


def test_the_picture_of_an_explanation_is_described(demo_server: Server, schema: Any) -> None:
    response = requests.post(
        address(demo_server, EXPLANATIONS),
        data=UMBRELLA,
        headers={"Accept": "image/png"},
        timeout=TIMEOUT_S,
    )
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")
    assert_described(schema, EXPLANATIONS, response)


@pytest.mark.parametrize(
    ("status", "kind", "request_body"),
    [
        (400, "NoImageError", {"data": b""}),
        (400, "InvalidOptionError", {"files": FORM, "data": {"top_k": "1001"}}),
        (400, "InvalidDocumentError", {"json": {"inputs": []}}),
        (413, "ImageTooLargeError", {"data": UMBRELLA.ljust(10 * 1024 * 1024 + 1, b"\0")}),
        (415, "UnsupportedImageError", {"data": b"hello"}),
        (422, "UndecodableImageError", {"data": UMBRELLA[:5000]}),
        # A form that TorchServe cannot read.
        (500, "ErrorDataDecoderException", {"files": {"": UMBRELLA}}),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_an_error_is_described(
    demo_server: Server, schema: Any, status: int, kind: str, request_body: dict[str, Any]
) -> None:
    response = requests.post(demo_server.url, timeout=TIMEOUT_S, **request_body)
    assert (response.status_code, response.json()["type"]) == (status, kind)
    checks = [check for check in CHECKS if check is not server_error]
    schema[PREDICTIONS]["POST"].Case().validate_response(response, checks=checks)


def test_a_version_that_is_not_served_is_described(demo_server: Server, schema: Any) -> None:
    response = requests.post(f"{demo_server.url}/99", data=UMBRELLA, timeout=TIMEOUT_S)
    assert response.status_code == 404
    assert_described(schema, PREDICTIONS, response)


def _answer(server: Server, document: dict[str, Any], name: str) -> tuple[Any, Any]:
    """Send the document of an example; return the answer, and the example of one."""
    examples = document["components"]["examples"]
    path = EXPLANATIONS if name == "Explanation" else PREDICTIONS
    body = examples[f"{name}Document"]["value"]
    response = requests.post(address(server, path), json=body, timeout=TIMEOUT_S)
    return response.json(), examples[name]["value"]


@pytest.mark.parametrize("name", ["One", "NotRecognised", "List", "Explanation"])
def test_an_example_is_answered_as_written(
    any_server: Server, document: dict[str, Any], name: str
) -> None:
    answer, example = _answer(any_server, document, name)
    assert same(answer, example)


@pytest.mark.parametrize("name", ["TopK", "Tensor"])
def test_an_example_with_other_classes_is_answered_as_written(
    real_server: Server, document: dict[str, Any], name: str
) -> None:
    answer, example = _answer(real_server, document, name)
    assert same(answer, example)


@pytest.mark.parametrize(
    ("name", "request_body"),
    [
        ("NoImage", {"data": b""}),
        ("InvalidOption", {"json": {"b64": PICTURE, "top_k": 5000}}),
        ("Unsupported", {"data": b"hello"}),
    ],
    ids=["NoImage", "InvalidOption", "Unsupported"],
)
def test_an_example_of_an_error_is_answered_as_written(
    demo_server: Server, document: dict[str, Any], name: str, request_body: dict[str, Any]
) -> None:
    response = requests.post(demo_server.url, timeout=TIMEOUT_S, **request_body)
    assert response.json() == document["components"]["examples"][name]["value"]

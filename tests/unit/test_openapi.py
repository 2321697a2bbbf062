import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from densenet_classifier import __version__, tensors
from densenet_classifier.documents import MAX_NAME
from densenet_classifier.errors import RequestError
from densenet_classifier.formats import FORMATS
from densenet_classifier.openapi import openapi_document
from densenet_classifier.options import MAX_HEAT_MAPS, MAX_TOP_K, OPTION_NAMES
from densenet_classifier.settings import Settings

DOCUMENT: dict[str, Any] = json.loads(openapi_document("densenet121"))
SCHEMAS = DOCUMENT["components"]["schemas"]
RESPONSES = DOCUMENT["components"]["responses"]
EXAMPLES = DOCUMENT["components"]["examples"]
PREDICTIONS = {
    "/predictions/densenet121": {"post", "put"},
    "/models/densenet121/invoke": {"post"},
    "/v1/models/densenet121:predict": {"post"},
    "/v2/models/densenet121/infer": {"post"},
}
EXPLANATIONS = {
    "/explanations/densenet121": {"post"},
    "/v1/models/densenet121:explain": {"post"},
    "/v2/models/densenet121/explain": {"post"},
}
ERRORS = RequestError.__subclasses__()
CANDIDATE = {"class_id": "n1", "class_name": "one", "probability": 0.5}
NOTHING = {"class_id": None, "class_name": None}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, where the node is one."""
    while "$ref" in node:
        target: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def is_valid(value: object, schema: dict[str, Any]) -> bool:
    """Judge a value by a schema of the document."""
    resource = Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    based = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    valid: bool = Draft202012Validator(based, registry=registry).is_valid(value)
    return valid


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def image_operations() -> list[Any]:
    return [
        pytest.param(operation, id=operation["operationId"])
        for _, method, operation in operations()
        if method != "get"
    ]


def media_types() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield everything in the document that may have both a schema and examples."""
    for group in ("requestBodies", "responses"):
        for name, holder in DOCUMENT["components"][group].items():
            for kind, content in holder.get("content", {}).items():
                yield f"{name}-{kind}", content


def test_it_is_openapi_3_1() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_its_version_is_the_packages() -> None:
    assert DOCUMENT["info"]["version"] == __version__


def test_every_route_to_the_handler_is_described() -> None:
    described: dict[str, set[str]] = {}
    for path, method, _ in operations():
        described.setdefault(path, set()).add(method)
    described["/predictions/densenet121"].remove("get")
    assert described == PREDICTIONS | EXPLANATIONS


def test_the_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["flowers", "121", "a.b-c_d"])
def test_another_models_name_is_in_its_place(name: str) -> None:
    text = openapi_document(name)
    document = json.loads(text)
    assert list(document["paths"]) == [
        path.replace("densenet121", name) for path in DOCUMENT["paths"]
    ]
    answer = document["components"]["schemas"]["TensorAnswer"]
    assert answer["properties"]["model_name"] == {"const": name}
    assert "densenet121" not in text


def test_the_error_types_are_those_of_the_code() -> None:
    assert sorted(SCHEMAS["ErrorType"]["enum"]) == sorted(error.__name__ for error in ERRORS)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.__name__))
def test_an_error_has_its_status_and_no_other(error: type[RequestError]) -> None:
    assert f"`{error.__name__}`:" in SCHEMAS["ErrorType"]["description"]
    for code in {int(other.status) for other in ERRORS}:
        body = {"code": code, "type": error.__name__, "message": "It is wrong."}
        assert is_valid(body, SCHEMAS["RequestError"]) == (code == error.status)


@pytest.mark.parametrize("operation", image_operations())
def test_every_status_is_documented_where_images_are_sent(operation: dict[str, Any]) -> None:
    statuses = {str(int(error.status)) for error in ERRORS}
    # TorchServe's own: an unknown model, a full queue, a worker that died.
    assert set(operation["responses"]) == statuses | {"200", "404", "503", "507"}
    for error in ERRORS:
        response = resolved(operation["responses"][str(int(error.status))])
        body = {"code": int(error.status), "type": error.__name__, "message": "It is wrong."}
        assert is_valid(body, response["content"]["application/json"]["schema"])


@pytest.mark.parametrize("operation", image_operations())
def test_the_models_answers_name_the_weights(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        headers = resolved(response).get("headers", {})
        assert ("X-Model-Weights" in headers) == (status not in ("404", "507"))


@pytest.mark.parametrize("body", ["Predict", "Explain"])
def test_the_image_types_are_the_accepted_formats(body: str) -> None:
    content = DOCUMENT["components"]["requestBodies"][body]["content"]
    images = {f"image/{name.lower()}" for name in FORMATS}
    others = {"application/octet-stream", "multipart/form-data", "application/json"}
    assert set(content) == images | others
    declared = content["multipart/form-data"]["encoding"]["file"]["contentType"]
    assert set(declared.split(", ")) == images | {"application/octet-stream"}
    for name in FORMATS:
        assert name in SCHEMAS["ImageFile"]["description"]


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("TopK", 1, MAX_TOP_K),
        ("HeatMaps", 1, MAX_HEAT_MAPS),
        ("MinProbability", 0, 1),
    ],
)
def test_an_option_has_the_range_of_the_code(name: str, lowest: int, highest: int) -> None:
    assert (SCHEMAS[name]["minimum"], SCHEMAS[name]["maximum"]) == (lowest, highest)


def test_as_many_classes_are_answered_as_can_be_asked_for() -> None:
    fields = ("ClassificationFields", "ExplanationFields")
    most = [SCHEMAS[name]["properties"]["predictions"]["maxItems"] for name in fields]
    assert most == [MAX_TOP_K, MAX_HEAT_MAPS]


def test_the_options_are_those_of_the_code() -> None:
    explained, predicted = (
        set(SCHEMAS[f"{kind}Options"]["properties"]) for kind in ("Explanation", "Prediction")
    )
    assert explained == set(OPTION_NAMES)
    assert predicted == explained - {"target"}
    for kind, options in (("Explanation", explained), ("Prediction", predicted)):
        assert set(SCHEMAS[f"{kind}Form"]["properties"]) == options | {"file"}
    query = DOCUMENT["paths"]["/models/densenet121/invoke"]["post"]["parameters"]
    assert {parameter["name"] for parameter in query} == predicted


def test_the_limits_are_those_of_the_settings() -> None:
    rows = [line.split("|") for line in DOCUMENT["info"]["description"].splitlines() if "|" in line]
    limits = {name.strip(" `"): value.strip() for _, name, value, *_ in rows[2:]}
    settings = asdict(Settings()).items()
    no_limits = ("min_probability", "max_perplexity", "engine", "precision")
    assert limits == {name: str(value) for name, value in settings if name not in no_limits}


def test_a_name_has_the_length_of_the_code() -> None:
    names = [
        SCHEMAS["PredictionForm"]["propertyNames"],
        SCHEMAS["ExplanationForm"]["propertyNames"],
        SCHEMAS["NamedImage"]["properties"]["name"],
        SCHEMAS["ImageName"],
        SCHEMAS["TensorRequest"]["properties"]["id"],
        SCHEMAS["TensorAnswer"]["properties"]["id"],
    ]
    assert {name["maxLength"] for name in names} == {MAX_NAME}


def test_the_tensors_are_those_of_the_code() -> None:
    for datatype, name in (("BYTES", "TextTensorName"), ("FP32", "NumberTensorName")):
        names = {each for each, kind in tensors.OUTPUTS.items() if kind == datatype}
        assert set(SCHEMAS[name]["enum"]) == names


@pytest.mark.parametrize(
    "content",
    [pytest.param(content, id=name) for name, content in media_types() if "examples" in content],
)
def test_the_examples_fit_their_schemas(content: dict[str, Any]) -> None:
    for example in content["examples"].values():
        assert is_valid(resolved(example)["value"], content["schema"])


def test_every_example_is_used() -> None:
    used = [
        example["$ref"].rpartition("/")[2]
        for _, content in media_types()
        for example in content.get("examples", {}).values()
    ]
    assert sorted(used) == sorted(EXAMPLES)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Classification", {**NOTHING, "probability": 0.5}),
        ("Classification", {**NOTHING, "predictions": [CANDIDATE]}),
        ("Classification", {**NOTHING, "name": "cat.jpg"}),
        ("Classification", {"class_id": "n1", "class_name": None}),
        ("Classification", {"class_id": "n1"}),
        ("Classification", {**CANDIDATE, "predictions": [{**CANDIDATE, "more": 1}]}),
        ("Classification", {**CANDIDATE, "probability": 1.5, "predictions": [CANDIDATE]}),
        ("ClassificationList", {"predictions": []}),
        ("ClassificationList", {"predictions": [{**NOTHING, "heatmap": "abcd"}]}),
        ("ClassificationList", {"predictions": [{"error": {"code": 415}}]}),
        ("Explanation", {**NOTHING, "probability": 0.5}),
        ("Explanation", {**NOTHING, "probability": 0.5, "heatmap": "abcd"}),
        ("TensorAnswer", {"model_name": "flowers", "outputs": []}),
        ("TensorAnswer", {"model_name": "densenet121", "outputs": [{"name": "class_id"}]}),
        ("TorchServeError", {"code": 400, "type": "NoImageError", "message": "None came."}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_what_is_never_answered_is_refused(name: str, answer: dict[str, Any]) -> None:
    assert not is_valid(answer, SCHEMAS[name])

"""Structure, not bytes: whatever documents, forms and options say, the contract is kept."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reliability.fuzzing.cases import Case, Cases
from reliability.fuzzing.judging import faults
from reliability.fuzzing.wire import Parameter, Request
from reliability.fuzzing.worker import Worker

# The same examples in every run: another machine's failure can be looked at here.
structure = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

KEYS = st.sampled_from(
    ["instances", "inputs", "outputs", "parameters", "b64", "data", "image_bytes", "name", "id",
     "datatype", "shape", "binary_data_size", "top_k", "min_probability", "target"]
)  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("BYTES"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
IMAGE = st.just(PICTURE) | st.text(max_size=9) | st.fixed_dictionaries(
    {}, optional={"b64": st.just(PICTURE), "data": st.just(PICTURE), "name": ANY_JSON}
)  # fmt: skip
OPTIONS: dict[Any, st.SearchStrategy[Any]] = {
    "top_k": st.integers(-2, 1002) | ANY_JSON,
    "min_probability": st.floats() | ANY_JSON,
    "target": st.sampled_from(["n02124075", ""]) | ANY_JSON,
}
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "Accept", "explain", "describe", "content-length", "x"]),
        st.sampled_from(["True", "image/png", "text/html", "-1"]) | st.text(max_size=20),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def asked() -> Iterator[Worker]:
    with Worker.start(None, Cases(1, amplify=False)) as started:
        yield started


def wrong(asked: Worker, request: Request) -> list[str]:
    (answer,) = asked.answers([request])
    return [f"{each}: {answer}" for each in faults(Case(0, "", request), answer)]


def as_json(document: object, headers: list[tuple[str, str]]) -> Request:
    return Request.raw(json.dumps(document).encode(), "application/json", headers)


def test_the_picture_is_classified(asked: Worker) -> None:
    (answer,) = asked.answers([as_json({"b64": PICTURE}, [])])
    assert answer.status == 200


@structure
@given(document=ANY_JSON, headers=HEADERS)
def test_any_document(asked: Worker, document: object, headers: list[tuple[str, str]]) -> None:
    assert wrong(asked, as_json(document, headers)) == []


@structure
@given(
    images=st.lists(IMAGE, max_size=5),
    options=st.fixed_dictionaries({}, optional=OPTIONS),
    headers=HEADERS,
)
def test_a_list_of_images_with_any_options(
    asked: Worker, images: list[Any], options: dict[str, Any], headers: list[tuple[str, str]]
) -> None:
    for document in (
        {"instances": images, **options},
        {"instances": images, "parameters": options},
    ):
        assert wrong(asked, as_json(document, headers)) == []


@structure
@given(
    tensor=st.fixed_dictionaries(
        {"datatype": st.just("BYTES") | ANY_JSON, "shape": st.just([1]) | ANY_JSON},
        optional={"data": st.just([PICTURE]) | ANY_JSON, "parameters": ANY_JSON, "name": ANY_JSON},
    ),
    more=st.fixed_dictionaries(
        {},
        optional={
            "id": ANY_JSON,
            "outputs": ANY_JSON,
            "parameters": st.fixed_dictionaries({}, optional=OPTIONS),
        },
    ),
    headers=HEADERS,
)
def test_any_tensor(
    asked: Worker, tensor: object, more: dict[str, Any], headers: list[tuple[str, str]]
) -> None:
    assert wrong(asked, as_json({"inputs": [tensor], **more}, headers)) == []


@structure
@given(
    parts=st.lists(
        st.builds(
            Parameter,
            st.sampled_from(["file", "body", "top_k", "min_probability", "target"]) | st.text(),
            st.sampled_from(["", "image/png", "application/json", "text/plain"]) | st.text(),
            st.binary(max_size=40) | st.just(b"\x89PNG\r\n\x1a\n") | st.just(b"5"),
        ),
        max_size=6,
        unique_by=lambda part: part.name,
    ),
    headers=HEADERS,
)
def test_any_form(asked: Worker, parts: list[Parameter], headers: list[tuple[str, str]]) -> None:
    own = [("content-type", "multipart/form-data; boundary=b")]
    assert wrong(asked, Request(tuple(parts), (*own, *headers))) == []


@structure
@given(body=st.binary(max_size=200), content_type=st.text(max_size=20), headers=HEADERS)
def test_any_body(
    asked: Worker, body: bytes, content_type: str, headers: list[tuple[str, str]]
) -> None:
    assert wrong(asked, Request.raw(body, content_type, headers)) == []

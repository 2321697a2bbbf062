import json
import random
import struct
from typing import Any

import pytest

from densenet_classifier.answers import ListForm, SingleForm, TensorForm
from densenet_classifier.documents import Part
from densenet_classifier.errors import (
    InvalidDocumentError,
    InvalidOptionError,
    NoImageError,
)
from densenet_classifier.options import Options
from densenet_classifier.request import Request
from reliability.fuzzing.hostile import any_json
from tests.unit.asking import (
    EXPLAIN,
    NO_TYPE,
    PLAIN_TYPE,
    Headers,
    Row,
    base64_text,
    tensor_request,
)
from torchserve_messages import asks_for_description, asks_for_document, read_request

PNG = bytearray(b"\x89PNG\r\n\x1a\n and more")
TEXT = base64_text(PNG)
OFFERED = ("application/json", "text/html", "application/openapi+json")


def read(row: Row, headers: Headers | None = None) -> Request:
    return read_request(row, headers or {}, "flowers")


class TestRawBody:
    @pytest.mark.parametrize("body", [PNG, bytes(PNG), bytearray(b"no image")], ids=repr)
    def test_is_one_image(self, body: bytes | bytearray) -> None:
        request = read({"body": body})
        assert type(request.form) is SingleForm
        assert request.parts == [Part(body)]
        assert request.error is None

    def test_a_text_is_an_image_too(self) -> None:
        assert read({"body": "ä"}).parts == [Part(b"\xc3\xa4")]

    @pytest.mark.parametrize("body", [b"", bytearray(), ""], ids=repr)
    def test_without_content_is_refused(self, body: object) -> None:
        request = read({"body": body})
        assert isinstance(request.error, NoImageError)
        assert "its body has 0 bytes" in str(request.error)

    def test_the_query_has_its_options(self) -> None:
        request = read({"top_k": "5", "min_probability": "0", "body": PNG}, {"body": PLAIN_TYPE})
        assert request.options == Options(top_k=5, min_probability=0)
        assert request.parts == [Part(PNG)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_other_encodings(encoding: str) -> None:
    body = '{"b64": "QUJD", "top_k": 2}'.encode(encoding)
    request = read_request({"body": bytearray(body)}, {}, "flowers")
    assert request.error is None
    assert request.options.top_k == 2


@pytest.mark.parametrize("body", [[], {}, 0, None, False], ids=repr)
def test_a_document_with_nothing_in_it_is_no_empty_body(body: object) -> None:
    assert asks_for_document({"body": body}, {"accept": "text/html"}, OFFERED) == OFFERED[0]


@pytest.mark.parametrize("declared", [True, False], ids=["as JSON", "as anything"])
def test_a_tensor_whose_bytes_did_not_come_is_refused(*, declared: bool) -> None:
    tensor = {"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 4}}
    document = {"inputs": [tensor]}
    request = read({"body": document if declared else json.dumps(document).encode()})
    assert isinstance(request.error, InvalidDocumentError)
    assert "binary_data_size is 4; 0 bytes followed" in str(request.error)


class TestJson:
    @pytest.mark.parametrize("space", ["", " ", "\n\t "], ids=repr)
    @pytest.mark.parametrize("as_type", [bytes, bytearray, str, json.loads])
    def test_is_read_as_torchserve_passes_it(self, as_type: Any, space: str) -> None:
        text = space + json.dumps({"instances": [{"b64": TEXT, "name": "a"}], "top_k": 3})
        body = as_type(text, "utf-8") if as_type in (bytes, bytearray) else as_type(text)
        request = read({"body": body})
        assert request.error is None
        assert request.form == ListForm(("a",))
        assert request.parts == (Part(bytes(PNG), "a"),)
        assert request.options == Options(top_k=3)

    def test_of_one_image_is_answered_with_one(self) -> None:
        request = read({"body": {"data": TEXT}})
        assert type(request.form) is SingleForm
        assert request.parts == (Part(bytes(PNG)),)

    @pytest.mark.parametrize(
        "body",
        [b"{", b"[1,", b'{"b64": "A"} more', b"{'b64': 1}", b'{"b64": "\xff"}', b"[" * 10**5],
        ids=lambda body: repr(body)[:20],
    )
    def test_that_is_none_is_refused(self, body: bytes) -> None:
        request = read({"body": bytearray(body)})
        assert isinstance(request.error, InvalidDocumentError)
        assert "looks like JSON and is none" in str(request.error)

    @pytest.mark.parametrize("body", [None, 0, 1.5, True, {}, {"file": TEXT}], ids=repr)
    def test_of_no_known_form_is_refused(self, body: object) -> None:
        request = read({"body": body})
        assert isinstance(request.error, InvalidDocumentError)
        assert "none of the known forms" in str(request.error)

    def test_the_query_goes_before_the_document(self) -> None:
        document = {"b64": TEXT, "top_k": 9, "min_probability": 0.5}
        assert read({"top_k": "3", "body": document}).options == Options(3, 0.5)


class TestTensors:
    def test_are_read(self) -> None:
        request = read({"body": tensor_request([TEXT, TEXT], id="7", parameters={"top_k": 2})})
        assert isinstance(request.form, TensorForm)
        assert request.form.model_name == "flowers"
        assert request.form.request is not None
        assert request.form.request.request_id == "7"
        assert request.parts == (Part(bytes(PNG)),) * 2
        assert request.options == Options(top_k=2)

    @pytest.mark.parametrize(
        "name", ["inference-header-content-length", "Inference-Header-Content-Length"]
    )
    def test_binary_data_follow_the_document(self, name: str) -> None:
        content = struct.pack("<I", len(PNG)) + PNG
        parameters = {"binary_data_size": len(content)}
        tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": parameters}
        text = json.dumps({"inputs": [tensor]}).encode()
        request = read({"body": bytearray(text + content)}, {name: str(len(text))})
        assert request.error is None
        assert request.parts == (Part(bytes(PNG)),)

    @pytest.mark.parametrize("length", ["0", "5", "-1", "x", "", "9" * 5000, "10.0", "²"])
    def test_another_length_of_the_document_is_refused(self, length: str) -> None:
        body = bytearray(json.dumps(tensor_request([TEXT])).encode() + b"\0\0")
        request = read({"body": body}, {"inference-header-content-length": length})
        assert isinstance(request.error, InvalidDocumentError)

    def test_a_refusal_has_the_protocols_form(self) -> None:
        request = read({"body": {"inputs": []}})
        assert isinstance(request.form, TensorForm)
        assert isinstance(request.error, InvalidDocumentError)

    def test_a_wrong_option_is_refused_in_the_protocols_form(self) -> None:
        request = read({"body": tensor_request([TEXT], parameters={"top_k": 0})})
        assert isinstance(request.form, TensorForm)
        assert isinstance(request.error, InvalidOptionError)

    def test_a_wrong_option_of_the_query_is_refused_in_the_protocols_form(self) -> None:
        request = read({"body": tensor_request([TEXT]), "top_k": "0"})
        assert isinstance(request.form, TensorForm)
        assert isinstance(request.error, InvalidOptionError)


class TestWishes:
    def test_nothing_is_explained_without_the_header(self) -> None:
        assert not read({"body": PNG}).explain

    @pytest.mark.parametrize(
        ("accept", "as_picture"),
        [
            ({}, False),
            ({"accept": "*/*"}, False),
            ({"accept": "application/json"}, False),
            ({"accept": "image/png"}, True),
            ({"Accept": "image/png"}, True),
            ({"ACCEPT": "image/*"}, True),
            ({"accept": "image/png;q=0.5, application/json"}, False),
            ({"accept": NO_TYPE}, False),
        ],
        ids=repr,
    )
    def test_an_explanation_may_be_a_picture(
        self, accept: dict[str, Any], *, as_picture: bool
    ) -> None:
        request = read({"body": PNG}, EXPLAIN | accept)
        assert (request.explain, request.as_picture) == (True, as_picture)

    def test_a_prediction_is_no_picture(self) -> None:
        request = read({"body": PNG}, {"accept": "image/png"})
        assert (request.explain, request.as_picture) == (False, False)

    @pytest.mark.parametrize("value", ["False", "", "1", "true", NO_TYPE], ids=repr)
    def test_another_value_of_the_header_means_nothing(self, value: object) -> None:
        assert not read({"body": PNG}, {"explain": value}).explain


class TestWhatIsAskedFor:
    @pytest.mark.parametrize(
        ("row", "describe", "asked"),
        [({}, "True", True), ({}, "False", False), ({"body": PNG}, "True", False)],
    )
    def test_a_description(self, row: Row, describe: str, *, asked: bool) -> None:
        assert asks_for_description(row, {"describe": describe}) is asked

    def test_no_description_without_the_header(self) -> None:
        assert not asks_for_description({}, {})

    @pytest.mark.parametrize("body", [b"", bytearray(), ""], ids=repr)
    @pytest.mark.parametrize("wanted", OFFERED)
    def test_a_document_where_nothing_was_sent(self, wanted: str, body: object) -> None:
        assert asks_for_document({"body": body}, {"Accept": wanted}, OFFERED) == wanted

    def test_the_first_without_a_wish(self) -> None:
        assert asks_for_document({"body": b""}, {}, OFFERED) == OFFERED[0]

    @pytest.mark.parametrize("row", [{}, {"body": PNG}, {"file": b""}, {"file": PNG}], ids=repr)
    def test_no_document_where_something_was_sent(self, row: Row) -> None:
        assert asks_for_document(row, {"accept": "text/html"}, OFFERED) == OFFERED[0]


def test_no_request_raises_anything_at_all() -> None:
    generator = random.Random(121)  # noqa: S311
    keys = ["inputs", "instances", "b64", "data", "image_bytes", "shape", "datatype", "parameters"]
    names = ["body", "file", "data", "top_k", "target", "content-type", "explain", "ä"]
    for _ in range(3000):
        values: dict[str, Any] = {
            name: generator.choice(
                [any_json(generator, keys), PNG, b"{", b"", json.dumps(any_json(generator, keys))]
            )
            for name in generator.choices(names, k=2)
        }
        types = {name: generator.choice([PLAIN_TYPE, NO_TYPE, "x", None]) for name in values}
        request = read(values, types | {"accept": generator.choice(["*/*", ";q=", ",;"])})
        assert request.error or request.parts

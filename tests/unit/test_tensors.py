import random
import struct
from contextlib import nullcontext
from typing import Any

import pytest

from densenet_classifier.documents import Part
from densenet_classifier.errors import (
    InvalidDocumentError,
    NoImageError,
    RequestError,
    TooManyImagesError,
)
from densenet_classifier.options import NO_OPTIONS, Options
from densenet_classifier.tensors import is_tensor_request, read_tensors
from reliability.fuzzing.hostile import any_json, nested
from tests.unit.asking import base64_text, tensor_request

ONE, TWO, THREE = base64_text(b"one"), base64_text(b"two"), base64_text(b"three")
PARTS = (Part(b"one"), Part(b"two"), Part(b"three"))
PNG = b"\x89PNG\r\n\x1a\n and more"


def tensor(**changed: Any) -> dict[str, Any]:
    """Return a request of one image whose tensor is changed."""
    usual = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [ONE]}
    return {"inputs": [usual | changed]}


def binary(*elements: bytes, **changed: Any) -> tuple[dict[str, Any], bytes]:
    """Return a request with binary tensor data, and that data."""
    content = b"".join(struct.pack("<I", len(each)) + each for each in elements)
    parameters = {"binary_data_size": len(content)} | changed
    described = {"name": "image", "shape": [len(elements)], "datatype": "BYTES"}
    return {"inputs": [{**described, "parameters": parameters}]}, content


class TestRecognition:
    @pytest.mark.parametrize("inputs", [[], None, {}, 5])
    def test_a_document_with_inputs_is_of_the_protocol(self, inputs: object) -> None:
        assert is_tensor_request({"inputs": inputs})

    @pytest.mark.parametrize(
        "document", [{}, {"instances": []}, ["inputs"], "inputs", None], ids=repr
    )
    def test_no_other_is(self, document: object) -> None:
        assert not is_tensor_request(document)


class TestInline:
    def test_an_image_an_element(self) -> None:
        assert read_tensors(tensor_request([ONE, TWO, THREE])).parts == PARTS

    @pytest.mark.parametrize("name", ["image", "", "INPUT__0", None, 5, ["a"], {"a": 1}], ids=repr)
    def test_the_name_of_the_tensor_does_not_matter(self, name: object) -> None:
        assert read_tensors(tensor(name=name)).parts == PARTS[:1]

    def test_a_tensor_without_a_name(self) -> None:
        request = tensor()
        del request["inputs"][0]["name"]
        assert read_tensors(request).parts == PARTS[:1]

    @pytest.mark.parametrize(
        "data", [[ONE, TWO], [[ONE, TWO]], [[ONE], [TWO]]], ids=["1", "2", "3"]
    )
    @pytest.mark.parametrize("shape", [[2], [1, 2], [2, 1], [1, 1, 2], [2, 1, 1, 1]], ids=str)
    def test_shapes_of_as_many_elements(self, shape: list[int], data: object) -> None:
        assert read_tensors(tensor(shape=shape, data=data)).parts == PARTS[:2]

    @pytest.mark.parametrize("depth", [1, 2, 3, 8])
    def test_data_nested_as_its_shape(self, depth: int) -> None:
        data: Any = ONE
        for _ in range(depth):
            data = [data]
        assert read_tensors(tensor(shape=[1] * depth, data=data)).parts == PARTS[:1]

    def test_data_nested_deeper_than_any_shape_hold_no_text(self) -> None:
        data: Any = ONE
        for _ in range(10):
            data = [data]
        (part,) = read_tensors(tensor(shape=[1], data=data)).parts
        assert isinstance(part.content, InvalidDocumentError)

    @pytest.mark.parametrize("element", [None, 5, True, {}, {"b64": ONE}, "#", "ä"], ids=ascii)
    def test_a_bad_element_stays_in_its_place(self, element: object) -> None:
        first, bad, last = read_tensors(tensor_request([ONE, element, THREE])).parts
        assert (first, last) == (PARTS[0], PARTS[2])
        assert isinstance(bad.content, InvalidDocumentError)
        assert str(bad.content) in {
            "An element of the tensor is no base64 text.",
            "The image is not valid base64.",
        }

    @pytest.mark.parametrize("data", [None, ONE, 5, {}, {"0": ONE}], ids=repr)
    def test_data_that_are_no_list_are_refused(self, data: object) -> None:
        with pytest.raises(InvalidDocumentError, match="'data', a list"):
            read_tensors(tensor(data=data))

    @pytest.mark.parametrize("data", [[], [[]], [[], []]], ids=repr)
    def test_no_elements_are_refused(self, data: object) -> None:
        with pytest.raises(NoImageError, match="empty"):
            read_tensors(tensor(data=data))

    @pytest.mark.parametrize(
        "shape",
        [
            [2], [0], [-1], [1, 2], [1, 0], [-1, -1], [1.0], ["1"], [None], [[1]], [{}],
            [10**30], [2**64, 0], [1] * 9, [1] * 10_000, [2] * 10_000,
        ],
        ids=lambda shape: repr(shape)[:20],
    )  # fmt: skip
    def test_a_shape_of_another_size_is_refused(self, shape: object) -> None:
        with pytest.raises(InvalidDocumentError, match="shape of the tensor does not fit"):
            read_tensors(tensor(shape=shape))


class TestWhatIsNoTensor:
    @pytest.mark.parametrize(
        "inputs",
        [
            [], None, 5, "BYTES", {}, {"datatype": "BYTES", "shape": [1]}, [None], [5], [[]], [{}],
            [tensor()["inputs"][0]] * 2,
        ],
        ids=["none", "null", "number", "text", "object", "bare", "[null]", "[5]", "[[]]", "[{}]",
             "two"],
    )  # fmt: skip
    def test_inputs_are_one_tensor(self, inputs: object) -> None:
        with pytest.raises(InvalidDocumentError, match="one tensor with the datatype BYTES"):
            read_tensors({"inputs": inputs})

    @pytest.mark.parametrize("datatype", ["UINT8", "bytes", "FP32", None, 5, ["BYTES"]], ids=repr)
    def test_another_datatype_is_refused(self, datatype: object) -> None:
        with pytest.raises(InvalidDocumentError, match="datatype BYTES"):
            read_tensors(tensor(datatype=datatype))

    @pytest.mark.parametrize("shape", [None, 1, "1", {}, {"0": 1}], ids=repr)
    def test_a_shape_that_is_no_list_is_refused(self, shape: object) -> None:
        with pytest.raises(InvalidDocumentError, match="and a shape"):
            read_tensors(tensor(shape=shape))


class TestBinary:
    def test_an_image_itself_and_as_base64(self) -> None:
        request, content = binary(PNG, ONE.encode())
        assert read_tensors(request, content).parts == (Part(PNG), Part(b"one"))

    def test_an_element_that_is_neither_stays_in_its_place(self) -> None:
        request, content = binary(PNG, b"\xff\xfe", b"%PDF-1.7", PNG)
        first, *bad, last = read_tensors(request, content).parts
        assert (first, last) == (Part(PNG), Part(PNG))
        assert all(isinstance(each.content, InvalidDocumentError) for each in bad)

    def test_an_empty_element_is_an_empty_image(self) -> None:
        request, content = binary(PNG, b"")
        assert read_tensors(request, content).parts == (Part(PNG), Part(b""))

    def test_without_any_element(self) -> None:
        with pytest.raises(NoImageError, match="empty"):
            read_tensors(*binary())

    @pytest.mark.parametrize(
        "size",
        [0, 1, -1, 10**30, "25", 25.0, None, [], "x" * 10**6, nested(depth=10_000)],
        ids=["0", "1", "-1", "huge", "text", "float", "null", "list", "long", "deep"],
    )
    def test_a_size_that_is_not_that_of_the_data_is_refused(self, size: object) -> None:
        request, content = binary(PNG, binary_data_size=size)
        with pytest.raises(InvalidDocumentError, match=r"binary_data_size|'data'") as caught:
            read_tensors(request, content)
        assert len(str(caught.value)) < 150

    def test_data_that_did_not_follow(self) -> None:
        request, content = binary(PNG)
        expected = f"binary_data_size is {len(content)}; 0 bytes followed"
        with pytest.raises(InvalidDocumentError, match=expected):
            read_tensors(request)

    @pytest.mark.parametrize("missing", range(1, 29))
    def test_truncated_data_are_refused(self, missing: int) -> None:
        _, content = binary(ONE.encode(), PNG)
        content = content[:-missing]
        with pytest.raises(InvalidDocumentError, match=r"ends within an element|does not fit"):
            read_tensors(binary(b"", b"", binary_data_size=len(content))[0], content)

    @pytest.mark.parametrize("length", [len(PNG) + 1, 2**31, 2**32 - 1])
    def test_a_length_beyond_the_data_is_refused(self, length: int) -> None:
        content = struct.pack("<I", length) + PNG
        request, _ = binary(PNG)
        with pytest.raises(InvalidDocumentError, match="ends within an element"):
            read_tensors(request, content)


class TestNumber:
    def test_empty_lists_count_too(self) -> None:
        with pytest.raises(TooManyImagesError):
            read_tensors(tensor(data=[[]] * 257))

    @pytest.mark.parametrize(("count", "refused"), [(256, False), (258, True), (100_000, True)])
    def test_more_images_than_any_server_accepts_are_refused(
        self, count: int, *, refused: bool
    ) -> None:
        for request in ((tensor_request([ONE] * count), b""), binary(*[ONE.encode()] * count)):
            expected = pytest.raises(TooManyImagesError) if refused else nullcontext()
            with expected:
                read_tensors(*request)


class TestParameters:
    @pytest.mark.parametrize(
        "request_",
        [
            tensor(parameters={"top_k": 3}),
            tensor() | {"parameters": {"top_k": 3}},
            tensor(parameters={"top_k": 9}) | {"parameters": {"top_k": 3}},
            tensor(parameters={"top_k": 3}) | {"parameters": {"top_k": None}},
        ],
        ids=["of the tensor", "of the request", "the request's go first", "but not null"],
    )
    def test_are_options(self, request_: dict[str, Any]) -> None:
        assert read_tensors(request_).options == Options(top_k=3)

    def test_of_both_complete_each_other(self) -> None:
        request = tensor(parameters={"top_k": 3}) | {"parameters": {"min_probability": 0}}
        assert read_tensors(request).options == Options(top_k=3, min_probability=0)

    def test_options_beside_them_are_not_of_the_protocol(self) -> None:
        assert read_tensors(tensor(top_k=3) | {"top_k": 3}).options == NO_OPTIONS

    @pytest.mark.parametrize("parameters", [None, 5, "top_k", [], ["top_k"]], ids=repr)
    def test_that_are_none_are_ignored(self, parameters: object) -> None:
        request = tensor(parameters=parameters) | {"parameters": parameters}
        assert read_tensors(request).options == NO_OPTIONS


def test_no_document_raises_anything_but_a_request_error() -> None:
    generator = random.Random(121)  # noqa: S311
    keys = ["name", "shape", "datatype", "data", "parameters", "binary_data_size"]
    read = 0
    for _ in range(10_000):
        changed = {name: any_json(generator, keys, 2) for name in generator.choices(keys, k=2)}
        document = tensor(**changed) if generator.random() < 0.5 else {}
        for name in generator.choices(["id", "outputs", "parameters", "inputs"]):
            document.setdefault(name, any_json(generator, keys))
        document.setdefault("inputs", any_json(generator, keys))
        try:
            assert read_tensors(document, generator.randbytes(generator.randrange(9))).parts
            read += 1
        except RequestError:
            pass
    assert 0 < read < 10_000

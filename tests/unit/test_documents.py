import base64
import random
from collections.abc import Callable
from typing import Any

import pytest

from densenet_classifier import documents
from densenet_classifier.documents import Part, decode_base64, read_document
from densenet_classifier.errors import (
    InvalidDocumentError,
    NoImageError,
    RequestError,
    TooManyImagesError,
)
from densenet_classifier.options import NO_OPTIONS, Options
from reliability.fuzzing.hostile import any_json
from tests.unit.asking import base64_text

# Its standard base64 has both letters that the alphabet for URLs replaces, and padding.
CONTENT = b"\xfb\xff\xbe picture"
TEXT = base64_text(CONTENT)
WRONG = ["#", "QUJDR", "QQ==QQ==", "QU=JD", "ä", "\ud800", "QUJD\0", "https://example.org/a.png"]


def content_of(document: object) -> object:
    (part,) = read_document(document).parts
    return part.content


class TestBase64:
    @pytest.mark.parametrize(
        "spell",
        [
            lambda text: text,
            lambda text: text.rstrip("="),
            lambda text: text.replace("+", "-").replace("/", "_"),
            lambda text: text.replace("+", "-"),
            lambda text: f"\n {text[:5]}\r\n{text[5:]}\t\n",
            lambda text: f"data:image/png;base64,{text}",
            lambda text: f"data:;base64,{text}",
            lambda text: f"data:image/png;name=a;base64,{text.rstrip('=')}",
        ],
        ids=[
            "standard", "no padding", "for URLs", "mixed", "in lines", "data URL", "data URL, bare",
            "data URL, parameters",
        ],
    )  # fmt: skip
    def test_every_usual_spelling(self, spell: Callable[[str], str]) -> None:
        assert decode_base64(spell(TEXT)) == CONTENT

    @pytest.mark.parametrize("length", range(7))
    def test_every_length(self, length: int) -> None:
        content = bytes(range(length))
        assert decode_base64(base64_text(content)) == content
        assert decode_base64(base64.urlsafe_b64encode(content).decode().rstrip("=")) == content

    @pytest.mark.parametrize("text", WRONG, ids=ascii)
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidDocumentError, match="not valid base64"):
            decode_base64(text)

    @pytest.mark.parametrize(
        "text", ["data:", "data:image/png,QUJD", "data:image/png;base64", 'data:;x=",";base64,QUJD']
    )
    def test_a_data_url_of_another_kind_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidDocumentError, match="data URL"):
            decode_base64(text)


class TestOneImage:
    @pytest.mark.parametrize("key", ["b64", "data", "image_bytes"])
    @pytest.mark.parametrize("value", [TEXT, {"b64": TEXT}], ids=["text", "b64"])
    @pytest.mark.parametrize(
        ("wrap", "is_list"),
        [
            (lambda image: image, False),
            (lambda image: [image], True),
            (lambda image: {"instances": [image]}, True),
            (lambda image: {"instances": [image], "signature_name": "serving_default"}, True),
        ],
        ids=["alone", "in a list", "in instances", "in instances beside other keys"],
    )
    def test_as_an_object(
        self, key: str, value: object, wrap: Callable[[object], object], *, is_list: bool
    ) -> None:
        document = read_document(wrap({key: value}))
        assert document.parts == (Part(CONTENT),)
        assert document.is_list is is_list

    @pytest.mark.parametrize("text", [TEXT, f"data:image/png;base64,{TEXT}"], ids=["base64", "URL"])
    def test_as_a_text_in_a_list(self, text: str) -> None:
        assert read_document([text]) == read_document({"instances": [text]})
        assert content_of([text]) == CONTENT

    def test_other_keys_of_its_object_are_ignored(self) -> None:
        assert content_of([{"b64": TEXT, "note": 1, "top_k": "abc"}]) == CONTENT

    @pytest.mark.parametrize("wrap", [lambda image: image, lambda image: [image]])
    def test_keeps_its_name(self, wrap: Callable[[object], object]) -> None:
        (part,) = read_document(wrap({"b64": TEXT, "name": "a.png"})).parts
        assert part == Part(CONTENT, "a.png")

    @pytest.mark.parametrize("name", [None, 5, True, [], ["a"], {}, {"a": 1}], ids=repr)
    def test_a_name_that_is_no_text_is_none(self, name: object) -> None:
        assert read_document([{"b64": TEXT, "name": name}]).parts == (Part(CONTENT),)

    @pytest.mark.parametrize(("length", "refused"), [(255, False), (256, True)])
    def test_a_long_name_is_refused(self, length: int, *, refused: bool) -> None:
        content = content_of([{"b64": TEXT, "name": "ä" * length}])
        assert isinstance(content, InvalidDocumentError) is refused
        assert ("may have 255 characters, not 256" in str(content)) is refused

    def test_of_no_bytes_is_left_to_the_decoder(self) -> None:
        assert content_of([""]) == b""

    @pytest.mark.parametrize(
        "image",
        [
            5, None, True, [], [TEXT], {}, {"url": "a"}, {"name": "a"}, {"b64": None}, {"b64": 5},
            {"b64": [TEXT]}, {"data": {}}, {"data": {"b64": 5}}, {"data": {"data": TEXT}},
            {"data": {"b64": {"b64": TEXT}}}, {"b64": TEXT, "data": TEXT}, *WRONG,
        ],
        ids=ascii,
    )  # fmt: skip
    def test_that_is_none_is_wrong_by_itself(self, image: object) -> None:
        assert isinstance(content_of([image]), InvalidDocumentError)

    def test_that_is_none_is_told_what_is_one(self) -> None:
        known = "base64 text, or an object {'b64': ...} or {'data': ...} or {'image_bytes': ...}."
        assert str(content_of([5])) == f"An image must be {known}"


class TestList:
    def test_the_order_and_the_names_are_kept(self) -> None:
        images = [base64_text(b"0"), {"data": base64_text(b"1"), "name": "one"}]
        assert read_document(images).parts == (Part(b"0"), Part(b"1", "one"))

    def test_a_bad_image_stays_in_its_place_with_its_name(self) -> None:
        document = read_document([TEXT, {"b64": "#", "name": "bad"}, TEXT])
        good, bad, also_good = document.parts
        assert (good, also_good) == (Part(CONTENT), Part(CONTENT))
        assert isinstance(bad.content, InvalidDocumentError)
        assert bad.name == "bad"

    @pytest.mark.parametrize("wrap", [list, lambda images: {"instances": images}])
    def test_of_more_images_than_any_server_accepts_is_refused(
        self, wrap: Callable[[list[str]], object]
    ) -> None:
        assert len(read_document(wrap([TEXT] * 256)).parts) == 256
        with pytest.raises(TooManyImagesError, match="257 images arrived"):
            read_document(wrap([TEXT] * 257))

    @pytest.mark.parametrize("document", [[], {"instances": []}], ids=repr)
    def test_without_an_image_is_refused(self, document: object) -> None:
        with pytest.raises(NoImageError, match="list of images is empty"):
            read_document(document)

    @pytest.mark.parametrize("instances", [None, {}, TEXT, 5, {"b64": TEXT}], ids=repr)
    def test_instances_that_are_none_are_refused(self, instances: object) -> None:
        with pytest.raises(InvalidDocumentError, match="'instances' is no list"):
            read_document({"instances": instances})


class TestOptions:
    @pytest.mark.parametrize("images", [{"instances": [TEXT]}, {"b64": TEXT}, {"data": TEXT}])
    @pytest.mark.parametrize(
        "options",
        [
            {"top_k": 3, "min_probability": 0},
            {"parameters": {"top_k": 3, "min_probability": 0}},
            {"top_k": 3, "parameters": {"top_k": 9, "min_probability": 0}},
            {"top_k": "3", "min_probability": "0"},
        ],
        ids=["beside", "parameters", "beside goes before", "texts"],
    )
    def test_stand_beside_the_images(self, images: dict[str, Any], options: dict[str, Any]) -> None:
        found = read_document(images | options).options
        assert found == Options(top_k=3, min_probability=0)

    def test_null_beside_leaves_that_of_parameters(self) -> None:
        document = {"b64": TEXT, "top_k": None, "parameters": {"top_k": 3}}
        assert read_document(document).options == Options(top_k=3)

    @pytest.mark.parametrize("parameters", [None, 5, "top_k", [], ["top_k"]], ids=repr)
    def test_parameters_that_are_none_are_ignored(self, parameters: object) -> None:
        assert read_document({"b64": TEXT, "parameters": parameters}).options == NO_OPTIONS

    def test_of_one_image_of_a_list_are_ignored(self) -> None:
        assert read_document({"instances": [{"b64": TEXT, "top_k": 3}]}).options == NO_OPTIONS

    def test_a_plain_list_has_none(self) -> None:
        assert read_document([TEXT]).options == NO_OPTIONS


@pytest.mark.parametrize(
    "document",
    [None, True, 0, 1.5, "", TEXT, {}, {"file": TEXT}, {"images": [TEXT]}, {"top_k": 5}],
    ids=repr,
)
def test_a_document_of_another_form_is_told_the_known_ones(document: object) -> None:
    with pytest.raises(InvalidDocumentError, match="none of the known forms") as caught:
        read_document(document)
    assert '{"instances": [{"b64": "..."}, ...]}' in str(caught.value)


def test_no_document_raises_anything_but_a_request_error() -> None:
    generator = random.Random(121)  # noqa: S311
    refused = 0
    for _ in range(5000):
        document = any_json(generator, ["instances", *documents.IMAGE_KEYS, "parameters", "name"])
        try:
            parts = read_document(document).parts
        except RequestError:
            refused += 1
        else:
            assert all(isinstance(part.content, bytes | RequestError) for part in parts)
            assert all(isinstance(part.name, str | None) for part in parts)
    assert 0 < refused < 5000

import json
import random
import struct
from typing import Any

import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier import documents
from densenet_classifier.errors import UndecodableImageError
from densenet_classifier.settings import Settings
from reliability.fuzzing.hostile import any_json
from tests.unit.asking import Ask, AskOne, base64_text, entry, tensor_request

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def texts(images: list[bytearray]) -> list[str]:
    return [base64_text(image) for image in images]


class TestLists:
    @pytest.mark.parametrize("wrap", [list, lambda images: {"instances": images}])
    def test_of_images_in_every_form(self, wrap: Any, ask_one: AskOne, texts: list[str]) -> None:
        images = [
            texts[0],
            f"data:image/png;base64,{texts[1]}",
            {"b64": texts[2]},
            {"data": {"b64": texts[3]}, "name": "a.png"},
            {"image_bytes": {"b64": texts[4]}},
        ]
        reply = ask_one({"body": wrap(images)})
        assert reply.status == 200
        assert reply.entries == [
            entry(0), entry(1), entry(2), {"name": "a.png", **entry(3)}, entry(4)
        ]  # fmt: skip

    def test_of_one_image_are_answered_with_a_list(self, ask_one: AskOne, texts: list[str]) -> None:
        assert ask_one({"body": [texts[0]]}).entries == [entry(0)]

    @pytest.mark.parametrize("name", ["", "a.png", "ä" * 255, "\U0001f600", "\0"], ids=ascii)
    def test_a_name_comes_back_as_it_is(self, name: str, ask_one: AskOne, texts: list[str]) -> None:
        reply = ask_one({"body": [{"b64": texts[0], "name": name}]})
        assert reply.entries == [{"name": name, **entry(0)}]

    def test_an_object_is_answered_with_one(self, ask_one: AskOne, texts: list[str]) -> None:
        assert ask_one({"body": {"b64": texts[0]}}).body == entry(0)

    def test_bad_images_are_told_in_their_places(
        self, ask_one: AskOne, texts: list[str], truncated: bytearray
    ) -> None:
        bad = ["#", base64_text(truncated), "", base64_text(b"hello"), 5]
        reply = ask_one({"body": {"instances": [texts[0], *bad, texts[1]]}})
        assert (reply.status, reply.entries[0], reply.entries[-1]) == (200, entry(0), entry(1))
        errors = [each["error"] for each in reply.entries[1:-1]]
        assert [(each["code"], each["type"]) for each in errors] == [
            (400, "InvalidDocumentError"),
            (422, "UndecodableImageError"),
            (400, "NoImageError"),
            (415, "UnsupportedImageError"),
            (400, "InvalidDocumentError"),
        ]

    def test_a_bad_image_by_itself_is_answered_with_its_status(
        self, ask_one: AskOne, truncated: bytearray
    ) -> None:
        reply = ask_one({"body": {"b64": base64_text(truncated)}})
        assert reply.error == (422, "UndecodableImageError")

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"instances": []}, "NoImageError"),
            ([], "NoImageError"),
            ({}, "InvalidDocumentError"),
            ({"file": "QUJD"}, "InvalidDocumentError"),
            (bytearray(b"{"), "InvalidDocumentError"),
            (None, "InvalidDocumentError"),
        ],
        ids=repr,
    )
    def test_a_document_without_images_is_refused(
        self, body: object, error: str, ask_one: AskOne
    ) -> None:
        reply = ask_one({"body": body})
        assert reply.error == (400, error)

    def test_a_text_that_is_no_utf_8_is_the_clients_fault(self, ask_one: AskOne) -> None:
        # As TorchServe decodes the JSON document "\ud800".
        assert 400 <= ask_one({"body": "\ud800"}).status < 500


class TestOptions:
    @pytest.mark.parametrize("top_k", [1, 3, 5, 6, 1000])
    def test_top_k(self, top_k: int, ask_one: AskOne, texts: list[str]) -> None:
        reply = ask_one({"body": {"b64": texts[0], "top_k": top_k}})
        assert list(reply.body) == ["class_id", "class_name", "probability", "predictions"]
        found = [each["probability"] for each in reply.body["predictions"]]
        assert len(found) == min(top_k, 5)
        assert found == sorted(found, reverse=True)
        assert reply.body["predictions"][0] == {**entry(0), "probability": found[0]}
        assert reply.body["probability"] == found[0]

    def test_not_recognised(self, ask_one: AskOne, flat: bytearray) -> None:
        reply = ask_one({"body": flat})
        assert (reply.status, reply.text) == (200, '{"class_id": null, "class_name": null}')

    def test_not_recognised_among_others(
        self, ask_one: AskOne, flat: bytearray, texts: list[str]
    ) -> None:
        nothing = {"class_id": None, "class_name": None}
        assert ask_one({"body": [base64_text(flat), texts[1]]}).entries == [nothing, entry(1)]

    def test_not_recognised_with_top_k(self, ask_one: AskOne, flat: bytearray) -> None:
        body = ask_one({"body": flat, "top_k": "2"}).body
        assert (body["class_id"], body["class_name"]) == (None, None)
        assert body["probability"] == body["predictions"][0]["probability"] > 0.2
        assert len(body["predictions"]) == 2

    @pytest.mark.parametrize("least", [0, "0", 0.5], ids=repr)
    def test_min_probability_replaces_the_servers_judgement(
        self, least: object, ask_one: AskOne, flat: bytearray
    ) -> None:
        assert ask_one({"body": flat, "min_probability": least}).body == entry(4)

    def test_min_probability_may_ask_for_more(self, ask_one: AskOne, texts: list[str]) -> None:
        body = ask_one({"body": {"b64": texts[0], "min_probability": 0.99}}).body
        assert body == {"class_id": None, "class_name": None}

    def test_the_setting_zero_recognises_everything(
        self,
        ask_one: AskOne,
        flat: bytearray,
        handler: DenseNet121Handler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(handler, "settings", Settings(min_probability=0))
        assert ask_one({"body": flat}).body == entry(4)

    @pytest.mark.parametrize("name", ["top_k", "min_probability"])
    @pytest.mark.parametrize("place", ["query", "document", "tensor"])
    def test_a_wrong_one_is_refused_with_the_range(
        self, name: str, place: str, ask_one: AskOne, texts: list[str]
    ) -> None:
        rows: dict[str, dict[str, Any]] = {
            "query": {"body": [texts[0]], name: "-1"},
            "document": {"body": {"instances": [texts[0]], name: -1}},
            "tensor": {"body": tensor_request([texts[0]], parameters={name: -1})},
        }
        reply = ask_one(rows[place])
        assert reply.error == (400, "InvalidOptionError")
        assert f"{name} must be a" in reply.body["message"]
        assert ("error" in reply.body) == (place == "tensor")


class TestTensors:
    def test_an_answer(self, ask_one: AskOne, texts: list[str]) -> None:
        reply = ask_one({"body": tensor_request(texts[:2], id="7")})
        assert (reply.status, reply.body["model_name"], reply.body["id"]) == (
            200,
            "densenet121",
            "7",
        )
        assert reply.tensors["class_id"] == ["n00000000", "n00000001"]
        assert reply.tensors["class_name"] == ["class 0", "class 1"]
        assert all(0.9 < each < 1 for each in reply.tensors["probability"])

    def test_with_top_k(self, ask_one: AskOne, texts: list[str]) -> None:
        tensors = ask_one({"body": tensor_request(texts[:2], parameters={"top_k": 9})}).tensors
        assert len(tensors["top_k_class_id"]) == 2 * 5
        assert tensors["top_k_class_id"][0::5] == tensors["class_id"]
        assert tensors["top_k_probability"][0::5] == tensors["probability"]

    def test_binary_images(self, ask_one: AskOne, images: list[bytearray]) -> None:
        content = b"".join(struct.pack("<I", len(each)) + each for each in images)
        tensor = {"name": "image", "shape": [5], "datatype": "BYTES"}
        described = {**tensor, "parameters": {"binary_data_size": len(content)}}
        text = json.dumps({"inputs": [described]}).encode()
        reply = ask_one(
            {"body": bytearray(text + content)}, {"Inference-Header-Content-Length": str(len(text))}
        )
        assert reply.tensors["class_name"] == [f"class {index}" for index in range(5)]

    def test_a_bad_image_among_good_ones(
        self, ask_one: AskOne, texts: list[str], truncated: bytearray
    ) -> None:
        reply = ask_one({"body": tensor_request([texts[0], base64_text(truncated)])})
        assert (reply.status, reply.tensors["class_id"]) == (200, ["n00000000", ""])
        assert reply.tensors["error"][0] == ""
        assert "truncated" in reply.tensors["error"][1]

    def test_a_bad_image_by_itself(self, ask_one: AskOne, truncated: bytearray) -> None:
        reply = ask_one({"body": tensor_request([base64_text(truncated)])})
        assert reply.error == (422, UndecodableImageError.__name__)
        assert reply.body["error"] == reply.body["message"]

    def test_a_refusal(self, ask_one: AskOne) -> None:
        reply = ask_one({"body": {"inputs": []}})
        assert reply.error == (400, "InvalidDocumentError")
        assert reply.body["error"] == reply.body["message"]


def test_no_document_is_the_servers_fault(ask: Ask) -> None:
    generator = random.Random(7)  # noqa: S311
    keys = ["inputs", "instances", *documents.IMAGE_KEYS, "shape", "datatype", "parameters", "name"]
    for _ in range(300):
        bodies = [any_json(generator, keys) for _ in range(8)]
        replies = ask([{"body": body} for body in bodies])
        failed = [body for body, reply in zip(bodies, replies, strict=True) if reply.status == 500]
        assert failed == []
        assert all(json.loads(reply.text) for reply in replies)

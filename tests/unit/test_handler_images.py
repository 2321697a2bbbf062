import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.settings import Settings
from tests.unit.asking import NO_TYPE, PDF, PLAIN_TYPE, AskOne, entry, form

pytestmark = pytest.mark.usefixtures("one_thread")


class TestOneImage:
    def test_as_raw_body(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": image})
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    def test_as_bytes(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": bytes(image)})
        assert reply.body["class_id"] == "n00000002"

    def test_the_answer_is_one_line_with_exactly_the_two_keys(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image})
        assert reply.text == '{"class_id": "n00000002", "class_name": "class 2"}'

    def test_the_phrase_of_the_status(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": image})
        assert (reply.status, reply.phrase) == (200, "OK")

    @pytest.mark.parametrize("name", ["file", "data", "image", "picture", "foto ä"])
    def test_as_a_file_of_a_form_under_any_name(
        self, name: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({name: image}, {name: PLAIN_TYPE})
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    @pytest.mark.parametrize("name", ["file", "data", "image"])
    def test_as_a_file_that_declares_no_type(
        self, name: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({name: image})
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize("name", ["file", "image"])
    def test_a_header_with_the_name_of_the_field_does_not_hide_it(
        self, name: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({name: image}, {name: "1"})
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize(
        "value", ["hello", bytearray(b"hello"), "", bytearray(), "BM", {"a": 1}], ids=repr
    )
    @pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
    def test_other_fields_are_ignored(
        self, value: object, ask_one: AskOne, image: bytearray, *, first: bool
    ) -> None:
        fields = {"note": value, "file": image} if first else {"file": image, "note": value}
        reply = ask_one(fields, {"file": PLAIN_TYPE})
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    @pytest.mark.parametrize("header", [{"content-type": ""}, {}, None, "x"], ids=repr)
    def test_a_field_without_a_type_is_no_file(self, header: object, ask_one: AskOne) -> None:
        reply = ask_one({"note": bytearray(b"hello")}, {"note": header})
        assert reply.error == (400, "NoImageError")


class TestSeveralFiles:
    def test_are_answered_in_their_order_with_their_names(
        self, ask_one: AskOne, images: list[bytearray]
    ) -> None:
        reply = ask_one(*form({"b": images[3], "file": images[0], "foto ä": images[1]}))
        assert (reply.status, list(reply.body)) == (200, ["predictions"])
        assert reply.entries == [
            {"name": "b", **entry(3)},
            {"name": "file", **entry(0)},
            {"name": "foto ä", **entry(1)},
        ]
        assert list(reply.entries[0]) == ["name", "class_id", "class_name"]

    def test_that_declare_no_type(self, ask_one: AskOne, images: list[bytearray]) -> None:
        reply = ask_one({"one": images[0], "two": images[1]})
        assert [each["class_name"] for each in reply.entries] == ["class 0", "class 1"]

    def test_among_fields_that_are_none(self, ask_one: AskOne, images: list[bytearray]) -> None:
        reply = ask_one(*form({"a": images[0], "b": images[1]}, {"note": "x", "top_k": "1"}))
        assert [each["name"] for each in reply.entries] == ["a", "b"]
        assert [len(each["predictions"]) for each in reply.entries] == [1, 1]

    def test_a_bad_one_is_told_in_its_place(
        self, ask_one: AskOne, images: list[bytearray], truncated: bytearray
    ) -> None:
        files = {"a": images[0], "b": truncated, "c": bytearray(PDF), "d": {"e": 1}, "f": images[1]}
        reply = ask_one(*form(files))
        assert reply.status == 200
        assert (reply.entries[0], reply.entries[4]) == (
            {"name": "a", **entry(0)},
            {"name": "f", **entry(1)},
        )
        bad = reply.entries[1:4]
        assert [(each["name"], each["error"]["code"]) for each in bad] == [
            ("b", 422), ("c", 415), ("d", 400)
        ]  # fmt: skip
        assert list(bad[0]) == ["name", "error"]
        assert list(bad[0]["error"]) == ["code", "type", "message"]

    def test_of_one_name_of_which_the_last_arrived_are_refused(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        row, types = form({"file": image})
        length = {"content-type": "multipart/form-data; boundary=x", "content-length": "20000"}
        reply = ask_one(row, {**types, **length})
        assert reply.error == (400, "DuplicatePartError")

    def test_a_file_input_that_was_left_empty_is_no_second_file(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one(*form({"photo": image, "another": bytearray()}))
        assert (reply.status, reply.body) == (200, entry(2))


class TestWhatIsNoImage:
    def test_an_empty_row(self, ask_one: AskOne) -> None:
        reply = ask_one({})
        assert reply.error == (400, "NoImageError")
        assert "no form field arrived" in reply.body["message"]

    @pytest.mark.parametrize("body", [b"", bytearray(), ""], ids=repr)
    def test_an_empty_body_as_of_a_get(self, body: object, ask_one: AskOne) -> None:
        reply = ask_one({"body": body})
        assert reply.error == (400, "NoImageError")

    def test_an_empty_file(self, ask_one: AskOne) -> None:
        reply = ask_one({"file": bytearray()}, {"file": PLAIN_TYPE})
        assert reply.error == (400, "NoImageError")

    def test_a_form_without_a_file_is_told_which_fields_arrived(self, ask_one: AskOne) -> None:
        reply = ask_one({"note": "hello", "size": "3"})
        assert reply.error == (400, "NoImageError")
        assert "the form fields note, size arrived" in reply.body["message"]
        assert "'file'" in reply.body["message"]

    def test_names_that_a_client_chose_do_not_fill_the_answer(self, ask_one: AskOne) -> None:
        reply = ask_one({f"{number}{'x' * 1000}": "text" for number in range(1000)})
        assert reply.error == (400, "NoImageError")
        assert len(reply.text) < 700

    def test_a_caption_that_begins_like_a_bitmap_is_no_file(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        row = {"caption": bytearray(b"BMW at the lake"), "holiday": image}
        reply = ask_one(row, {"caption": NO_TYPE, "holiday": PLAIN_TYPE})
        assert reply.status == 200

    @pytest.mark.parametrize(
        "document", [{"file": "aGVsbG8="}, {}, [1, 2], None, 5, 0, 1.5, True], ids=repr
    )
    def test_a_part_that_is_a_json_document(self, document: object, ask_one: AskOne) -> None:
        reply = ask_one({"file": document})
        assert reply.error == (400, "InvalidDocumentError")
        assert "JSON" in reply.body["message"]

    @pytest.mark.parametrize("name", ["body", "file", "data"])
    def test_a_text_that_torchserve_has_decoded(self, name: str, ask_one: AskOne) -> None:
        reply = ask_one({name: "hällo"})
        assert reply.error == (415, "UnsupportedImageError")
        assert reply.body["message"].startswith("6 bytes beginning with")

    @pytest.mark.parametrize("name", ["body", "file", "document"])
    def test_another_kind_of_file(self, name: str, ask_one: AskOne) -> None:
        reply = ask_one({name: bytearray(PDF)}, {name: {"content-type": "image/png"}})
        assert reply.error == (415, "UnsupportedImageError")

    def test_a_truncated_image(self, ask_one: AskOne, truncated: bytearray) -> None:
        reply = ask_one({"body": truncated})
        assert reply.error == (422, "UndecodableImageError")

    @pytest.mark.parametrize(
        ("limits", "error"),
        [
            (Settings(max_image_bytes=10), (413, "ImageTooLargeError")),
            (Settings(max_image_pixels=10), (422, "TooManyPixelsError")),
        ],
        ids=["bytes", "pixels"],
    )
    def test_more_than_the_settings_allow(
        self,
        limits: Settings,
        error: tuple[int, str],
        ask_one: AskOne,
        image: bytearray,
        handler: DenseNet121Handler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(handler, "settings", limits)
        reply = ask_one({"body": image})
        assert reply.error == error

    def test_the_phrase_of_the_status(self, ask_one: AskOne) -> None:
        reply = ask_one({"body": bytearray(PDF)})
        assert (reply.status, reply.phrase) == (415, "Unsupported Media Type")

    def test_the_body_repeats_the_status(self, ask_one: AskOne) -> None:
        reply = ask_one({"body": bytearray(PDF)})
        assert list(reply.body) == ["code", "type", "message"]
        assert reply.body["code"] == reply.status

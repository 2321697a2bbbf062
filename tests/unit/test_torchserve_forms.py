import pytest

from densenet_classifier.answers import ListForm, SingleForm
from densenet_classifier.documents import Part
from densenet_classifier.errors import (
    DuplicatePartError,
    InvalidDocumentError,
    InvalidOptionError,
    NoImageError,
)
from densenet_classifier.options import Options
from densenet_classifier.request import Request
from tests.unit.asking import NO_TYPE, PLAIN_TYPE, Headers, Row, form
from torchserve_messages import PART_OVERHEAD, read_request

PNG = bytearray(b"\x89PNG\r\n\x1a\n and more")
DOCUMENTS = ("text/html", "application/openapi+json")


def read(row: Row, headers: Headers | None = None) -> Request:
    return read_request(row, headers or {}, "flowers")


class TestForm:
    def test_of_one_file_is_answered_with_one(self) -> None:
        request = read(*form({"photo": PNG}))
        assert type(request.form) is SingleForm
        assert request.parts == [Part(PNG, "photo")]

    def test_of_several_files_is_answered_with_a_list(self) -> None:
        request = read(*form({"b": PNG, "a": bytearray(b"x"), "c": PNG}))
        assert request.form == ListForm(("b", "a", "c"))
        assert [part.content for part in request.parts] == [PNG, b"x", PNG]

    def test_a_part_that_torchserve_took_for_json_is_refused_by_its_name(self) -> None:
        request = read(*form({"a": PNG, "b": {"b64": "QUJD"}}))
        good, bad = request.parts
        assert good == Part(PNG, "a")
        assert isinstance(bad.content, InvalidDocumentError)
        assert bad.name == "b"

    def test_fields_are_options(self) -> None:
        fields = {"top_k": bytearray(b"5"), "min_probability": "0", "target": bytearray(b"n1")}
        request = read(*form({"file": PNG}, fields))
        assert request.options == Options(top_k=5, min_probability=0, target="n1")

    @pytest.mark.parametrize(
        "value", ["", "abc", "0", "1001", bytearray(b"1.5"), bytearray(b"\xff")]
    )
    def test_a_wrong_option_is_refused(self, value: object) -> None:
        request = read(*form({"file": PNG}, {"top_k": value}))
        assert isinstance(request.error, InvalidOptionError)
        assert "from 1 to 1000" in str(request.error)

    def test_a_file_with_the_name_of_an_option_is_none(self) -> None:
        request = read(*form({"file": PNG, "top_k": bytearray(b"3")}))
        assert (request.parts, request.options.top_k) == ([Part(PNG, "file")], 3)

    def test_a_part_that_torchserve_decoded_is_wrong_by_itself(self) -> None:
        good, bad = read(*form({"file": PNG, "other": {"a": 1}})).parts
        assert good == Part(PNG, "file")
        assert isinstance(bad.content, InvalidDocumentError)

    @pytest.mark.parametrize(("length", "refused"), [(255, False), (256, True)])
    def test_a_file_with_a_long_name_is_wrong_by_itself(
        self, length: int, *, refused: bool
    ) -> None:
        request = read(*form({"ä" * length: PNG, "file": PNG}))
        long, file = request.parts
        assert isinstance(long.content, InvalidDocumentError) is refused
        assert ("may have 255 characters, not 256" in str(long.content)) is refused
        assert request.form == ListForm(("ä" * 255, "file"))
        assert file == Part(PNG, "file")

    def test_of_file_inputs_that_were_left_empty_is_one_empty_image(self) -> None:
        request = read(*form({"one": bytearray(), "two": bytearray()}))
        assert type(request.form) is SingleForm
        assert request.parts == [Part(bytearray(), "one")]

    def test_an_image_whose_type_a_header_of_its_name_hides_is_a_file_too(self) -> None:
        request = read({"host": PNG, "b": PNG}, {"host": "localhost", "b": PLAIN_TYPE})
        assert request.form == ListForm(("host", "b"))

    def test_a_field_that_a_header_of_its_name_hides_is_none(self) -> None:
        request = read({"host": "text", "b": PNG}, {"host": "localhost", "b": PLAIN_TYPE})
        assert request.parts == [Part(PNG, "b")]

    def test_without_a_file_is_refused_with_the_names_of_its_fields(self) -> None:
        request = read(*form({}, {"note": "a", "top_k": "5"}))
        assert isinstance(request.error, NoImageError)
        assert "the form fields note, top_k arrived" in str(request.error)

    @pytest.mark.parametrize(
        ("fields", "shown"),
        [
            (["a" * 41], f"the form fields {'a' * 40} arrived"),
            (list("abcdefgh"), "the form fields a, b, c, d, e, f, g, h arrived"),
            (list("abcdefghi"), "the form fields a, b, c, d, e, f, g, h, ... arrived"),
        ],
        ids=["a long name", "eight", "nine"],
    )
    def test_a_refusal_shows_some_of_the_fields(self, fields: list[str], shown: str) -> None:
        request = read(*form({}, dict.fromkeys(fields, "text")))
        assert shown in str(request.error)

    @pytest.mark.parametrize("accept", DOCUMENTS)
    def test_a_refusal_says_how_to_learn_more(self, accept: str) -> None:
        assert accept in str(read({}).error)


class TestPlainFields:
    @staticmethod
    def sent(field: bytes) -> Request:
        row = {"file": PNG, "caption": bytearray(field)}
        return read(row, {"file": PLAIN_TYPE, "caption": NO_TYPE})

    def test_with_an_image_is_a_part_like_a_file(self) -> None:
        bitmap = b"BM" + (70).to_bytes(4, "little") + bytes(8)
        assert self.sent(bitmap).form == ListForm(("file", "caption"))

    @pytest.mark.parametrize("text", [b"BMW at the lake", b"GIF89a, a format", b""])
    def test_with_a_text_that_begins_like_an_image_is_none(self, text: bytes) -> None:
        assert type(self.sent(text).form) is SingleForm
        alone = read({"caption": bytearray(text)}, {"caption": NO_TYPE})
        assert isinstance(alone.error, NoImageError)


class TestDuplicateParts:
    """TorchServe keeps the last of several parts with one name; Content-Length tells the rest."""

    @staticmethod
    def sent(row: Row, length: object, kind: str = "multipart/form-data; boundary=x") -> Request:
        headers = {"Content-Type": kind, "Content-Length": length}
        return read(row, {**dict.fromkeys(row, PLAIN_TYPE), **headers})

    @pytest.mark.parametrize("parts", [1, 2, 5])
    @pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)], ids=["border", "beyond"])
    def test_are_noticed_by_what_is_missing(self, parts: int, more: int, *, refused: bool) -> None:
        row = {f"file{index}": PNG for index in range(parts)}
        names = len("file0") * parts
        length = len(PNG) * parts + names + PART_OVERHEAD * (parts + 1) + more
        assert isinstance(self.sent(row, str(length)).error, DuplicatePartError) is refused

    def test_a_decoded_text_counts_with_its_bytes(self) -> None:
        row = {"file": PNG, "note": "ä" * 3000}
        length = len(PNG) + 6000 + PART_OVERHEAD * 3
        assert self.sent(row, str(length)).error is None

    def test_the_refusal_says_what_to_do(self) -> None:
        message = str(self.sent({"file": PNG}, "99999").error)
        assert message.startswith(f"Of 99999 bytes only {len(PNG)} arrived, in the parts file:")
        assert "Give each part a name of its own" in message

    @pytest.mark.parametrize("length", [None, "", "x", "-99999", "9" * 5000], ids=repr)
    def test_without_a_length_nothing_can_be_noticed(self, length: object) -> None:
        assert self.sent({"file": PNG}, length).error is None

    def test_a_part_of_json_counts_with_its_text(self) -> None:
        row: Row = {"file": PNG, "note": {"a": "ä" * 3000}}
        length = len(PNG) + 6000 + PART_OVERHEAD * 3
        assert self.sent(row, str(length)).error is None
        assert isinstance(self.sent(row, "99999").error, DuplicatePartError)

    def test_a_part_of_json_counts_with_no_more_than_its_text(self) -> None:
        row: Row = {"file": PNG, "note": {"a": "ä" * 3000}}
        sent = len(PNG) + len('{"a": ""}') + 6000 + len("file") + len("note")
        length = sent + PART_OVERHEAD * 3
        assert self.sent(row, str(length)).error is None
        assert isinstance(self.sent(row, str(length + 1)).error, DuplicatePartError)

    def test_a_form_of_which_no_part_can_be_read_has_no_duplicates(self) -> None:
        error = self.sent({}, "99999").error
        assert isinstance(error, NoImageError)
        assert "boundary" in str(error)

    @pytest.mark.parametrize("kind", ["image/png", "application/json", ""])
    def test_a_body_that_is_no_form_has_none(self, kind: str) -> None:
        assert self.sent({"body": PNG}, "99999", kind).error is None

    def test_the_type_is_known_in_any_spelling(self) -> None:
        request = self.sent({"file": PNG}, "99999", "Multipart/Form-Data; boundary=x")
        assert isinstance(request.error, DuplicatePartError)

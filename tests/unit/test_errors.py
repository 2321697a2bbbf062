import json

import pytest

from densenet_classifier import errors
from densenet_classifier.errors import InternalError, RequestError, shown
from reliability.fuzzing.hostile import nested

STATUS = {
    "NoImageError": 400,
    "DuplicatePartError": 400,
    "TooManyImagesError": 400,
    "SeveralImagesError": 400,
    "InvalidOptionError": 400,
    "InvalidDocumentError": 400,
    "ImageTooLargeError": 413,
    "UnsupportedImageError": 415,
    "UndecodableImageError": 422,
    "TooManyPixelsError": 422,
    "InternalError": 500,
    "OverloadedError": 503,
    "DrainingError": 503,
}
# These say the same to everybody.
FIXED = {"InternalError", "OverloadedError", "DrainingError"}


@pytest.mark.parametrize(("name", "status"), STATUS.items())
def test_each_error_has_its_status(name: str, status: int) -> None:
    assert getattr(errors, name).status == status


def test_the_table_is_complete() -> None:
    assert {error.__name__ for error in RequestError.__subclasses__()} == set(STATUS)


@pytest.mark.parametrize("name", sorted(set(STATUS) - FIXED))
def test_the_body_has_the_form_of_torchserve(name: str) -> None:
    body = getattr(errors, name)("what is wrong").body()
    assert body == {"code": STATUS[name], "type": name, "message": "what is wrong"}
    assert list(body) == ["code", "type", "message"]


def test_the_code_is_written_as_a_number() -> None:
    assert '"code": 500' in json.dumps(InternalError().body())


def test_an_internal_error_reveals_nothing() -> None:
    try:
        try:
            open("/secret/place")  # noqa: PTH123, SIM115
        except OSError as cause:
            raise InternalError from cause
    except InternalError as error:
        body = error.body()
    assert body == {
        "code": 500,
        "type": "InternalError",
        "message": "The server failed on this request. Its log says why.",
    }


@pytest.mark.parametrize(
    ("name", "start"),
    [("OverloadedError", "The server had no time left"), ("DrainingError", "This server is being")],
)
def test_who_shall_try_again_is_told_so(name: str, start: str) -> None:
    message = getattr(errors, name)().body()["message"]
    assert message.startswith(start)
    assert "Try again" in message


def test_an_internal_error_takes_no_text() -> None:
    with pytest.raises(TypeError):
        InternalError("password")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("five", "'five'"), (5, "5"), (None, "None"), (True, "True"), ([5], "a list"),
        ({"a": 5}, "an object"), (nested(depth=10_000), "a list"), ("x" * 38, f"'{'x' * 38}'"),
        ("x" * 39, f"'{'x' * 39}..."),
    ],
    ids=["text", "number", "null", "bool", "list", "object", "deep", "just short", "too long"],
)  # fmt: skip
def test_a_message_shows_what_arrived_as_far_as_it_can(value: object, text: str) -> None:
    assert shown(value) == text

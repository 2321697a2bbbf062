"""While the file `refusing` lies beside the locks, images are refused and the rest is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
from densenet_classifier.images import Picture
from tests.unit.asking import EXPLAIN, Ask, AskOne, Headers, Row, base64_text, tensor_request

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def mark(unpacked: Path) -> Iterator[Path]:
    path = unpacked / "workers" / "refusing"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["raw", "form", "list", "tensor", "explanation"])
def test_images_are_refused_in_the_form_of_their_answer(
    kind: str, ask_one: AskOne, image: bytearray, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = base64_text(image)
    requests: dict[str, tuple[Row, Headers]] = {
        "raw": ({"body": image}, {}),
        "form": ({"file": image}, {}),
        "list": ({"body": [text, text]}, {}),
        "tensor": ({"body": tensor_request([text])}, {}),
        "explanation": ({"body": image}, EXPLAIN | {"accept": "image/png"}),
    }

    def decode(_: Picture) -> None:
        pytest.fail("an image was decoded")

    monkeypatch.setattr(Picture, "pixels", decode)
    mark.touch()
    reply = ask_one(*requests[kind])
    assert reply.error == (503, "DrainingError")
    assert reply.headers["Retry-After"] == "1"
    assert ("error" in reply.body) == (kind == "tensor")


def test_what_is_no_image_is_answered_all_the_same(
    ask: Ask, handler: DenseNet121Handler, image: bytearray, mark: Path
) -> None:
    mark.touch()
    replies = ask(
        [{}, {"body": b""}, {"body": b""}, {"body": image}],
        [
            {"describe": "True"},
            {"accept": "text/html"},
            {"accept": "application/openapi+json"},
            {},
        ],
    )
    assert [reply.status for reply in replies] == [200, 200, 200, 503]
    assert replies[0].body == handler.classifier.describe()


def test_a_batch_that_was_begun_is_answered(
    ask_one: AskOne, image: bytearray, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify = Classifier.classify

    def draining(*arguments: object) -> object:
        mark.touch()
        return classify(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Classifier, "classify", draining)
    assert ask_one({"body": image}).status == 200
    assert ask_one({"body": image}).status == 503


def test_without_the_file_all_is_as_before(ask_one: AskOne, image: bytearray, mark: Path) -> None:
    mark.touch()
    assert ask_one({"body": image}).status == 503
    mark.unlink()
    reply = ask_one({"body": image})
    assert reply.status == 200
    assert "Retry-After" not in reply.headers

import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.settings import Settings
from tests.unit.asking import PLAIN_TYPE, Ask, AskOne, Row, base64_text, entry, tensor_request

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = "ä" * 1_000_000  # six times as long in JSON


@pytest.fixture(scope="module")
def texts(images: list[bytearray]) -> list[str]:
    return [base64_text(image) for image in images]


class TestLimits:
    @pytest.fixture
    def settings(self, handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch) -> Settings:
        # Two of the pictures, whose pixels count twice: they are PNGs.
        limits = Settings(max_images_per_request=3, max_request_pixels=2 * 2 * 64 * 48)
        monkeypatch.setattr(handler, "settings", limits)
        return limits

    @pytest.mark.usefixtures("settings")
    @pytest.mark.parametrize(("count", "status"), [(3, 200), (4, 400)])
    def test_the_number_of_images(
        self, count: int, status: int, ask_one: AskOne, texts: list[str]
    ) -> None:
        documents_ = [texts[:1] * count, tensor_request(texts[:1] * count)]
        rows = [{"body": each} for each in documents_]
        assert [ask_one(row).status for row in rows] == [status, status]

    @pytest.mark.usefixtures("settings")
    def test_too_many_images_are_refused_with_both_numbers(
        self, ask_one: AskOne, texts: list[str]
    ) -> None:
        reply = ask_one({"body": texts})
        assert reply.error == (400, "TooManyImagesError")
        assert reply.body["message"] == "5 images arrived; at most 3 are accepted."

    @pytest.mark.parametrize("kind", ["list", "tensor"])
    def test_too_many_images_are_refused_before_they_are_read(
        self, kind: str, ask_one: AskOne, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[str] = []

        def decode_base64(text: str) -> bytes:
            read.append(text)
            return b""

        monkeypatch.setattr("densenet_classifier.documents.decode_base64", decode_base64)
        monkeypatch.setattr("densenet_classifier.tensors.decode_base64", decode_base64)
        images = ["QUJD"] * 10_000
        reply = ask_one({"body": images if kind == "list" else tensor_request(images)})
        assert reply.error == (400, "TooManyImagesError")
        assert len(read) <= 256  # the most that the setting can allow

    @pytest.mark.usefixtures("settings")
    def test_the_pixels_of_all_images(self, ask_one: AskOne, texts: list[str]) -> None:
        reply = ask_one({"body": texts[:3]})
        assert reply.entries[:2] == [entry(0), entry(1)]
        assert reply.entries[2]["error"]["type"] == "TooManyPixelsError"

    @pytest.mark.usefixtures("settings")
    def test_the_pixels_of_other_requests_do_not_count(
        self, ask: Ask, images: list[bytearray]
    ) -> None:
        assert [reply.status for reply in ask([{"body": each} for each in images])] == [200] * 5

    @pytest.mark.parametrize(
        "row",
        [
            {"body": [{"b64": "", "name": LONG}]},
            {"body": tensor_request(["", ""], id=LONG)},
            {LONG: b"BM", "file": b"BM"},
        ],
        ids=["name of an image", "id of a request", "name of a file"],
    )
    def test_what_is_repeated_to_the_client_does_not_fill_the_answer(
        self, row: Row, ask_one: AskOne
    ) -> None:
        assert len(ask_one(row, dict.fromkeys(row, PLAIN_TYPE)).text) < 100_000

from collections.abc import Iterator

import pytest

from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.errors import InternalError
from densenet_classifier.gradcam import HeatMap
from tests.unit.asking import EXPLAIN, Ask, AskOne, Headers, Row, base64_text

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURE: Headers = EXPLAIN | {"accept": "image/png"}


class TestFaults:
    @pytest.fixture
    def one_broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The heat map of class 1 fails."""

        def broken(classifier: Classifier, finding: Finding, index: int) -> HeatMap:
            if index == 1:
                message = "/secret/path is full"
                raise OSError(message)
            return genuine(classifier, finding, index)

        genuine = Classifier.heat_map
        with monkeypatch.context() as patch:
            patch.setattr(Classifier, "heat_map", broken)
            yield

    @pytest.mark.usefixtures("one_broken")
    def test_of_one_explanation_costs_only_its_image(
        self, ask_one: AskOne, images: list[bytearray], caplog: pytest.LogCaptureFixture
    ) -> None:
        texts = [base64_text(image) for image in images[:3]]
        entries = ask_one({"body": texts}, EXPLAIN).entries
        assert [each.get("class_name") for each in entries] == ["class 0", None, "class 2"]
        assert entries[1] == {"error": InternalError().body()}
        assert "/secret/path is full" in caplog.text

    @pytest.mark.usefixtures("one_broken")
    def test_of_one_explanation_leaves_other_requests_alone(
        self, ask: Ask, images: list[bytearray]
    ) -> None:
        rows: list[Row] = [{"body": image} for image in [images[0], images[1], images[1]]]
        replies = ask(rows, [EXPLAIN, EXPLAIN, {}])
        assert [reply.status for reply in replies] == [200, 500, 200]

    @pytest.mark.usefixtures("one_broken")
    def test_of_a_picture_is_answered_as_json(
        self, ask_one: AskOne, images: list[bytearray]
    ) -> None:
        reply = ask_one({"body": images[1]}, PICTURE)
        assert reply.error == (500, "InternalError")
        assert reply.headers["content-type"] == "application/json"

    def test_of_all_explanations_leave_predictions_alone(
        self, ask: Ask, images: list[bytearray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: Classifier, __: Finding, ___: int) -> None:
            message = "CUDA out of memory"
            raise RuntimeError(message)

        monkeypatch.setattr(Classifier, "heat_map", broken)
        rows: list[Row] = [{"body": image} for image in images[:3]]
        replies = ask(rows, [{}, EXPLAIN, {}])
        assert [reply.status for reply in replies] == [200, 500, 200]
        assert "CUDA" not in replies[1].text

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

import densenet121_handler
from densenet121_handler import DenseNet121Handler
from densenet_classifier.engine import Outputs
from densenet_classifier.errors import InternalError
from densenet_classifier.images import Picture, Pixels
from densenet_classifier.request import Request
from tests.unit.asking import (
    EXPLAIN,
    NO_TYPE,
    PDF,
    PLAIN_TYPE,
    Ask,
    AskOne,
    Headers,
    Row,
    base64_text,
    entry,
    form,
    tensor_request,
)
from torchserve_messages import read_request

pytestmark = pytest.mark.usefixtures("one_thread")


class TestBatch:
    def test_the_order_is_kept(self, ask: Ask, images: list[bytearray]) -> None:
        order = [3, 0, 4, 1, 2, 0]
        replies = ask([{"body": images[index]} for index in order])
        assert [reply.body["class_name"] for reply in replies] == [f"class {i}" for i in order]

    def test_a_bad_image_leaves_its_neighbours_alone(
        self, ask: Ask, images: list[bytearray], truncated: bytearray
    ) -> None:
        rows: list[Row] = [{"body": images[1]}, {"body": truncated}, {"file": images[4]}]
        replies = ask(rows)
        assert [reply.status for reply in replies] == [200, 422, 200]
        assert [replies[0].text, replies[2].text] == [ask([rows[i]])[0].text for i in (0, 2)]

    def test_each_row_has_its_own_headers(self, ask: Ask) -> None:
        row: Row = {"document": bytearray(PDF)}
        headers: list[Headers] = [{"document": NO_TYPE}, {"document": PLAIN_TYPE}]
        assert [reply.status for reply in ask([row, row], headers)] == [400, 415]

    def test_only_bad_requests(self, ask: Ask, truncated: bytearray) -> None:
        replies = ask([{}, {"body": truncated}, {"body": None}])
        assert [reply.status for reply in replies] == [400, 422, 400]

    def test_what_cannot_be_told_costs_no_answer(
        self,
        handler: DenseNet121Handler,
        ask: Ask,
        images: list[bytearray],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError("no log")

        monkeypatch.setattr(handler.telemetry, "tell", fail)
        replies = ask([{"body": images[0]}, {"body": images[1]}])
        assert [reply.status for reply in replies] == [200, 200]

    def test_no_request(self, ask: Ask) -> None:
        assert ask([]) == []

    def test_every_answer_names_the_weights_and_is_json(
        self, ask: Ask, image: bytearray, truncated: bytearray
    ) -> None:
        replies = ask(
            [{"body": image}, {"body": truncated}, {}, {}], [{}, {}, {}, {"describe": "True"}]
        )
        expected = {"content-type": "application/json", "X-Model-Weights": "custom:test"}
        assert [reply.headers for reply in replies] == [expected] * 4

    def test_nothing_of_a_request_is_kept(
        self, ask: Ask, handler: DenseNet121Handler, image: bytearray, truncated: bytearray
    ) -> None:
        before = {key: id(value) for key, value in vars(handler).items()}
        ask([{"body": image}, {"body": truncated}, {}])
        assert {key: id(value) for key, value in vars(handler).items()} == before

    def test_among_images(self, ask: Ask, images: list[bytearray]) -> None:
        rows: list[Row] = [{"body": images[0]}, {}, {"body": images[1]}]
        replies = ask(rows, [{}, {"describe": "True"}, {}])
        assert [next(iter(reply.body)) for reply in replies] == ["class_id", "version", "class_id"]


class TestThreads:
    """Images are decoded side by side where there are threads for it."""

    @pytest.fixture
    def names(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """The names of the threads that decode in the test."""
        seen: set[str] = set()
        pixels = Picture.pixels

        def decode(picture: Picture) -> Pixels:
            seen.add(threading.current_thread().name)
            return pixels(picture)

        monkeypatch.setattr(Picture, "pixels", decode)
        return seen

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_there_are_as_many_as_the_worker_may_have(
        self,
        threads: int,
        handler: DenseNet121Handler,
        ask: Ask,
        images: list[bytearray],
        names: set[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pools: list[int] = []

        def pool(size: int) -> ThreadPoolExecutor:
            pools.append(size)
            return ThreadPoolExecutor(size)

        monkeypatch.setattr(handler.cores, "now", lambda: threads)
        monkeypatch.setattr(densenet121_handler, "ThreadPoolExecutor", pool)
        replies = ask([{"body": image} for image in images])
        assert [reply.status for reply in replies] == [200] * 5
        assert pools == [threads]
        own = threading.current_thread().name
        assert (names == {own}) if threads == 1 else (own not in names)


class Run(NamedTuple):
    images: int
    features: bool


class TestRunsOfTheNetwork:
    @pytest.fixture
    def runs(self, handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
        """The runs of an engine that takes twenty images at a time and finds class 2 in all."""
        seen: list[Run] = []

        def run(images: Sequence[Pixels], *, features: bool) -> Outputs:
            seen.append(Run(len(images), features))
            logits = np.tile(np.array([0, 0, 2, 0, 0], np.float32), (len(images), 1))
            maps = np.zeros((len(images), 1024, 7, 7), np.float32)
            return Outputs(logits, maps if features else None)

        monkeypatch.setattr(handler.classifier.engine, "batch", 20)
        monkeypatch.setattr(handler.classifier.engine, "run", run)
        return seen

    def test_one_for_all_images_of_all_requests(
        self, ask: Ask, runs: list[Run], images: list[bytearray], truncated: bytearray
    ) -> None:
        texts = [base64_text(each) for each in images]
        row, types = form({"a": images[0], "b": truncated, "c": images[1]})
        rows: list[Row] = [
            {"body": images[0]}, row, {"body": texts[:3]}, {}, {"body": tensor_request(texts[:2])}
        ]  # fmt: skip
        replies = ask(rows, [{}, types, {}, {}, {}])
        assert [reply.status for reply in replies] == [200, 200, 200, 400, 200]
        assert runs == [Run(1 + 2 + 3 + 2, features=False)]

    def test_one_for_predictions_and_explanations(
        self, ask: Ask, runs: list[Run], images: list[bytearray]
    ) -> None:
        rows: list[Row] = [{"body": image} for image in images[:3]]
        replies = ask(rows, [{}, EXPLAIN, EXPLAIN | {"accept": "image/png"}])
        assert [reply.status for reply in replies] == [200] * 3
        assert runs == [Run(3, features=True)]

    @pytest.mark.parametrize("options", [{}, {"top_k": "5"}, {"target": "n00000003"}])
    def test_one_for_an_explained_image_however_many_its_maps(
        self, options: Row, ask_one: AskOne, runs: list[Run], image: bytearray
    ) -> None:
        assert "heatmap" in ask_one({"body": image, **options}, EXPLAIN).body
        assert runs == [Run(1, features=True)]

    def test_no_more_images_than_a_run_bears(
        self, ask: Ask, runs: list[Run], image: bytearray
    ) -> None:
        text = base64_text(image)
        ask([{"body": [text] * 25}, {"body": [text] * 25}])
        assert [run.images for run in runs] == [20, 20, 10]

    def test_features_only_where_somebody_explains(
        self, ask: Ask, runs: list[Run], image: bytearray
    ) -> None:
        text = base64_text(image)
        ask([{"body": [text] * 25}, {"body": image}], [{}, EXPLAIN])
        assert runs == [Run(20, features=True), Run(6, features=False)]

    def test_none_without_images(self, ask: Ask, runs: list[Run], truncated: bytearray) -> None:
        ask([{}, {"body": truncated}, {"body": ["#"]}])
        assert runs == []


class TestFaultsOfTheServer:
    @pytest.fixture
    def broken_decode(self, monkeypatch: pytest.MonkeyPatch, pixels: list[Pixels]) -> None:
        def decode(picture: Picture) -> Pixels:
            found = genuine(picture)
            if np.array_equal(found, pixels[1]):
                message = "/secret/path is full"
                raise OSError(message)
            return found

        genuine = Picture.pixels
        monkeypatch.setattr(Picture, "pixels", decode)

    @pytest.fixture
    def broken_inference(
        self, handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def run(_: object, *, features: bool) -> None:
            # TorchServe answers an exception with this word with 507 for everybody.
            message = f"CUDA out of memory at /secret/path, {features=}"
            raise RuntimeError(message)

        monkeypatch.setattr(handler.classifier.engine, "run", run)

    @pytest.mark.usefixtures("broken_decode")
    def test_an_unforeseen_fault_costs_only_its_own_request(
        self, ask: Ask, images: list[bytearray]
    ) -> None:
        replies = ask([{"body": image} for image in images[:3]])
        assert [reply.status for reply in replies] == [200, 500, 200]
        assert [replies[0].body["class_name"], replies[2].body["class_name"]] == [
            "class 0",
            "class 2",
        ]

    @pytest.mark.usefixtures("broken_decode")
    def test_it_is_told_in_the_log_and_not_to_the_client(
        self, ask_one: AskOne, images: list[bytearray], caplog: pytest.LogCaptureFixture
    ) -> None:
        reply = ask_one({"body": images[1]})
        assert reply.error == (500, "InternalError")
        assert "secret" not in reply.text
        assert "/secret/path is full" in caplog.text

    @pytest.mark.usefixtures("broken_inference")
    def test_a_failing_network_is_answered_for_images_only(
        self, ask: Ask, images: list[bytearray], truncated: bytearray
    ) -> None:
        rows: list[Row] = [
            {"body": images[0]}, {"body": truncated}, {}, {"body": images[1]}, {}
        ]  # fmt: skip
        replies = ask(rows, [{}, {}, {}, {}, {"describe": "True"}])
        assert [reply.status for reply in replies] == [500, 422, 400, 500, 200]

    @pytest.mark.usefixtures("broken_inference")
    def test_a_failing_network_is_told_in_the_log_and_not_to_the_client(
        self, ask_one: AskOne, image: bytearray, caplog: pytest.LogCaptureFixture
    ) -> None:
        reply = ask_one({"body": image})
        assert reply.error == (500, "InternalError")
        assert "CUDA" not in reply.text
        assert "CUDA out of memory at /secret/path" in caplog.text

    @pytest.mark.usefixtures("broken_decode")
    def test_an_unforeseen_fault_of_one_image_leaves_the_others_of_its_request(
        self, ask_one: AskOne, images: list[bytearray]
    ) -> None:
        reply = ask_one({"body": [base64_text(image) for image in images[:3]]})
        assert reply.status == 200
        assert (reply.entries[0], reply.entries[2]) == (entry(0), entry(2))
        assert reply.entries[1] == {"error": InternalError().body()}

    def test_an_unforeseen_fault_of_reading_costs_only_its_own_request(
        self,
        ask: Ask,
        images: list[bytearray],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def read(row: Row, *others: Any) -> Request:
            if row["body"] == images[1]:
                message = "/secret/path is full"
                raise OSError(message)
            return read_request(row, *others)

        monkeypatch.setattr(densenet121_handler, "read_request", read)
        replies = ask([{"body": image} for image in images[:3]])
        assert [reply.status for reply in replies] == [200, 500, 200]
        assert "secret" not in replies[1].text
        assert "/secret/path is full" in caplog.text

    def test_a_bad_request_does_not_fill_the_log(
        self, ask: Ask, truncated: bytearray, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="densenet121_handler")
        ask([{"body": truncated}, {}])
        assert caplog.text == ""

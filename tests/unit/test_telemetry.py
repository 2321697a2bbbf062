import json
import re
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

from densenet_classifier.answers import Entry
from densenet_classifier.classifier import Finding
from densenet_classifier.errors import OverloadedError, RequestError, UndecodableImageError
from densenet_classifier.images import Pixels
from densenet_classifier.telemetry import Batch, Observation, Seconds, Seen, Served

SECONDS = Seconds(decode=0.0123456789, inference=0.5, total=0.75)
CLASS: Entry = {"class_id": "n1", "class_name": "one"}
NONE: Entry = {"class_id": None, "class_name": None}


def finding(pixels: list[Pixels], probability: float) -> Finding:
    rest = 1 - probability
    return Finding(pixels[0], np.array([rest, probability], np.float32), None)


def served(*requests: Seen, status: HTTPStatus = HTTPStatus.OK) -> Batch:
    return Batch([Served(seen, status, "id") for seen in requests], SECONDS)


def lines(batch: Batch) -> list[dict[str, Any]]:
    return [json.loads(line) for line in batch.lines(model="flowers", worker_pid=7)]


def observed(batch: Batch, metric: str) -> list[float]:
    name = f"densenet121_{metric}"
    return [each.value for each in batch.observations() if each.metric == name]


class TestSeen:
    def test_a_refusal_names_the_error_and_the_images_that_came(self) -> None:
        assert Seen.refused(OverloadedError(), 3) == Seen(3, ("OverloadedError",))
        assert Seen.refused(OverloadedError()).images == 0

    def test_answers_and_errors_stay_apart(self, pixels: list[Pixels]) -> None:
        bad, late = UndecodableImageError("cut"), OverloadedError()
        findings: list[Finding | RequestError] = [
            finding(pixels, 0.75),
            bad,
            finding(pixels, 0.625),
            finding(pixels, 0.875),
        ]
        seen = Seen.answered(findings, [CLASS, bad, NONE, late])
        assert seen.images == 4
        assert seen.errors == ("UndecodableImageError", "OverloadedError")
        assert (seen.probabilities, seen.unrecognised) == ((0.75, 0.625), 1)

    def test_what_was_recognised_is_not_among_the_unrecognised(self, pixels: list[Pixels]) -> None:
        findings = [finding(pixels, 0.75)] * 3
        assert Seen.answered(findings, [CLASS, CLASS, NONE]).unrecognised == 1

    def test_a_picture_counts_as_answered(self, pixels: list[Pixels]) -> None:
        seen = Seen.answered([finding(pixels, 0.75)], [b"PNG"])
        assert (seen.images, seen.probabilities, seen.unrecognised) == (1, (0.75,), 0)


class TestLines:
    def test_each_request_has_one_with_all_that_is_known(self) -> None:
        seen = Seen(2, ("UndecodableImageError",), (0.5,))
        batch = Batch(
            [Served(seen, HTTPStatus.OK, "id 1", "trace-7"), Served(Seen(), HTTPStatus.OK, "id 2")],
            SECONDS,
        )
        first, second = lines(batch)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
        assert first == {
            "level": "INFO", "event": "request", "request_id": "id 1",
            "client_request_id": "trace-7", "status": 200, "images": 2,
            "errors": ["UndecodableImageError"], "batch_size": 2, "images_in_batch": 2,
            "decode_s": 0.012346, "inference_s": 0.5, "total_s": 0.75, "model": "flowers",
            "worker_pid": 7,
        }  # fmt: skip
        assert (second["request_id"], second["images"], second["images_in_batch"]) == ("id 2", 0, 2)
        assert "client_request_id" not in second

    def test_the_time_is_utc_wherever_the_server_stands(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as there:
            there.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            (line,) = lines(served(Seen()))
        time.tzset()
        told = datetime.fromisoformat(line["time"])
        assert abs((told - datetime.now(UTC)).total_seconds()) < 60

    @pytest.mark.parametrize(("status", "level"), [(422, "INFO"), (500, "WARN"), (503, "WARN")])
    def test_a_fault_of_the_server_stands_out(self, status: int, level: str) -> None:
        (line,) = lines(served(Seen(), status=HTTPStatus(status)))
        assert line["level"] == level

    @pytest.mark.parametrize(
        ("sent", "told"),
        [
            ("01890a5d-ac96-774b-bcce-b302099a8057",) * 2,
            ('x", "status": 200', "x____status_:_200"),
            ("a\nb\x1b[31m\u2028é", "a_b__31m__"),
            ("9" * 1000, "9" * 64),
        ],
        ids=["a UUID", "forged fields", "control characters", "too long"],
    )
    def test_a_clients_id_is_short_and_harmless(self, sent: str, told: str) -> None:
        (line,) = Batch([Served(Seen(), HTTPStatus.OK, "id", sent)], SECONDS).lines()
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["client_request_id"] == told


class TestObservations:
    def test_a_batch_tells_its_times_and_sizes_once(self) -> None:
        batch = served(Seen(2, (), (0.5, 0.25)), Seen(1, (), (0.75,)))
        assert observed(batch, "batch_decode_seconds") == [SECONDS.decode]
        assert observed(batch, "batch_inference_seconds") == [SECONDS.inference]
        assert observed(batch, "batch_seconds") == [SECONDS.total]
        assert observed(batch, "batch_requests") == [2]
        assert observed(batch, "request_images") == [2, 1]
        assert observed(batch, "top_probability") == [0.5, 0.25, 0.75]
        assert observed(batch, "images_answered_total") == [3]

    def test_the_unrecognised_are_among_the_answered(self) -> None:
        batch = served(Seen(2, (), (0.5, 0.1), 1), Seen(1, (), (0.1,), 1))
        assert observed(batch, "images_answered_total") == [3]
        assert observed(batch, "images_unrecognised_total") == [2]

    def test_their_counter_exists_before_the_first(self) -> None:
        assert observed(served(Seen(1, (), (0.5,))), "images_unrecognised_total") == [0]

    def test_each_reason_is_counted_apart(self) -> None:
        batch = served(Seen(3, ("A", "B", "A")), Seen(1, ("A",)))
        rejections = [each for each in batch.observations() if each.reason]
        name = "densenet121_rejections_total"
        assert rejections == [Observation(name, 3, "A"), Observation(name, 1, "B")]

    def test_refusals_alone_tell_no_times(self) -> None:
        told = {each.metric for each in served(Seen(1, ("DrainingError",))).observations()}
        assert told == {"densenet121_request_images", "densenet121_rejections_total"}

    def test_a_page_tells_nothing(self) -> None:
        assert list(served(Seen(), Seen()).observations()) == []

"""What the handler tells TorchServe: metrics through its own cache, lines through its log."""

import importlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from archive_builder import ROOT
from densenet121_handler import DenseNet121Handler
from densenet_classifier import __version__
from densenet_classifier.telemetry import Batch, Seconds, Seen, Served
from tests.unit.asking import EXPLAIN, Ask, AskOne, base64_text
from torchserve_telemetry import Telemetry

pytestmark = pytest.mark.usefixtures("one_thread")

METRICS = ROOT / "deploy" / "metrics.yaml"
VALUE = re.compile(r"\[METRICS\](\w+)\.(\w+):([0-9.e-]+)\|#([^|]*)\|#type:(\w+)\|.*")


def telemetry(new_context: Callable[..., Any], declared: Path | None) -> Telemetry:
    """Return the telemetry of a worker whose server has this metrics_config."""
    context = new_context(Path(), {})
    context.manifest = {"model": {"modelVersion": __version__}}
    if declared:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves the file open
            module = importlib.import_module("ts.metrics.metric_cache_yaml_impl")
            context.metrics = module.MetricsCacheYamlImpl(str(declared))
            context.metrics.initialize_cache()
    return Telemetry(context)


def metrics(log: pytest.LogCaptureFixture) -> dict[str, list[tuple[float, str]]]:
    told: dict[str, list[tuple[float, str]]] = {}
    for message in log.messages:
        if match := VALUE.fullmatch(message):
            told.setdefault(match[1], []).append((float(match[3]), match[4]))
    return told


def request_lines(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = "\n".join(log.messages).splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"time"')]


@pytest.fixture
def declared(
    handler: DenseNet121Handler,
    new_context: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> pytest.LogCaptureFixture:
    """The handler, of a server with our metrics, and what it logs."""
    monkeypatch.setattr(handler, "telemetry", telemetry(new_context, METRICS))
    caplog.set_level(logging.INFO)
    caplog.clear()
    return caplog


def test_metrics_have_their_values_and_labels(
    declared: pytest.LogCaptureFixture,
    ask: Ask,
    images: list[bytearray],
    truncated: bytearray,
    flat: bytearray,
) -> None:
    two = {"body": [base64_text(images[0]), base64_text(flat)]}
    ask([{"body": images[1]}, two, {"body": truncated}, {}])
    told = metrics(declared)
    of_model = f"model_name:densenet121,model_version:{__version__}"
    assert told["densenet121_images_answered_total"] == [(3, of_model)]
    assert told["densenet121_images_unrecognised_total"] == [(1, of_model)]
    assert told["densenet121_batch_requests"] == [(4, of_model)]
    assert told["densenet121_request_images"] == [(1, of_model), (2, of_model), (1, of_model)]
    assert told["densenet121_rejections_total"] == [
        (1, f"{of_model},reason:NoImageError"),
        (1, f"{of_model},reason:UndecodableImageError"),
    ]
    assert all(0 < value <= 1 for value, _ in told["densenet121_top_probability"])
    decode, inference, total = (
        told[f"densenet121_batch_{step}seconds"][0][0] for step in ("decode_", "inference_", "")
    )
    assert 0 < decode < decode + inference < total < 60
    assert not [record for record in declared.records if record.levelno > logging.INFO]


def test_without_a_declaration_nothing_is_told(
    handler: DenseNet121Handler,
    new_context: Callable[..., Any],
    ask_one: AskOne,
    image: bytearray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    others = tmp_path / "metrics.yaml"
    others.write_text("model_metrics: {gauge: [{name: A, unit: ms, dimensions: [ModelName]}]}")
    monkeypatch.setattr(handler, "telemetry", telemetry(new_context, others))
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert ask_one({"body": image}).status == 200
    assert metrics(caplog) == {}
    assert len(request_lines(caplog)) == len(caplog.messages) == 1


def test_each_request_has_its_line(
    declared: pytest.LogCaptureFixture, ask: Ask, image: bytearray, truncated: bytearray
) -> None:
    ids = [{"X-Request-ID": "first"}, {"x-request-id": "second"}, {}, {"describe": "True"}]
    ask([{"body": image}, {"file": truncated}, {}, {}], [dict(each) for each in ids])
    lines = request_lines(declared)
    told = [(line["status"], line["images"], line["errors"]) for line in lines]
    assert told == [
        (200, 1, []),
        (422, 1, ["UndecodableImageError"]),
        (400, 0, ["NoImageError"]),
        (200, 0, []),
    ]
    assert [line.get("client_request_id") for line in lines] == ["first", "second", None, None]
    assert [line["request_id"] for line in lines] == ["id 0", "id 1", "id 2", "id 3"]
    assert {line["worker_pid"] for line in lines} == {os.getpid()}
    assert {(line["model"], line["model_version"]) for line in lines} == {
        ("densenet121", __version__)
    }
    assert {line["batch_size"] for line in lines} == {4}


def test_a_refused_request_and_a_picture_count_with_their_images(
    declared: pytest.LogCaptureFixture, ask: Ask, image: bytearray, truncated: bytearray
) -> None:
    picture = EXPLAIN | {"accept": "image/png"}
    ask(
        [{"body": [""] * 33}, {"body": image}, {"body": truncated}],
        [{}, dict(picture), dict(picture)],
    )
    told = [(line["images"], line["errors"]) for line in request_lines(declared)]
    assert told == [(33, ["TooManyImagesError"]), (1, []), (1, ["UndecodableImageError"])]
    assert metrics(declared)["densenet121_images_answered_total"][0][0] == 1


def test_a_label_that_is_not_known_is_empty(
    new_context: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "metrics.yaml"
    metric = "{name: densenet121_request_images, unit: Count, dimensions: [reason, model_name, of]}"
    file.write_text(f"model_metrics: {{counter: [{metric}]}}")
    caplog.set_level(logging.INFO)
    batch = Batch([Served(Seen(2), HTTPStatus.OK)], Seconds(0.1, 0.1, 0.2))
    telemetry(new_context, file).tell(batch)
    labels = [(2, "reason:,model_name:densenet121,of:")]
    assert metrics(caplog) == {"densenet121_request_images": labels}


def test_nothing_of_a_client_is_in_the_log(
    declared: pytest.LogCaptureFixture, ask_one: AskOne, image: bytearray
) -> None:
    named = {"b64": base64_text(image), "name": "holiday.jpg"}
    assert ask_one({"body": [named]}, {"Authorization": "Bearer secret"}).status == 200
    text = "\n".join(declared.messages)
    assert request_lines(declared)
    for private in ("holiday", "secret", base64_text(image)[:20]):
        assert private not in text


def test_no_request_is_no_line(declared: pytest.LogCaptureFixture, ask: Ask) -> None:
    assert ask([]) == []
    assert declared.messages == []

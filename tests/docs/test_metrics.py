"""docs/METRICS.md, deploy/metrics.yaml and what the handler observes name the same metrics."""

import json
from http import HTTPStatus
from typing import Any

import pytest
import yaml

from archive_builder import ROOT
from densenet_classifier.telemetry import Batch, Observation, Seconds, Seen, Served
from server_control.configuration import Configuration

METRICS = ROOT / "deploy" / "metrics.yaml"
DECLARED: dict[str, dict[str, list[dict[str, Any]]]] = yaml.safe_load(METRICS.read_text())

SEEN = Seen(2, ("UndecodableImageError",), (0.5,), 1)
BATCH = Batch([Served(SEEN, HTTPStatus.OK, "id", "proxy")], Seconds(0.1, 0.2, 0.4))


def table(header: str, at: int = 0) -> list[list[str]]:
    """Return the cells of a table of the document, of several with this header the one `at`."""
    text = (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8")
    rows = []
    for line in text.split(f"| {header} |")[at + 1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def declared(section: str) -> dict[str, str]:
    """Return the kind of each metric that is declared."""
    return {
        metric["name"]: kind for kind, metrics in DECLARED[section].items() for metric in metrics
    }


def test_every_metric_has_its_row_with_its_kind() -> None:
    written = {name: kind for at in (0, 1) for name, kind, *_ in table("metric", at)}
    assert written == declared("ts_metrics") | declared("model_metrics")


def test_what_the_handler_observes_is_what_is_declared() -> None:
    observations = list(BATCH.observations())
    names = {each.metric for each in observations}
    assert names == {name for name in declared("model_metrics") if name.startswith("densenet121")}
    kinds = declared("model_metrics")
    assert all(name.endswith("_total") == (kinds[name] == "counter") for name in names)


def test_only_reasons_have_a_label_of_their_own() -> None:
    observed = {each.metric: each for each in BATCH.observations()}
    for metrics in DECLARED["model_metrics"].values():
        for metric in metrics:
            if metric["name"] in observed:
                of_error = observed[metric["name"]].reason is not None
                labels = ["model_name", "model_version", *(["reason"] if of_error else [])]
                assert metric["dimensions"] == labels


@pytest.mark.parametrize(
    "observation", list(BATCH.observations()), ids=lambda each: str(each.metric)
)
def test_a_name_tells_its_unit(observation: Observation) -> None:
    unit = {name: unit for name, _, unit, _ in table("metric")}[observation.metric]
    assert ("seconds" in observation.metric) == (unit == "seconds")


def test_every_key_of_a_line_has_its_row_in_its_order() -> None:
    (line,) = BATCH.lines(model="m", model_version="1", worker_pid=7)
    assert [name for name, _ in table("key of `requests.log`")] == list(json.loads(line))


def test_the_configuration_declares_these_metrics() -> None:
    assert Configuration.load({}).values["metrics_config"] == str(METRICS)

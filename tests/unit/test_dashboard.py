"""The files for Grafana and Prometheus hold together; tests/server/test_prometheus.py runs them."""

import json
import re
from typing import Any

import yaml

from archive_builder import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/densenet121.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def test_no_panel_covers_another() -> None:
    taken = [
        (place["x"] + dx, place["y"] + dy)
        for place in (panel["gridPos"] for panel in PANELS)
        for dx in range(place["w"])
        for dy in range(place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_panels_are_told_apart_and_explained() -> None:
    assert (
        len({panel["id"] for panel in PANELS}) == len({p["title"] for p in PANELS}) == len(PANELS)
    )
    assert all(panel["description"] for panel in PANELS)
    for panel in PANELS:
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


def test_the_data_source_is_chosen_by_who_imports_it() -> None:
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {"densenet121", "${datasource}"}
    assert all(
        target["datasource"]["uid"] == "${datasource}"
        for panel in PANELS
        for target in [panel, *panel["targets"]]
    )


def test_every_variable_is_defined_and_used() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval"} == defined
    for panel in PANELS:
        for target in panel["targets"]:
            selectors = re.findall(r"\{([^}]*)\}", target["expr"])
            assert selectors
            assert all('job=~"$job", instance=~"$instance"' in each for each in selectors)


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        anchor = re.sub(r"(?<!^)([A-Z])", r"-\1", rule["alert"]).lower()
        assert rule["annotations"]["runbook"] == f"docs/OPERATIONS.md#{anchor}"


def test_alerts_are_of_our_servers_alone() -> None:
    assert all('job="densenet121"' in rule["expr"] for rule in ALERTS)

"""Dashboard and alerts against a real Prometheus that scrapes a real server."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from PIL import Image

from archive_builder import ROOT, SAMPLES
from server_control.ports import free_ports
from tests.server.harness import Server

DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
TIMEOUT_S = 60
MAZE = (SAMPLES / "maze.png").read_bytes()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

DASHBOARD = json.loads((DEPLOY / "grafana" / "densenet121.json").read_text())
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
# What Grafana puts in the place of its variables.
VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "1m"}
PANELS = {
    f"{panel['title']}: {target['legendFormat']}": str(target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
_WORDS = {"and", "or", "unless", "offset", "bool"}


def program(name: str) -> str:
    """Return the path of a program, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: prometheus)")
    return found


def filled_in(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics that an expression of PromQL asks for."""
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", expression)
    text = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", text)
    return set(re.findall(r"\b[A-Za-z_:][\w:]*\b(?!\s*\()", text)) - _WORDS


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up == 0", {"up"}),
        ('sum by (le, job) (rate(a_total{b=~"c d"}[5m])) / 1e6 > 0.1', {"a_total"}),
        ("(a == 1) unless on (job) b offset 15m", {"a", "b"}),
    ],
)
def test_metrics_are_found_in_an_expression(expression: str, names: set[str]) -> None:
    assert metrics_of(expression) == names


class Prometheus:
    """A Prometheus with our rules that scrapes one server every second."""

    def __init__(self, server: Server, folder: Path) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        metrics = server.configuration.values["metrics_address"].removeprefix("http://")
        configuration["scrape_configs"][0]["static_configs"] = [{"targets": [metrics]}]
        shutil.copy(ALERTS, folder)
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        self.command = [
            program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API, which must succeed."""
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=TIMEOUT_S)
        if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:  # it reads its own log first
            raise requests.ConnectionError(response.text)
        body = response.json()
        assert body["status"] == "success", body
        return body["data"]

    def evaluate(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except requests.ConnectionError:
                pass  # it is still starting
            time.sleep(0.2)
        pytest.fail(f"Prometheus: {what}, not within {TIMEOUT_S} s")


def ask_everything(server: Server) -> None:
    """Send a request of each kind that a metric tells apart."""
    blank = BytesIO()
    Image.new("RGB", (64, 48), "#806040").save(blank, "PNG")
    for content, status in ((MAZE, 200), (blank.getvalue(), 200), (b"no", 415), (MAZE[:2000], 422)):
        answer = requests.post(server.url, data=content, timeout=TIMEOUT_S)
        assert answer.status_code == status
    files = {"a": MAZE, "b": MAZE, "c": b"no"}
    assert requests.post(server.url, files=files, timeout=TIMEOUT_S).status_code == 200
    # TorchServe's own 500: a form that it cannot read.
    answer = requests.post(server.url, data=b"a=%zz", headers=FORM, timeout=TIMEOUT_S)
    assert answer.status_code == 500


@pytest.fixture(scope="module")
def prometheus(
    demo_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Return a Prometheus that has seen requests of each kind arrive."""
    folder = tmp_path_factory.mktemp("prometheus")
    prometheus = Prometheus(demo_server, folder)
    ask_everything(demo_server)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(prometheus.command, stdout=log, stderr=log) as process,
    ):
        try:
            seen = "changes(up[1m]) == 0 and count_over_time(up[1m]) >= 2"
            prometheus.wait("no two scrapes", lambda: bool(prometheus.evaluate(seen)))
            ask_everything(demo_server)
            risen = "increase(Requests5XX[1m]) > 0"
            prometheus.wait("no rise", lambda: bool(prometheus.evaluate(risen)))
            yield prometheus
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


@pytest.mark.parametrize("title", PANELS)
def test_every_panel_shows_something(title: str, prometheus: Prometheus) -> None:
    result = prometheus.evaluate(filled_in(PANELS[title]))
    assert result
    assert not any(sample["value"][1] == "NaN" for sample in result)


@pytest.mark.parametrize("expression", [*PANELS.values(), *(rule["expr"] for rule in RULES)])
def test_every_metric_that_is_asked_for_exists(expression: str, prometheus: Prometheus) -> None:
    names = metrics_of(filled_in(expression))
    assert names
    assert names <= set(prometheus.get("label/__name__/values"))


def test_every_alert_is_evaluated(prometheus: Prometheus) -> None:
    def alerts() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]

    prometheus.wait("rules", lambda: all(rule["health"] != "unknown" for rule in alerts()))
    assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in alerts()} == {
        rule["alert"]: ("ok", None) for rule in RULES
    }


def test_a_server_that_is_well_alarms_nobody(prometheus: Prometheus) -> None:
    firing = {each["labels"]["alertname"] for each in prometheus.get("alerts")["alerts"]}
    # One in ten of the requests above failed, and three in ten were no pictures.
    requested = {"ErrorRateHigh", "RejectionsSpike", "UnrecognisedShareHigh"}
    assert firing <= {f"Densenet121{name}" for name in requested}


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")],
    ids=["the configuration is valid", "each alert fires when it has to"],
)
def test_promtool(arguments: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("alerts.test.yml"), tmp_path)
    for path in (DEPLOY / "prometheus").iterdir():
        shutil.copy(path, tmp_path)
    result = subprocess.run(
        [program("promtool"), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested() -> None:
    text = Path(__file__).with_name("alerts.test.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', text)) == {rule["alert"] for rule in RULES}

"""The manifests, without a cluster: built by Kustomize, checked by Kubernetes' own schemas."""

import json
import re

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from archive_builder import ROOT
from densenet_classifier import __version__
from tests.unit.container_files import (
    KUBERNETES,
    OVERLAYS,
    built,
    containers,
    of,
    one,
    pod,
)

# The oldest that has sidecars for good, and the newest that the schemas know.
VERSIONS = ("1.33", "1.37")
ADAPTER = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
NAMESPACE = yaml.safe_load((KUBERNETES / "namespace.yaml").read_text(encoding="utf-8"))

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_follows_the_schema_of_kubernetes(overlay: str, version: str) -> None:
    own = [each for each in built(overlay) if "monitoring.coreos.com" not in each["apiVersion"]]
    for document in (*own, NAMESPACE):
        kubernetes_validate.validate(document, version, strict=True)


@overlays
def test_the_service_monitor_follows_the_schema_of_its_operator(overlay: str) -> None:
    document = one(overlay, "ServiceMonitor")
    read = ServiceMonitor.model_validate(document)
    # The model passes over what it does not know: nothing may be lost on the way.
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == document


@overlays
def test_ports_of_services_and_policies_exist(overlay: str) -> None:
    ports = {
        port["name"]: port["containerPort"]
        for container in containers(overlay).values()
        for port in container["ports"]
    }
    assert of("EXPOSE", "proxy") == [str(ports["https"])]
    # By number: names of a sidecar's ports are not found by whoever looks at containers alone.
    for service, name in (("densenet121", "https"), ("densenet121-metrics", "metrics")):
        (port,) = one(overlay, "Service", service)["spec"]["ports"]
        assert (port["name"], port["targetPort"]) == (name, ports[name])
    rules = one(overlay, "NetworkPolicy")["spec"]["ingress"]
    reached = [port["port"] for rule in rules for port in rule["ports"]]
    assert reached == [ports["https"], ports["metrics"]]
    assert all(rule["from"] for rule in rules)
    metrics = one(overlay, "Service", "densenet121-metrics")["spec"]["ports"]
    endpoints = one(overlay, "ServiceMonitor")["spec"]["endpoints"]
    assert {each["port"] for each in endpoints} == {each["name"] for each in metrics}


@overlays
def test_a_pod_reaches_nobody(overlay: str) -> None:
    policy = one(overlay, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy


def chosen_by(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


@overlays
def test_selectors_choose_the_pods(overlay: str) -> None:
    deployment = one(overlay, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        one(overlay, "Service")["spec"]["selector"],
        one(overlay, "Service", "densenet121-metrics")["spec"]["selector"],
        one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(
            each["labelSelector"]["matchLabels"]
            for each in pod(overlay)["topologySpreadConstraints"]
        ),
    ]
    assert all(chosen_by(selector, labels) for selector in selectors)


@overlays
def test_the_monitor_chooses_the_service_of_the_metrics_alone(overlay: str) -> None:
    selector = one(overlay, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [each["metadata"] for each in built(overlay) if each["kind"] == "Service"]
    chosen = [each["name"] for each in services if chosen_by(selector, each["labels"])]
    assert chosen == ["densenet121-metrics"]


@overlays
def test_alerts_and_dashboard_find_what_the_monitor_finds(overlay: str) -> None:
    label = one(overlay, "ServiceMonitor")["spec"]["jobLabel"]
    job = one(overlay, "Service", "densenet121-metrics")["metadata"]["labels"][label]
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'\bjob="([^"]*)"', alerts)) == {job}
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "densenet121.json").read_text())
    (chosen,) = (each for each in dashboard["templating"]["list"] if each["name"] == "job")
    assert chosen["current"]["value"] == [job]


@overlays
def test_the_autoscaler_scales_by_a_metric_that_the_adapter_makes(overlay: str) -> None:
    autoscaler = one(overlay, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == one(overlay, "Deployment")["metadata"]["name"]
    assert "replicas" not in one(overlay, "Deployment")["spec"]
    (metric,) = autoscaler["metrics"]
    (rule,) = ADAPTER["rules"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    declared = yaml.safe_load((ROOT / "deploy" / "metrics.yaml").read_text(encoding="utf-8"))
    names = {each["name"] for kind in declared["ts_metrics"].values() for each in kind}
    assert set(re.findall(r"ts_\w+", rule["metricsQuery"])) <= names
    assert rule["seriesQuery"].partition("{")[0] in names


@overlays
def test_images_are_of_this_version(overlay: str) -> None:
    for name, container in containers(overlay).items():
        image, tag = container["image"].split(":")
        assert image == f"densenet121-{name}"
        assert tag.removesuffix("-cuda") == __version__

"""The pods of the manifests: what they may do, what they are told, and how they start and end."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from archive_builder import ROOT
from archive_builder.model_configuration import model_configuration
from server_control.drain import add_options
from server_control.environment import require_known_variables
from server_control.torchserve import STOP_TIMEOUT_S
from server_control.torchserve_keys import from_environment
from tests.unit.container_files import (
    IN_IMAGE,
    KUBERNETES,
    OVERLAYS,
    Document,
    built,
    compose,
    containers,
    copied,
    environment,
    measured_memory,
    of,
    one,
    pod,
    quantity,
    scripts_in,
    secrets,
)

README = (KUBERNETES / "README.md").read_text(encoding="utf-8")
# What a cluster may take to hand nothing more to a pod that is not ready any more.
ENDPOINTS_S = 4

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
def test_no_secret_is_committed(overlay: str) -> None:
    assert "Secret" not in {each["kind"] for each in built(overlay)}
    (volume,) = (each for each in pod(overlay)["volumes"] if each["name"] == "secrets")
    assert volume["projected"]["defaultMode"] == 0o440
    for source in volume["projected"]["sources"]:
        name = source["secret"]["name"]
        assert re.search(rf"kubectl .*create secret \w+ {name} ", README), name


@overlays
def test_pods_are_of_the_restricted_profile(overlay: str) -> None:
    own = pod(overlay)["securityContext"]
    assert own["runAsNonRoot"] is True
    assert own["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of("USER", "server")[-1] == f"{own['runAsUser']}:{own['runAsGroup']}"
    assert own["fsGroup"] == own["runAsGroup"]
    assert pod(overlay)["automountServiceAccountToken"] is False
    for container in containers(overlay).values():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@overlays
@pytest.mark.parametrize("name", ["server", "proxy"])
def test_writable_are_the_same_folders_as_with_compose(overlay: str, name: str) -> None:
    kinds = {each["name"]: each for each in pod(overlay)["volumes"]}
    mounts = {
        mount["mountPath"]: kinds[mount["name"]]
        for mount in containers(overlay)[name]["volumeMounts"]
    }
    writable = {path for path, volume in mounts.items() if "emptyDir" in volume}
    assert writable == {f"{IN_IMAGE}.run", "/tmp"}  # noqa: S108
    assert all("sizeLimit" in mounts[path]["emptyDir"] for path in writable)


@overlays
def test_the_proxy_finds_its_secrets(overlay: str) -> None:
    (volume,) = (each for each in pod(overlay)["volumes"] if each["name"] == "secrets")
    renamed = {
        item["path"]
        for source in volume["projected"]["sources"]
        for item in source["secret"].get("items", [])
    }
    assert renamed | {"clients"} == secrets()
    assert {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True} in containers(
        overlay
    )["proxy"]["volumeMounts"]
    assert "--from-file=clients=" in README


def variables(overlay: str) -> dict[str, str]:
    """Return what the containers' environment has beside the image's."""
    (settings,) = containers(overlay)["server"]["envFrom"]
    # Kustomize appends a hash to the name, there and here.
    data: dict[str, str] = one(overlay, "ConfigMap", settings["configMapRef"]["name"])["data"]
    return data


@overlays
def test_every_variable_is_a_setting(overlay: str) -> None:
    from_environment(variables(overlay))
    require_known_variables(variables(overlay))
    assert all(name.startswith(("TS_", "DENSENET121_")) for name in variables(overlay))
    assert not variables(overlay).keys() & environment("server").keys()
    # Both must read the same configuration.
    assert containers(overlay)["proxy"]["envFrom"] == containers(overlay)["server"]["envFrom"]


@overlays
def test_variables_of_services_do_not_look_like_settings(overlay: str) -> None:
    # A service `densenet121` brings DENSENET121_SERVICE_HOST, which `serve` would refuse.
    assert pod(overlay)["enableServiceLinks"] is False


@overlays
def test_only_the_metrics_listen_outside_of_the_pod(overlay: str) -> None:
    addresses = from_environment({**environment("server"), **variables(overlay)})
    listening = {key: text for key, text in addresses.items() if key.endswith("_address")}
    outside = {key: text for key, text in listening.items() if "127.0.0.1" not in text}
    (port,) = containers(overlay)["server"]["ports"]
    assert outside == {"metrics_address": f"http://0.0.0.0:{port['containerPort']}"}


def answers(front: str, path: str) -> bool:
    """Tell whether front.conf has a location for a path, by its name or by a pattern."""
    exact = set(re.findall(r"location = (\S+) ", front))
    # Python's name for the very end of a text.
    patterns = [each.replace(r"\z", r"\Z") for each in re.findall(r"location ~ (\S+) ", front)]
    return path in exact or any(re.search(each, path) for each in patterns)


@overlays
def test_probes_call_what_there_is(overlay: str) -> None:
    text = str(pod(overlay))
    scripts = {Path(source).name for source in copied("application")}
    assert scripts_in(text) == {"ready", "stop"} <= scripts
    front = (ROOT / "deploy" / "nginx" / "front.conf").read_text(encoding="utf-8")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = containers(overlay)["proxy"][probe]["httpGet"]
        assert (asked["scheme"], asked["port"]) == ("HTTPS", "https")
        assert answers(front, asked["path"])
    server = containers(overlay)["server"]
    assert server["startupProbe"]["exec"] == {"command": ["./scripts/ready"]}
    assert server["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}
    # Whether it gets requests is asked of the proxy; and never may a probe of that kill it.
    assert "readinessProbe" not in server


@overlays
def test_the_proxy_is_there_before_the_server_and_after_it(overlay: str) -> None:
    (sidecar,) = pod(overlay)["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("proxy", "Always")


def seconds_of_stopping(overlay: str) -> argparse.Namespace:
    script, *arguments = containers(overlay)["server"]["lifecycle"]["preStop"]["exec"]["command"]
    assert script == "./scripts/stop"
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


@overlays
def test_there_is_time_to_settle_drain_and_end(overlay: str) -> None:
    asked = seconds_of_stopping(overlay)
    probe = containers(overlay)["proxy"]["readinessProbe"]
    unready_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert asked.settle_s >= unready_s + ENDPOINTS_S
    # A request may take as long as a worker may.
    assert asked.drain_s >= model_configuration()["responseTimeout"]
    needed = asked.settle_s + asked.drain_s + STOP_TIMEOUT_S
    assert pod(overlay)["terminationGracePeriodSeconds"] >= needed
    grace = compose()["services"]["server"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= needed


def test_compose_and_kubernetes_give_the_same_room() -> None:
    limits = containers("cpu")["server"]["resources"]["limits"]
    service: dict[str, Any] = compose()["services"]["server"]
    assert quantity(limits["memory"]) == quantity(service["mem_limit"])
    assert float(limits["cpu"]) == service["cpus"]
    # Its threads are counted by the limit, so it must be one that the node keeps free.
    assert limits["cpu"] == containers("cpu")["server"]["resources"]["requests"]["cpu"]


def test_memory_is_what_capacity_plans_with() -> None:
    limits = containers("cpu")["server"]["resources"]["limits"]
    assert quantity(limits["memory"]) >= 2 * measured_memory()


def test_a_gpu_is_asked_for_and_used() -> None:
    server: Document = containers("gpu")["server"]
    gpus = server["resources"]["limits"]["nvidia.com/gpu"]
    assert variables("gpu")["TS_NUMBER_OF_GPU"] == gpus
    assert {each["key"] for each in pod("gpu")["tolerations"]} == {"nvidia.com/gpu"}
    assert server["image"].endswith("-cuda")

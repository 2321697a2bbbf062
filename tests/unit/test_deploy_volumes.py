"""Every writable volume holds the most that is written to it; a pod that outgrows one is evicted.

The folder `.run` has the logs of both, /tmp of the proxy the bodies that its two nginxes buffer.
"""

import re
import tomllib
from xml.etree import ElementTree as ET

import pytest

from archive_builder import ROOT
from reverse_proxy.limits import Limits
from tests.unit.container_files import (
    CONTAINER,
    IN_IMAGE,
    KUBERNETES,
    OVERLAYS,
    compose,
    containers,
    measured_memory,
    pod,
    proxy_file,
    quantity,
)

LIMITS = Limits.from_table(tomllib.loads(proxy_file())["limits"], "limits")
NGINX = [ROOT / "deploy" / "nginx" / name for name in ("front.conf", "balance.conf")]
LOG4J = ET.parse(ROOT / "server_control" / "log4j2.xml")  # noqa: S314 - our own file
# Measured: requests.log becomes a tenth, the others less.
COMPRESSED = 10

PLACES = ("compose", *OVERLAYS)
places = pytest.mark.parametrize("place", PLACES)


def room(place: str, container: str, path: str) -> int:
    """Return the size of the volume that a container has there, in bytes."""
    if place != "compose":
        sizes = {each["name"]: each.get("emptyDir") for each in pod(place)["volumes"]}
        (mount,) = (
            each
            for each in containers(place)[container]["volumeMounts"]
            if each["mountPath"] == path
        )
        return quantity(sizes[mount["name"]]["sizeLimit"])
    if path.startswith(IN_IMAGE):
        options = compose()["volumes"]["run"]["driver_opts"]["o"]
    else:
        (options,) = compose()["services"][container]["tmpfs"]
    (size,) = re.findall(r"\bsize=(\w+)", options)
    return quantity(size)


def torchserve_logs(compressed: int) -> int:
    """Return how large its logs grow, in bytes, if older ones become that many times smaller."""
    total = 0
    for file in LOG4J.iter("RollingFile"):
        policy, kept = file.find("SizeBasedTriggeringPolicy"), file.find("DefaultRolloverStrategy")
        assert policy is not None
        assert kept is not None
        number, unit = policy.attrib["size"].split()
        assert unit == "MB"  # of log4j: 2**20 bytes
        total += (int(number) << 20) * (compressed + int(kept.attrib["max"])) // compressed
    return total


def proxy_logs() -> int:
    names = {
        name
        for template in NGINX
        for name in re.findall(r'"\{\{logs\}\}/([\w.-]+)"', template.read_text(encoding="utf-8"))
    }
    assert names >= {"access.log", "front-error.log", "balance-error.log"}
    return len(names) * (LIMITS.kept_logs + 1) * LIMITS.max_log_bytes


def buffered_bodies() -> int:
    """Return what one client can make both nginxes buffer, in bytes."""
    folders = [
        folder
        for template in NGINX
        for folder in re.findall(
            r"client_body_temp_path \{\{folder\}\}/([\w-]+);", template.read_text(encoding="utf-8")
        )
    ]
    assert folders == ["front-body", "balance-body"]
    return len(folders) * LIMITS.concurrent_requests * LIMITS.max_body_bytes


@places
def test_logs_never_fill_their_volume(place: str) -> None:
    logs = torchserve_logs(compressed=1) + proxy_logs()
    assert (
        logs < room(place, "proxy", f"{IN_IMAGE}.run") == room(place, "server", f"{IN_IMAGE}.run")
    )


@places
def test_a_client_never_fills_the_volume_of_bodies(place: str) -> None:
    assert buffered_bodies() <= room(place, "proxy", "/tmp")  # noqa: S108


def test_what_fills_memory_fits_into_it() -> None:
    # A tmpfs of Compose counts as memory of who writes.
    services = compose()["services"]
    own = quantity(containers("cpu")["proxy"]["resources"]["limits"]["memory"])
    tmp = room("compose", "proxy", "/tmp")  # noqa: S108
    assert quantity(services["proxy"]["mem_limit"]) >= tmp + own
    needed = 2 * measured_memory() + torchserve_logs(COMPRESSED)
    assert quantity(services["server"]["mem_limit"]) >= needed


def test_the_documents_say_how_much_a_client_takes() -> None:
    gib = f"{buffered_bodies() / 2**30:g} GiB"
    for file in (CONTAINER / "README.md", CONTAINER / "proxy.toml", KUBERNETES / "README.md"):
        text = file.read_text(encoding="utf-8").replace("\n", " ")
        assert gib in text, file
        assert f"{LIMITS.concurrent_requests} " in text, file

"""The files of deploy/ as their tests read them: instructions, services, Kubernetes objects."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from archive_builder import ROOT

CONTAINER = ROOT / "deploy" / "container"
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
# Where the image has what lies in the root of a checkout.
IN_IMAGE = "/opt/densenet121/"
# Installed with requirements-dev.txt; a wheel's programs lie beside the interpreter.
PROGRAMS = Path(sys.executable).parent

Document = dict[str, Any]


@dataclass(frozen=True)
class Instruction:
    """One instruction of the Containerfile; `stage` is the name of its stage, "" before any."""

    stage: str
    name: str
    text: str


@cache
def instructions() -> tuple[Instruction, ...]:
    """Return the Containerfile's instructions, continued lines joined, comments left out."""
    text = (CONTAINER / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stage, found = "", []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            if name == "FROM":
                stage = rest.split()[-1]
            found.append(Instruction(stage, name, " ".join(rest.split())))
    return tuple(found)


def of(name: str, *stages: str) -> list[str]:
    """Return the texts of the instructions of a name, of all stages or of some."""
    return [
        each.text
        for each in instructions()
        if each.name == name and (not stages or each.stage in stages)
    ]


def copied(*stages: str) -> list[str]:
    """Return what those stages copy from the checkout, relative to its root."""
    copies = [shlex.split(text) for text in of("COPY", *stages) if not text.startswith("--from")]
    return [source.rstrip("/") for words in copies for source in words[:-1]]


def environment(stage: str) -> dict[str, str]:
    """Return the variables that a stage sets itself."""
    pairs = [pair.partition("=") for text in of("ENV", stage) for pair in shlex.split(text)]
    return {name: value for name, _, value in pairs}


def command(name: str, stage: str) -> list[str]:
    """Return the words of a stage's ENTRYPOINT or of its HEALTHCHECK."""
    (text,) = of(name, stage)
    words: list[str] = yaml.safe_load(text[text.index("[") :])
    return words


@cache
def compose() -> Document:
    """Return the Compose file, anchors resolved."""
    document: Document = yaml.safe_load((CONTAINER / "compose.yaml").read_text(encoding="utf-8"))
    return document


@cache
def built(overlay: str) -> tuple[Document, ...]:
    """Return the objects that Kustomize makes of an overlay."""
    result = subprocess.run(
        [str(PROGRAMS / "kubectl"), "kustomize", str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return tuple(yaml.safe_load_all(result.stdout))


def one(overlay: str, kind: str, name: str = "densenet121") -> Document:
    """Return the object of a kind and a name."""
    (found,) = (
        each for each in built(overlay) if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def pod(overlay: str) -> Document:
    """Return the specification of a pod."""
    specification: Document = one(overlay, "Deployment")["spec"]["template"]["spec"]
    return specification


def containers(overlay: str) -> dict[str, Document]:
    """Return the containers of a pod by name, the sidecar among them."""
    specification = pod(overlay)
    both = [*specification["initContainers"], *specification["containers"]]
    return {each["name"]: each for each in both}


def proxy_file() -> str:
    """Return the proxy's file of the image."""
    *_, option, name = command("ENTRYPOINT", "proxy")
    assert option == "--config"
    return (ROOT / name).read_text(encoding="utf-8")


def secrets() -> set[str]:
    """Return the names of the files that the proxy's file wants in the folder of secrets."""
    return set(re.findall(r'"/run/secrets/([^"]+)"', proxy_file()))


def quantity(text: str) -> int:
    """Return a number of bytes as Kubernetes or Compose writes it."""
    number, unit = re.fullmatch(r"(\d+)(Gi|Mi|g|m)", text).groups()  # type: ignore[union-attr]
    return int(number) << {"g": 30, "m": 20}[unit[0].lower()]


def measured_memory() -> int:
    """Return the most that a server with two workers was measured to need, in bytes."""
    text = (ROOT / "docs" / "CAPACITY.md").read_text(encoding="utf-8")
    row = re.search(r"^\| 2 \| (\d+) \| (\d+) \|$", text[text.index("## Memory") :], re.MULTILINE)
    assert row is not None
    return max(map(int, row.groups())) * 10**6


def scripts_in(text: str) -> set[str]:
    """Return the names of the scripts that a text calls."""
    return set(re.findall(r"\./scripts/([a-z-]+)", text))

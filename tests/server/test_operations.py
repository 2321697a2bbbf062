"""The commands of docs/OPERATIONS.md, run one after the other as they stand there.

In a shell of its own, with the folders, ports and the archive of a test in place of the real ones.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
import torch

from archive_builder import ROOT
from server_control.configuration import Configuration
from server_control.ports import PRODUCTION, free_ports, write_configuration
from tests.server.harness import Server

TIMEOUT_S = 240
DOCUMENT = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
PROXY = ROOT / "deploy" / "nginx" / "proxy.toml"
END = "-- end of command"


def steps() -> list[tuple[str, list[str]]]:
    """Return the commands with the output that the document shows."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


class Shell:
    """A shell that is told one command after the other, as by a person."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.errors = folder / "stderr"
        self._file = self.errors.open("w")
        self._process = subprocess.Popen(
            ["bash", "-m"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._file,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()

    def run(self, command: str) -> tuple[int, list[str]]:
        """Return status and output; `queue.Empty` when it takes too long."""
        assert self._process.stdin is not None
        if command.endswith("&"):
            command = f"{command[:-1]} >&2 &"
        self._process.stdin.write(f"{command}\necho {shlex.quote(END)} $?\n")
        self._process.stdin.flush()
        lines = []
        while not (line := self._lines.get(timeout=TIMEOUT_S)).startswith(END):
            lines.append(line)
        return int(line.removeprefix(END)), lines

    def close(self) -> None:
        """End the shell and what it runs in the background."""
        self.run("kill $(jobs -p); wait")
        self._process.communicate(timeout=TIMEOUT_S)
        self._file.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))


@pytest.fixture
def folder(demo_weights_file: Path, tmp_path: Path) -> Path:
    """Return a folder with what the document's commands find in the checkout."""
    weights = torch.load(demo_weights_file, weights_only=True)
    weights["classifier.bias"] += 1  # the same answers, and no demo weights any more
    torch.save(weights, tmp_path / "weights.pth")
    write_configuration(
        tmp_path / "config.properties",
        PRODUCTION,
        model_store=str(tmp_path),
        certificate_file="certificates/server.pem",
        private_key_file="certificates/server.key",
    )
    (port,) = free_ports(1)
    proxy = PROXY.read_text(encoding="utf-8").replace("8443", str(port))
    proxy = proxy.replace("../config.properties", "config.properties")
    (tmp_path / "proxy.toml").write_text(proxy, encoding="utf-8")
    return tmp_path


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    weights = {"DENSENET121_WEIGHTS": str(folder / "weights.pth")}
    shell = Shell(folder, {**os.environ, **weights})
    try:
        yield shell
    finally:
        shell.close()
        server = Server(folder / "other", folder)
        server.path = folder / "config.properties"
        server.stop()


def in_test(text: str, folder: Path) -> str:
    """Return a command or its output with the folders and ports of a test."""
    configuration = Configuration.read(folder / "config.properties")
    for ours, tests in {
        "deploy/config.properties": f"{folder}/config.properties",
        "deploy/certificates": f"{folder}/certificates",
        "deploy/nginx/secrets": f"{folder}/secrets",
        "./scripts/proxy": f"./scripts/proxy --config {folder}/proxy.toml",
        "./scripts/build-archive": f"./scripts/build-archive --model-store {folder}",
        "model_store/": f"{folder}/",
        "https://127.0.0.1:8080": configuration.inference_url,
    }.items():
        text = text.replace(ours, tests)
    return text


@pytest.mark.timeout(900)
def test_the_commands_of_the_document(shell: Shell, folder: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing")
    for command, shown in steps():
        status, printed = shell.run(in_test(command, folder))
        assert status == 0, (command, shell.errors.read_text())
        expected = [in_test(line, folder).replace("...", "*") for line in shown]
        if expected:
            assert len(printed) == len(expected), (command, printed)
            assert all(map(fnmatchcase, printed, expected)), (command, printed)


def test_what_the_document_says_that_an_operator_sees_is_said() -> None:
    table = DOCUMENT.split("| says | means | mended by |")[1].split("\n\n")[0]
    said = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    source = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("server_control/*.py"))
    assert said
    for each in re.findall(r"`(.*?)`", " ".join(said)):
        for part in each.split("…"):
            assert part.strip() in source, each


def test_every_alert_has_its_chapter() -> None:
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    chapters = re.findall(r"^### (densenet121-[a-z-]+)$", DOCUMENT, re.MULTILINE)
    assert re.findall(r"OPERATIONS\.md#([a-z0-9-]+)", alerts) == chapters

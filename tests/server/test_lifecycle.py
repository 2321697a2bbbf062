"""Starting, finding, replacing and stopping servers, by the scripts and by TorchServe itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests
import torch
from torchvision.models import densenet121

from archive_builder import ROOT, SAMPLES
from server_control.runtime import java_process, processes
from tests.server.harness import Server

TIMEOUT_S = 60
UMBRELLA = SAMPLES / "umbrella.png"
ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}


@pytest.fixture
def server(demo_store: Path, tmp_path: Path) -> Iterator[Server]:
    """Return a server with demo weights that is not yet started."""
    server = Server(tmp_path / "server", demo_store, environment={"DENSENET121_WEIGHTS": "demo"})
    yield server
    server.stop()


def ask(server: Server) -> requests.Response:
    return requests.post(server.url, data=UMBRELLA.read_bytes(), timeout=TIMEOUT_S)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "the deadline has passed"
        time.sleep(0.1)


def test_serve_shows_the_address_the_request_and_the_answer(demo_server: Server) -> None:
    result = demo_server.serve()
    curl, answer = result.stdout.splitlines()
    assert json.loads(answer) == ANSWER
    # The line as it stands is what a user pastes.
    shell = subprocess.run(
        ["sh", "-c", f"{curl} --silent"], capture_output=True, text=True, timeout=60, check=True
    )
    assert shell.stdout == answer


def test_a_second_serve_finds_the_first(demo_server: Server) -> None:
    before = demo_server.note()
    result = demo_server.serve()
    assert "Already running" in result.stderr
    assert demo_server.note() == before


def test_serve_names_demo_weights_for_what_they_are(demo_server: Server) -> None:
    words = demo_server.serve().stderr
    assert "DEMO WEIGHTS" in words
    assert "umbrella" in words
    assert "fetch-weights" in words


def test_serve_with_other_weights_says_what_differs(demo_server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save(densenet121(weights=None).state_dict(), other)
    result = demo_server.script("serve", DENSENET121_WEIGHTS=str(other))
    assert result.returncode == 1
    assert "weights.name: demo -> custom:" in result.stderr
    assert "stop" in result.stderr
    assert ask(demo_server).json() == ANSWER


def test_serve_refuses_demo_weights_where_real_ones_are_required(server: Server) -> None:
    result = server.script("serve", "--require-pretrained")
    assert result.returncode == 1
    assert "--require-pretrained" in result.stderr
    assert server.runtime.note() is None


def test_a_taken_port_is_named(server: Server) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server.write_configuration(metrics_address=f"http://127.0.0.1:{port}")
        result = server.script("serve")
    assert result.returncode == 1
    assert f"port {port}" in result.stderr
    assert "metrics_address" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_two_servers_run_side_by_side_and_stop_one_by_one(
    demo_server: Server, server: Server
) -> None:
    server.serve()
    assert ask(server).json() == ask(demo_server).json() == ANSWER
    server.stop()
    assert ask(demo_server).json() == ANSWER


def test_a_relative_model_store_is_beside_its_configuration(
    server: Server, demo_store: Path
) -> None:
    (server.folder / "store").symlink_to(demo_store)
    server.write_configuration(model_store="store")
    server.serve()
    assert ask(server).json() == ANSWER


def test_stop_without_a_server_is_fine(server: Server) -> None:
    result = server.script("stop")
    assert result.returncode == 0
    assert "No server" in result.stderr


def test_the_foreground_ends_with_sigterm(server: Server) -> None:
    command = [str(ROOT / "scripts" / "serve"), "--foreground"]
    with subprocess.Popen(
        command, env=server.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as serve:
        try:
            assert serve.stdout is not None
            assert serve.stdout.readline().startswith(b"curl")
            note = server.note()
            assert ask(server).json() == ANSWER
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(TIMEOUT_S) == 0
        finally:
            serve.kill()
    server.assert_gone(note)


def test_the_foreground_ends_when_torchserve_does(server: Server) -> None:
    command = [str(ROOT / "scripts" / "serve"), "--foreground"]
    with subprocess.Popen(
        command, env=server.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as serve:
        try:
            assert serve.stdout is not None
            serve.stdout.readline()
            note = server.note()
            java = java_process(note)
            assert java is not None
            java.kill()
            assert serve.wait(TIMEOUT_S) == 1
        finally:
            serve.kill()
    server.assert_gone(note)


def test_serve_starts_anew_after_a_crash(server: Server) -> None:
    server.serve()
    note = server.note()
    java = java_process(note)
    assert java is not None
    java.kill()
    java.wait(TIMEOUT_S)
    server.serve()
    assert ask(server).json() == ANSWER
    assert processes(note) == []
    assert not Path(note.temp).exists()


def test_an_interrupted_serve_leaves_nothing(server: Server) -> None:
    command = [str(ROOT / "scripts" / "serve")]
    with subprocess.Popen(command, env=server.variables(), stderr=subprocess.PIPE) as serve:
        wait_for(lambda: (note := server.runtime.note()) is not None and bool(processes(note)))
        note = server.note()
        serve.send_signal(signal.SIGINT)
        assert serve.wait(TIMEOUT_S) == 130
    server.assert_gone(note)


def test_a_model_that_cannot_load_shows_its_own_error(server: Server) -> None:
    # An archive of another name is served as it was built; this one was changed since.
    store = server.model_store
    result = server.script("build-archive", "--model-name=broken", f"--model-store={store}")
    assert result.returncode == 0, result.stderr
    _spoil(store / "broken.mar")
    broken = Server(server.folder / "broken", store, "broken")
    served = broken.script("serve")
    assert served.returncode == 1
    assert "WeightsError" in served.stderr
    assert broken.runtime.note() is None
    broken.stop()


def _spoil(archive: Path) -> None:
    """Flip one bit of the weights in an archive that stays a sound zip file."""
    with zipfile.ZipFile(archive) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    weights = bytearray(contents["weights.pth"])
    weights[len(weights) // 2] ^= 1
    contents["weights.pth"] = bytes(weights)
    with zipfile.ZipFile(archive, "w") as target:
        for name, content in contents.items():
            target.writestr(name, content)


def test_weights_and_labels_of_ones_own(tmp_path: Path) -> None:
    names = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    network = densenet121(weights=None, num_classes=len(names))
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([0.0, 0, 0, 100, 0]))
    torch.save(network.state_dict(), tmp_path / "flowers.pth")
    rows = {str(index): [f"f{index}", name] for index, name in enumerate(names)}
    (tmp_path / "labels.json").write_text(json.dumps(rows))
    store = tmp_path / "model_store"
    store.mkdir()
    flowers = Server(tmp_path / "server", store, "flowers")
    built = flowers.script(
        "build-archive",
        "--model-name=flowers",
        f"--model-store={store}",
        DENSENET121_WEIGHTS=str(tmp_path / "flowers.pth"),
        INDEX_TO_NAME=str(tmp_path / "labels.json"),
    )
    assert built.returncode == 0, built.stderr
    try:
        flowers.serve()
        response = ask(flowers)
        assert flowers.url.endswith("/predictions/flowers")
        assert response.json() == {"class_id": "f3", "class_name": "sunflower"}
        assert response.headers["X-Model-Weights"].startswith("custom:")
    finally:
        flowers.stop()


def test_a_missing_archive_of_ones_own_is_named(tmp_path: Path) -> None:
    flowers = Server(tmp_path / "server", tmp_path, "flowers")
    result = flowers.script("serve")
    assert result.returncode == 1
    assert "DENSENET121_WEIGHTS" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    flowers.stop()


def test_torchserve_itself_serves_the_archive(server: Server, tmp_path: Path) -> None:
    """Do without our scripts: the command that the README names, in a folder like ours."""
    assert server.script("build-archive", f"--model-store={server.model_store}").returncode == 0
    (server.folder / "model_store").symlink_to(server.model_store)
    server.write_configuration(model_store="model_store")
    temp = tmp_path / "temp"
    temp.mkdir()
    environment = os.environ | {"TMPDIR": str(temp), "TEMP": str(temp)}
    torchserve = str(Path(sys.executable).with_name("torchserve"))
    with (tmp_path / "log").open("w") as log:
        subprocess.run(
            [torchserve, "--start", "--ncs", "--ts-config", "config.properties"],
            cwd=server.folder,
            env=environment,
            stdout=log,
            stderr=log,
            timeout=TIMEOUT_S,
            check=True,
        )
    java = psutil.Process(int((temp / ".model_server.pid").read_text()))
    try:
        wait_for(lambda: _answers(server))
        assert ask(server).json() == ANSWER
    finally:
        family = [java, *java.children(recursive=True)]
        java.terminate()
        _, left = psutil.wait_procs(family, TIMEOUT_S)
    assert left == []


def _answers(server: Server) -> bool:
    try:
        return ask(server).ok
    except requests.ConnectionError:
        return False

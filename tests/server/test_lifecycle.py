"""Starting, finding, replacing and stopping servers, by the scripts and by TorchServe itself."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import requests
import torch
from torchvision.models import densenet121

from archive_builder import ROOT, SAMPLES
from server_control.runtime import java_process, processes
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for

UMBRELLA = SAMPLES / "umbrella.png"
ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}


def ask(server: Server) -> requests.Response:
    return requests.post(server.url, data=UMBRELLA.read_bytes(), timeout=TIMEOUT_S)


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


def test_serve_with_another_setting_says_what_differs(demo_server: Server) -> None:
    result = demo_server.script("serve", DENSENET121_PRECISION="float32")
    assert result.returncode == 1
    assert "configuration.handler.precision: absent -> float32" in result.stderr


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


def test_a_configuration_that_makes_no_sense_is_one_line(server: Server) -> None:
    server.write_configuration(grpc_inference_port="abc")
    result = server.script("serve")
    assert result.returncode == 1
    assert "grpc_inference_port" in result.stderr
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
    with server.foreground() as serve:
        note = server.note()
        assert ask(server).json() == ANSWER
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(TIMEOUT_S) == 0
    server.assert_gone(note)


def test_the_foreground_ends_when_torchserve_does(server: Server) -> None:
    with server.foreground() as serve:
        note = server.note()
        java = java_process(note)
        assert java is not None
        java.kill()
        assert serve.wait(TIMEOUT_S) == 1
    server.assert_gone(note)


def test_the_foreground_ends_when_stopped_from_elsewhere(server: Server) -> None:
    with server.foreground() as serve:
        note = server.note()
        assert server.script("stop").returncode == 0
        assert serve.wait(TIMEOUT_S) == 0
    server.assert_gone(note)


def test_the_foreground_leaves_a_server_that_it_did_not_start(demo_server: Server) -> None:
    result = demo_server.script("serve", "--foreground")
    assert result.returncode == 0
    assert "Already running" in result.stderr
    assert ask(demo_server).json() == ANSWER


def test_serve_works_where_tokens_are_asked_for_and_behind_a_proxy(server: Server) -> None:
    server.write_configuration(disable_token_authorization="false")
    proxy = "http://127.0.0.1:9"  # nobody listens there
    result = server.serve(HTTP_PROXY=proxy, http_proxy=proxy)
    assert json.loads(result.stdout.splitlines()[1]) == ANSWER
    assert ask(server).status_code == 400
    assert server.runtime.key_file.exists()


def test_stop_works_without_the_configuration_file(server: Server) -> None:
    server.serve()
    note = server.note()
    text = server.path.read_text()
    server.path.unlink()
    assert server.script("stop").returncode == 0
    server.path.write_text(text)
    server.assert_gone(note)


def test_nothing_is_fetched_from_a_url(server: Server) -> None:
    server.write_configuration(enable_model_api="true")
    server.serve()
    models = server.configuration.model_url.rsplit("/", 1)[0]
    url = "http://127.0.0.1:9/other.mar"
    response = requests.post(models, params={"url": url}, timeout=TIMEOUT_S)
    assert response.status_code == 404
    assert "does not match any allowed URL" in response.text


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


def test_torchserve_itself_serves_the_archive(server: Server, tmp_path: Path) -> None:
    """Do without our scripts: the command that the README names, in a folder like ours."""
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

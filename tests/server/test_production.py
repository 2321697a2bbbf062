"""TorchServe as deploy/config.properties runs it: TLS, tokens, and nothing left open."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import requests

from archive_builder import ROOT, SAMPLES
from server_control.keys import read
from server_control.own_http import request
from server_control.ports import free_ports
from server_control.runtime import processes
from tests.server.harness import DEMO_WEIGHTS, Server

TIMEOUT_S = 60
UMBRELLA = SAMPLES / "umbrella.png"
ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}
SERVICES = "org.pytorch.serve.grpc"
PING = f"/{SERVICES}.inference.InferenceAPIsService/Ping"
PREDICTIONS = f"/{SERVICES}.inference.InferenceAPIsService/Predictions"
LIST_MODELS = f"/{SERVICES}.management.ManagementAPIsService/ListModels"
OF_THE_MODEL = b"\x0a\x0bdensenet121"  # the field model_name in protocol buffers
SECRETS = {"AWS_SECRET_ACCESS_KEY": "s", "HF_TOKEN": "s", "DB_PASSWORD": "s"}

# Of TorchServe 0.12.
PROTECTED = {
    "inference": [
        "GET /ping",
        "HEAD /ping",
        "GET /predictions/densenet121",
        "POST /predictions/densenet121",
        "PUT /predictions/densenet121",
        "OPTIONS /predictions/densenet121",
        "POST /predictions/densenet121/1.0",
        "POST /explanations/densenet121",
        "POST /v1/models/densenet121:predict",
        "POST /models/densenet121/invoke",
        "POST /densenet121/predict",
        "POST /invocations",
        "POST /wfpredict/any",
        "GET /metrics",
        "GET /nothing",
    ],
    "management": [
        "GET /models",
        "POST /models?url=densenet121.mar",
        "GET /models/densenet121",
        "GET /models/densenet121/all",
        "GET /models/densenet121?customized=true",
        "PUT /models/densenet121?min_worker=1",
        "PUT /models/densenet121/1.0/set-default",
        "DELETE /models/densenet121",
        "OPTIONS /models",
        "GET /workflows",
        "POST /workflows?url=any.war",
        "GET /token?type=inference",
        "GET /metrics",
        "GET /nothing",
    ],
}
# What it answers to anybody, with the status.
OPEN = {
    "inference": {"GET /api-description": 200, "OPTIONS /": 200, "GET /": 405, "POST /": 405},
    "management": {"GET /api-description": 200, "OPTIONS /": 200, "GET /": 405, "POST /": 405},
    "metrics": {"GET /metrics": 200, "GET /api-description": 200, "GET /nothing": 404},
}


@pytest.fixture(scope="module")
def production(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server of that configuration, but for its ports and folders."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH")
    server = Server(
        tmp_path_factory.mktemp("production"),
        demo_store,
        environment={"KEPT": "yes", **DEMO_WEIGHTS, **SECRETS},
    )
    server.write_production_configuration()
    try:
        shown = server.serve()
        (server.folder / "shown").write_text(shown.stdout)
        yield server
    finally:
        server.stop()


def token(server: Server, kind: str) -> str:
    return read(server.runtime, kind).token


def ask(server: Server, api: str, what: str, *, bearer: str | None = None) -> requests.Response:
    """Send `what`, like "GET /ping", as somebody who knows the server's certificate."""
    method, path = what.split()
    url = server.configuration.values[f"{api}_address"] + path
    certificate = server.folder / "certificates" / "server.pem"
    return request(method, url, certificate=certificate, token=bearer, timeout_s=TIMEOUT_S)


# With what belongs to it.


def test_serve_shows_a_command_that_works(production: Server) -> None:
    curl, answer = (production.folder / "shown").read_text().splitlines()
    assert json.loads(answer) == ANSWER
    shell = subprocess.run(
        ["sh", "-c", f"{curl} --silent"],
        env=production.variables(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert shell.stdout == answer


def test_predict_finds_certificate_and_token_itself(production: Server) -> None:
    result = production.script("predict", str(UMBRELLA))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-2:] == ["n04507155", "umbrella"]


@pytest.mark.parametrize("name", ["ready", "status"])
def test_scripts_find_certificate_and_token_themselves(production: Server, name: str) -> None:
    result = production.script(name)
    assert result.returncode == 0, result.stderr
    assert "ready: 2 of 2 workers" in result.stdout


def test_certificate_that_was_renewed_on_disk_is_for_the_next_start(production: Server) -> None:
    file = production.folder / "certificates" / "server.pem"
    content = file.read_bytes()
    file.write_bytes(b"renewed")
    try:
        assert production.script("ready").returncode == 0
        assert production.script("predict", str(UMBRELLA)).returncode == 0
    finally:
        file.write_bytes(content)


def test_tokens_are_the_owners_alone(production: Server) -> None:
    assert production.runtime.key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["inference", "management"])
def test_renewed_token_ends_the_one_before(production: Server, kind: str) -> None:
    what = {"inference": "GET /ping", "management": "GET /models"}[kind]
    old = production.script("token", kind).stdout.strip()
    assert ask(production, kind, what, bearer=old).status_code == 200

    result = production.script("token", kind, "--renew")

    new = result.stdout.strip()
    assert result.returncode == 0, result.stderr
    minutes = production.configuration.token_life / timedelta(minutes=1)
    left = re.search(r"valid for (\d+) minutes", result.stderr)
    assert left is not None
    assert minutes - 2 <= int(left[1]) <= minutes
    assert ask(production, kind, what, bearer=new).status_code == 200
    assert ask(production, kind, what, bearer=old).status_code == 400
    assert production.script("token", kind).stdout.strip() == new


# Without.


@pytest.mark.parametrize(
    ("api", "what"), [(api, what) for api, all_ in PROTECTED.items() for what in all_]
)
def test_nothing_is_told_without_its_token(production: Server, api: str, what: str) -> None:
    other = {"inference": "management", "management": "inference"}[api]
    for bearer in (None, "", "wrong", token(production, other)):
        response = ask(production, api, what, bearer=bearer)
        assert response.status_code == 400
        if not what.startswith("HEAD"):
            assert response.json()["type"] == "InvalidKeyException"


@pytest.mark.parametrize(
    ("api", "what", "status"),
    [(api, what, status) for api, all_ in OPEN.items() for what, status in all_.items()],
)
def test_what_torchserve_tells_anybody(
    production: Server, api: str, what: str, status: int
) -> None:
    assert ask(production, api, what).status_code == status


@pytest.mark.parametrize("url", ["inference_url", "management_url"])
def test_there_is_no_http_where_there_is_tls(production: Server, url: str) -> None:
    plain = getattr(production.configuration, url).replace("https://", "http://")
    answer = requests.get(f"{plain}/ping", timeout=TIMEOUT_S)
    assert (answer.status_code, answer.headers["Connection"]) == (403, "close")
    assert "only accepts HTTPS" in answer.text


def test_models_are_not_registered_even_with_a_token(production: Server) -> None:
    bearer = token(production, "management")
    for what in ("POST /models?url=densenet121.mar", "DELETE /models/densenet121"):
        assert ask(production, "management", what, bearer=bearer).status_code == 405


@pytest.mark.parametrize(
    ("method", "kind", "body"),
    [
        (PING, "inference", b""),
        (PREDICTIONS, "inference", OF_THE_MODEL),
        (LIST_MODELS, "management", b""),
    ],
    ids=["ping", "predictions", "models"],
)
def test_grpc_wants_the_token_too(production: Server, method: str, kind: str, body: bytes) -> None:
    port = production.configuration.values[f"grpc_{kind}_port"]
    root = (production.folder / "certificates" / "server.pem").read_bytes()
    other = {"inference": "management", "management": "inference"}[kind]
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root)) as channel:
        call: Any = channel.unary_unary(method)
        sent = (("authorization", f"Bearer {token(production, kind)}"),)
        assert call(body, metadata=sent, timeout=TIMEOUT_S)
        wrong = (("authorization", f"Bearer {token(production, other)}"),)
        for metadata in ((), wrong):
            with pytest.raises(grpc.RpcError) as caught:
                call(body, metadata=metadata, timeout=TIMEOUT_S)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# The processes.


def test_nothing_listens_but_what_is_configured_on_loopback(production: Server) -> None:
    found = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in processes(production.note())
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert found == set(production.configuration.listeners().values())
    assert {host for host, _ in found} == {"127.0.0.1"}


def test_workers_are_not_given_the_operators_secrets(production: Server) -> None:
    workers = production.workers()
    assert len(workers) == 2
    for worker in workers:
        environment = worker.environ()
        assert environment["KEPT"] == "yes"
        assert environment.keys().isdisjoint(SECRETS)
        assert token(production, "inference") not in environment.values()


def test_nothing_of_a_run_is_kept_for_the_next(production: Server) -> None:
    assert list(production.runtime.logs.glob("**/*.cfg")) == []


def test_the_handlers_metrics_are_served(production: Server) -> None:
    assert production.script("predict", str(UMBRELLA)).returncode == 0
    assert "densenet121_request_images_count{" in ask(production, "metrics", "GET /metrics").text


# The environment.


def test_environment_wins_and_the_scripts_know_it_afterwards(server: Server) -> None:
    size = UMBRELLA.stat().st_size
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/predictions/densenet121"
    shown = server.serve(
        TS_INFERENCE_ADDRESS=f"http://127.0.0.1:{port}", DENSENET121_MAX_IMAGE_BYTES=str(size)
    )
    assert url in shown.stdout
    assert server.configuration.prediction_url != url

    assert server.script("ready").returncode == 0
    assert url in server.script("status").stdout
    assert "umbrella" in server.script("predict", str(UMBRELLA)).stdout
    assert server.script("token", "inference").returncode == 1
    larger = requests.post(url, data=UMBRELLA.read_bytes() + bytes(1), timeout=TIMEOUT_S)
    assert larger.status_code == 413
    # It is another server that would be started without the variables.
    assert "inference_address" in server.script("serve").stderr


@pytest.mark.parametrize(
    "name", ["DENSENET121_MAX_IMAGES_BYTES", "TS_INFERENCE_ADRESS", "TS_DISABLE_TOKENS"]
)
def test_misspelt_variable_is_refused(server: Server, name: str) -> None:
    result = server.script("serve", **{name: "1"})
    assert result.returncode == 1
    assert name.removeprefix("TS_").casefold() in result.stderr.casefold()
    assert len(result.stderr.splitlines()) == 1


def test_others_may_not_connect_without_tokens_unless_that_is_said(server: Server) -> None:
    server.write_configuration(inference_address="http://0.0.0.0:1")
    result = server.script("serve")
    assert result.returncode == 1
    assert "inference_address: others than this machine can connect there" in result.stderr
    # Port 1 is not for everybody: the next thing that is looked at.
    said = server.script("serve", "--anyone-may-connect", DENSENET121_WEIGHTS="missing.pth").stderr
    assert "others" not in said
    assert "missing.pth" in said

"""What clients reach: paths, tokens, limits, TLS. The host behind is a fake."""

import hashlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

from reverse_proxy.hosts import LOCAL_READY
from tests.proxy.harness import TIMEOUT_S, Proxy, answering, remote, running, wait_for
from tests.unit.local_http import Answer, Request, Server, serving

PATHS = [
    "/predictions/densenet121",
    "/explanations/densenet121",
    "/models/densenet121/invoke?top_k=5",
    "/v1/models/densenet121:predict",
    "/v1/models/densenet121:explain",
    "/v2/models/densenet121/infer",
    "/v2/models/densenet121/explain",
]
HIDDEN = [
    "/ping", "/metrics", "/models", "/models/densenet121", "/models/densenet121/1.0/set-default",
    "/token?type=inference", "/api-description", "/predictions/other", "/predictions/densenet121/",
    "/predictions/densenet121/1.0", "/densenet121/predict", "/v2/health/ready", "/workflows",
    "/generation", "//ping", "/predictions/densenet121/../../models", "/predictions/densenet121x",
    "/predictions%2Fdensenet121%2f..%2fmodels", "/favicon.ico", "/index.html",
    "/predictions/densenet121%0A", "/predictions/densenet121%0a?x", "/predict%0A", "/ready%0A",
]  # fmt: skip


def echo(request: Request) -> Answer:
    """Answer what arrived."""
    document = {
        "path": request.path,
        "headers": {name.lower(): text for name, text in request.headers.items()},
        "sha256": hashlib.sha256(request.body).hexdigest(),
        "bytes": len(request.body),
    }
    # As TorchServe, with an id of its own.
    headers = {"Content-Type": "application/json", "x-request-id": "of-torchserve"}
    return Answer(json.dumps(document).encode(), headers=headers)


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with serving(answering(echo)) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(
    host: Server, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "one.token").write_text("token-of-the-host\n")
    table = remote("one", host.url, 'token_file = "one.token"')
    with running(Proxy(folder, certificates, [table])) as proxy:
        yield proxy


def raw(proxy: Proxy, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send a path exactly as it is spelt: requests would tidy it up."""
    context = ssl.create_default_context(cafile=str(proxy.folder / "server.pem"))
    connection = http.client.HTTPSConnection(
        "localhost", proxy.port, context=context, timeout=TIMEOUT_S
    )
    try:
        connection.request(method, path, body, proxy.authorization)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", PATHS)
def test_the_api_reaches_the_host_with_the_hosts_token(proxy: Proxy, path: str) -> None:
    arrived = proxy.post(path, data=b"picture").json()
    assert arrived["path"] == path
    assert arrived["headers"]["authorization"] == "Bearer token-of-the-host"
    assert arrived["bytes"] == len(b"picture")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_the_api_asks_for_a_token(proxy: Proxy, host: Server, path: str, method: str) -> None:
    before = sum(each.path != LOCAL_READY for each in host.requests)
    answer = proxy.request(method, path, headers={})
    assert answer.status_code == 401
    assert answer.json()["type"] == "UnauthorizedError"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert sum(each.path != LOCAL_READY for each in host.requests) == before


@pytest.mark.parametrize("change", ["", "x{}", "{}x", "Token {}", "Basic {}"])
def test_a_wrong_token_is_refused(proxy: Proxy, change: str) -> None:
    text = change.format(proxy.token)
    header = text if " " in text else f"Bearer {text}"
    assert proxy.post(headers={"Authorization": header}).status_code == 401


def test_a_token_in_other_case_is_another_token(proxy: Proxy) -> None:
    assert proxy.token != proxy.token.upper()
    header = {"Authorization": f"Bearer {proxy.token.upper()}"}
    assert proxy.post(headers=header).status_code == 401
    # The scheme is not: RFC 7235, 2.1.
    assert proxy.post(headers={"Authorization": f"bearer {proxy.token}"}).status_code == 200


@pytest.mark.parametrize("path", HIDDEN)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_nothing_else_exists(proxy: Proxy, host: Server, path: str, method: str) -> None:
    before = sum(each.path != LOCAL_READY for each in host.requests)
    status, body = raw(proxy, method, path)
    assert status == 404
    assert json.loads(body)["type"] == "NotFoundError"
    assert sum(each.path != LOCAL_READY for each in host.requests) == before


def test_a_path_goes_on_as_it_was_understood(proxy: Proxy) -> None:
    _, body = raw(proxy, "POST", "/models/../predictions//densenet121?a=b")
    assert json.loads(body)["path"] == "/predictions/densenet121?a=b"


def test_the_page_needs_no_token_and_takes_no_picture(proxy: Proxy) -> None:
    headers = {"Accept": "text/html", "Content-Type": "image/png"}
    arrived = proxy.get("/", headers=headers, data=b"p").json()
    assert arrived["path"] == "/predictions/densenet121"
    assert arrived["headers"]["accept"] == "text/html"
    assert arrived["headers"]["authorization"] == "Bearer token-of-the-host"
    assert arrived["bytes"] == 0
    assert not {"content-type", "content-length"} & arrived["headers"].keys()


@pytest.mark.parametrize("path", ["/", "/ready", "/ready/local"])
@pytest.mark.parametrize("chunked", [False, True])
def test_who_has_no_token_cannot_fill_the_disk(proxy: Proxy, path: str, *, chunked: bool) -> None:
    body = bytes(2_000_000)
    answer = proxy.get(path, headers={}, data=iter([body]) if chunked else body)
    assert (answer.status_code, answer.json()["type"]) == (413, "RequestTooLargeError")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/", "GET, HEAD"), ("GET", "/predict", "POST"), ("POST", "/ready", "GET, HEAD")],
)
def test_another_method_is_405(proxy: Proxy, method: str, path: str, allowed: str) -> None:
    answer = proxy.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.json()["type"] == "MethodNotAllowedError"


def test_the_tutorials_path(proxy: Proxy) -> None:
    arrived = proxy.post("/predict", files={"file": b"picture"}).json()
    assert arrived["path"] == "/predictions/densenet121"
    assert arrived["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert proxy.post("/predict", headers={}).status_code == 401


def test_headers_go_on_only_where_they_are_wanted(proxy: Proxy) -> None:
    wanted = {"accept": "a/b", "content-type": "c/d", "inference-header-content-length": "1"}
    unwanted = {"describe": "True", "explain": "True", "cookie": "x=y", "file": "text/plain"}
    sent = proxy.authorization | wanted | unwanted | {"Upgrade": "websocket"}
    arrived = proxy.post(headers=sent, data=b"x").json()["headers"]
    assert wanted.items() <= arrived.items()
    rest = arrived.keys() - wanted.keys()
    # The last one because this host is another machine's proxy.
    ours = {"authorization", "host", "content-length", "x-request-id", "x-forwarded-by-proxy"}
    assert rest == ours


@pytest.mark.parametrize("given", ["", 'a"b', "x" * 129, "a b"])
def test_a_request_gets_an_id(proxy: Proxy, given: str) -> None:
    answer = proxy.get(
        "/predictions/densenet121", headers=proxy.authorization | {"X-Request-ID": given}
    )
    shown = answer.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", shown)
    assert answer.json()["headers"]["x-request-id"] == shown


def logged(proxy: Proxy, request_id: str) -> list[dict[str, Any]]:
    return [each for each in proxy.access_log() if each["request_id"] == request_id]


def test_a_clients_id_is_kept_and_logged_beside_its_name(proxy: Proxy) -> None:
    headers = proxy.authorization | {"X-Request-ID": "the-client.7"}
    answer = proxy.post("/models/densenet121/invoke?top_k=5", headers=headers)
    assert answer.headers["X-Request-ID"] == "the-client.7"
    assert answer.json()["headers"]["x-request-id"] == "the-client.7"
    # nginx writes the line after the last byte of the answer.
    wait_for(lambda: bool(logged(proxy, "the-client.7")), "the line of the log")
    (line,) = logged(proxy, "the-client.7")
    assert line["client"] == "tester"
    assert (line["status"], line["host"], line["method"]) == (200, "one", "POST")
    assert line["uri"] == "/models/densenet121/invoke?top_k=5"
    assert proxy.token not in json.dumps(proxy.access_log())
    assert "X-Answered-By" not in answer.headers


def test_a_large_body_arrives_whole(proxy: Proxy) -> None:
    body = bytes(range(256)) * (30_000_000 // 256)
    arrived = proxy.post(data=body).json()
    assert arrived["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("token", [True, False], ids=["token", "no-token"])
def test_a_larger_body_is_413_in_json(proxy: Proxy, *, token: bool) -> None:
    headers = proxy.authorization if token else {}
    answer = proxy.post(data=bytes(33_554_433), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"] == "RequestTooLargeError"
    assert "33554432" in answer.json()["message"]


def test_headers_that_are_too_large_are_400_in_json(proxy: Proxy) -> None:
    answer = proxy.get("/live", headers={"X-Large": "x" * 40_000})
    assert (answer.status_code, answer.json()["type"]) == (400, "BadRequestError")


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_tls_is_spoken(proxy: Proxy, version: str) -> None:
    words = handshake(proxy, f"-tls{version}")
    assert f"New, TLSv{version.replace('_', '.')}, Cipher is" in words
    assert "Verification: OK" in words


@pytest.mark.parametrize("version", ["1", "1_1"])
def test_old_tls_is_not(proxy: Proxy, version: str) -> None:
    words = handshake(proxy, f"-tls{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert "protocol version" in words
    assert "Cipher is (NONE)" in words


def handshake(proxy: Proxy, *options: str) -> str:
    certificate = str(proxy.folder / "server.pem")
    command = ["openssl", "s_client", "-connect", f"localhost:{proxy.port}", "-CAfile", certificate]
    result = subprocess.run(
        [*command, *options],
        input="",
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return result.stdout + result.stderr


def test_http2_is_spoken(proxy: Proxy) -> None:
    certificate = str(proxy.folder / "server.pem")
    result = subprocess.run(
        [
            *("curl", "-sS", "--http2", "--cacert", certificate, "-w", " %{http_version}"),
            *("-H", f"Authorization: Bearer {proxy.token}", "-d", "x"),
            f"{proxy.url}/predictions/densenet121",
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert result.stdout.endswith("} 2")


def test_who_comes_without_tls_is_sent_to_it(proxy: Proxy) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{proxy.plain_port}/predict?a=b", timeout=TIMEOUT_S, allow_redirects=False
    )
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://127.0.0.1:{proxy.port}/predict?a=b"
    answer = requests.get(f"http://127.0.0.1:{proxy.port}/live", timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()["type"]) == (400, "PlainHttpError")
    assert "Strict-Transport-Security" in proxy.get("/live").headers


def test_live_and_ready_need_no_token_and_are_not_logged(proxy: Proxy) -> None:
    assert proxy.get("/live", headers={}).json() == {"state": "live"}
    assert proxy.get("/ready", headers={}).json() == {"state": "ready"}
    assert not {"/live", "/ready"} & {
        line["uri"] for line in proxy.access_log() if line["status"] == 200
    }


def test_nginx_says_neither_its_version_nor_which_host(proxy: Proxy) -> None:
    headers = proxy.post(data=b"x").headers
    assert headers["Server"] == "nginx"
    assert not [name for name in headers if name.lower() in {"x-answered-by", "x-tries"}]


def test_who_asks_too_often_is_429(certificates: Path, host: Server, tmp_path: Path) -> None:
    limits = "requests_per_s = 1\nburst_requests = 3"
    proxy = Proxy(tmp_path, certificates, [remote("one", host.url)], limits=limits)
    other = {"Authorization": f"Bearer {proxy.add_client('other')}"}
    with running(proxy):
        answers = [proxy.post() for _ in range(10)]
        # Another client has limits of its own.
        assert proxy.post(headers=other).status_code == 200
    refused = [each for each in answers if each.status_code == 429]
    assert {each.status_code for each in answers} == {200, 429}
    assert {each.json()["type"] for each in refused} == {"RateLimitError"}
    assert {each.headers["Retry-After"] for each in refused} == {"1"}


def test_who_asks_too_much_at_once_is_429(certificates: Path, tmp_path: Path) -> None:
    release = Event()

    def wait(_request: Request) -> Answer:
        release.wait(TIMEOUT_S)
        return Answer()

    with serving(answering(wait)) as host, ThreadPoolExecutor(8) as pool:
        limits = "concurrent_requests = 2"
        proxy = Proxy(tmp_path, certificates, [remote("one", host.url)], limits=limits)
        with running(proxy):
            pending = [pool.submit(proxy.post) for _ in range(8)]
            deadline = time.monotonic() + TIMEOUT_S
            while sum(each.done() for each in pending) < 6 and time.monotonic() < deadline:
                time.sleep(0.02)
            release.set()
            statuses = sorted(each.result(TIMEOUT_S).status_code for each in pending)
    assert statuses == [200, 200, 429, 429, 429, 429, 429, 429]


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /predict HTTP/1.1\r\nHost: a\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n",
    ],
    ids=["headers", "body"],
)
def test_who_sends_too_slowly_is_left(
    certificates: Path, host: Server, tmp_path: Path, sent: bytes
) -> None:
    limits = "header_timeout_s = 1\nbody_timeout_s = 1"
    proxy = Proxy(tmp_path, certificates, [remote("one", host.url)], limits=limits)
    if sent.endswith(b"9\r\n"):
        sent += f"Authorization: Bearer {proxy.token}\r\n\r\n".encode()
    context = ssl.create_default_context(cafile=str(proxy.folder / "server.pem"))
    with (
        running(proxy),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        began = time.monotonic()
        connection.sendall(sent)
        # Ends when nginx closes the connection; the socket's own timeout would be an error.
        while connection.recv(1 << 16):
            pass
        # Not for another reason: it has waited. nginx's clock is one of milliseconds, and late.
        assert time.monotonic() - began > 0.9

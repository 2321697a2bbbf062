import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from archive_builder import ROOT
from server_control.own_http import request
from tests.unit.interrupts import interrupted_in_a_condition
from tests.unit.local_http import Answer, refusing, serving

OK = Answer(b"yes")


def test_server_is_known_by_its_certificate_whatever_name_that_is_for(
    certificates: list[Path],
) -> None:
    with serving(lambda _: OK, tls=certificates[0]) as server:
        response = request("GET", server.url, certificate=certificates[0] / "server.pem")

    assert response.text == "yes"


def test_first_certificate_of_a_chain_counts(certificates: list[Path], tmp_path: Path) -> None:
    one, another = ((folder / "server.pem").read_text() for folder in certificates)
    chain = tmp_path / "chain.pem"
    chain.write_text(f"Müller's own:\n{one}\n{another}", encoding="utf-8")

    with serving(lambda _: OK, tls=certificates[0]) as server:
        assert request("GET", server.url, certificate=chain).ok
    with (
        serving(lambda _: OK, tls=certificates[1]) as server,
        pytest.raises(requests.exceptions.SSLError),
    ):
        request("GET", server.url, certificate=chain)


def test_server_with_another_certificate_gets_no_request(certificates: list[Path]) -> None:
    with (
        serving(lambda _: OK, tls=certificates[0]) as server,
        pytest.raises(requests.exceptions.SSLError),
    ):
        request("GET", server.url, certificate=certificates[1] / "server.pem", token="secret")

    assert server.requests == []


def test_certificate_that_nobody_vouches_for_is_refused(certificates: list[Path]) -> None:
    with (
        serving(lambda _: OK, tls=certificates[0]) as server,
        pytest.raises(requests.exceptions.SSLError),
    ):
        request("GET", server.url)

    assert server.requests == []


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"],
    ids=["missing", "empty", "no text", "no base64"],
)
def test_certificate_file_that_is_none_is_no_answer(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "server.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(requests.RequestException, match="no certificate to know the server by"):
        request("GET", "https://127.0.0.1:9", certificate=path)


@pytest.mark.parametrize(("token", "sent"), [("abc", "Bearer abc"), (None, None)])
def test_token_is_sent(token: str | None, sent: str | None) -> None:
    with serving(lambda _: OK) as server:
        request("GET", server.url, token=token)

    assert server.requests[0].headers["Authorization"] == sent


def test_password_file_of_the_user_does_not_replace_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    with serving(lambda _: OK) as server:
        request("GET", server.url, token="abc")

    assert server.requests[0].headers["Authorization"] == "Bearer abc"


def test_proxy_of_the_environment_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing() as nobody, serving(lambda _: OK) as server:
        monkeypatch.setenv("HTTP_PROXY", nobody)
        monkeypatch.setenv("http_proxy", nobody)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)

        assert request("GET", server.url).ok


def test_redirect_leads_nowhere() -> None:
    with (
        serving(lambda _: OK) as other,
        serving(lambda _: Answer(status=302, headers={"Location": other.url})) as server,
    ):
        response = request("GET", server.url, token="abc")

    assert response.status_code == 302
    assert other.requests == []


def test_files_are_a_form(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"content")

    with serving(lambda _: OK) as server, path.open("rb") as file:
        request("POST", server.url, files={"file": file})

    assert server.requests[0].form() == {"file": b"content"}


def test_nobody_there_is_no_answer() -> None:
    with refusing() as url, pytest.raises(requests.ConnectionError):
        request("GET", url)


# Python drops what a signal's handler raises in a finalizer; urllib3 has one for each request.
INTERRUPTED = """
import os, signal, weakref
import requests
from archive_builder.command import run
from server_control.own_http import request

class Held: ...

def interrupted(*_, **__):
    held = Held()
    weakref.finalize(held, os.kill, os.getpid(), signal.SIGTERM)
    del held
    answer = requests.Response()
    answer.status_code = 200
    return answer

requests.Session.request = interrupted
run(lambda: request("GET", "http://127.0.0.1:9").status_code)
"""


def test_an_interrupt_is_not_lost_in_a_finalizer() -> None:
    result = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=ROOT, timeout=60, check=False)
    assert result.returncode == 128 + signal.SIGINT


def test_an_interrupt_while_it_waits_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: OK) as server:
        for _ in range(20):
            with interrupted_in_a_condition(monkeypatch):
                assert request("GET", server.url).ok

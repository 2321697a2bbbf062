"""The proxy's file: what it says, and what is refused."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from archive_builder import ROOT
from archive_builder.command import CommandError
from archive_builder.model_configuration import model_configuration
from reverse_proxy.balance import _internal_error
from reverse_proxy.configuration import DEFAULT, ProxyConfiguration, clients_file
from reverse_proxy.hosts import LocalHost, RemoteHost
from reverse_proxy.limits import Limits

Load = Callable[[str], ProxyConfiguration]

LOCAL = '[[hosts]]\nname = "one"\nconfiguration = "config.properties"\n'
REMOTE = '[[hosts]]\nname = "two"\nurl = "https://two.example:8443/"\n'
LOOPBACK = 'listen = ["127.0.0.1:8080"]\n'
EVERYBODY = 'listen = ["0.0.0.0:8443"]\n'
TLS = 'certificate = "c.pem"\ncertificate_key = "c.key"\n'
CLIENTS = 'clients = "clients"\n'


@pytest.fixture
def load(tmp_path: Path) -> Load:
    for name in ("c.pem", "c.key"):
        (tmp_path / name).write_text(name)
    clients = tmp_path / "clients"
    clients.touch(mode=0o600)
    clients.write_text(f"shop {'a' * 32}\n")

    def load(text: str) -> ProxyConfiguration:
        file = tmp_path / "proxy.toml"
        file.write_text(text)
        return ProxyConfiguration.load(file)

    return load


def test_all_of_it(load: Load, tmp_path: Path) -> None:
    limits = "[limits]\nrequests_per_s = 7\npoll_s = 1\n"
    keys = 'ca_file = "c.pem"\ntoken_file = "token"\n'
    found = load(EVERYBODY + TLS + CLIENTS + LOCAL + REMOTE + keys + limits)
    assert found.listen == ("0.0.0.0:8443",)
    assert found.certificate == tmp_path / "c.pem"
    assert found.clients is not None
    assert [client.name for client in found.clients] == ["shop"]
    assert found.hosts == (
        LocalHost("one", tmp_path / "config.properties"),
        RemoteHost("two", "https://two.example:8443", tmp_path / "token", tmp_path / "c.pem"),
    )
    assert found.limits == Limits(requests_per_s=7, poll_s=1)
    assert found.model == "densenet121"
    assert found.scheme == "https"


def test_a_changed_file_of_nginx_makes_another_configuration(load: Load, tmp_path: Path) -> None:
    before = load(LOOPBACK + TLS + LOCAL)
    assert load(LOOPBACK + TLS + LOCAL) == before
    (tmp_path / "c.pem").write_text("new")
    assert load(LOOPBACK + TLS + LOCAL) != before


def test_this_machine_alone_needs_neither_tokens_nor_tls(load: Load) -> None:
    found = load('listen = ["127.0.0.1:80", "[::1]:80"]\n' + LOCAL)
    assert found.clients is None
    assert found.scheme == "http"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen = [", "is no TOML"),
        (LOOPBACK + "port = 1\n" + LOCAL, "unknown port; there are listen"),
        ("listen = 5\n" + LOCAL, "listen must be a list"),
        ('listen = ["localhost:80"]\n' + LOCAL, "must be like 127.0.0.1:8443"),
        ('listen = ["127.0.0.1"]\n' + LOCAL, "must be like 127.0.0.1:8443"),
        ('listen = ["127.0.0.1:80;"]\n' + LOCAL, "must be like 127.0.0.1:8443"),
        ('listen = ["127.0.0.1:99999"]\n' + LOCAL, "must be like 127.0.0.1:8443"),
        ("listen = [1]\n" + LOCAL, "must be like 127.0.0.1:8443"),
        (LOCAL, "listen needs an address"),
        (LOOPBACK + 'redirect = ["127.0.0.1:8080"]\n' + TLS + LOCAL, "twice"),
        (LOOPBACK, "no hosts"),
        (LOOPBACK + LOCAL + LOCAL, "two hosts have one name"),
        (LOOPBACK + "hosts = [1]\n", "must be a table"),
        (LOOPBACK + '[[hosts]]\nname = "a b"\n', "each needs a name"),
        (
            LOOPBACK + '[[hosts]]\nname = "one"\n',
            "needs a configuration (of this machine) or a url",
        ),
        (LOOPBACK + REMOTE + 'configuration = "x"\n', "unknown configuration"),
        (LOOPBACK + REMOTE.replace("https", "ftp"), "must be like https://two:8443"),
        (LOOPBACK + 'certificate = "c.pem"\n' + LOCAL, "go together"),
        (LOOPBACK + TLS.replace("c.pem", "absent") + LOCAL, "absent cannot be read"),
        (LOOPBACK + 'redirect = ["127.0.0.1:81"]\n' + LOCAL, "redirect needs a certificate"),
        (EVERYBODY + TLS + LOCAL, "clients must name a file"),
        (EVERYBODY + CLIENTS + LOCAL, "must be a certificate"),
        (LOOPBACK + 'model = "a/b"\n' + LOCAL, "model must be"),
        (LOOPBACK + 'user = "a;b"\n' + LOCAL, "user must be"),
        (
            LOOPBACK + LOCAL + "[limits]\ntrys = 3\n",
            "limits: unknown trys; there are max_body_bytes",
        ),
        (LOOPBACK + LOCAL + "[limits]\ntries = 0\n", "limits: tries must be more than 0, not 0"),
        (LOOPBACK + LOCAL + "[limits]\ntries = 1.5\n", "must be a whole number, not 1.5"),
        (LOOPBACK + LOCAL + "[limits]\ntries = true\n", "must be a whole number, not True"),
        (LOOPBACK + LOCAL + '[limits]\npoll_s = "1"\n', "must be a number, not '1'"),
        (LOOPBACK + LOCAL + "[limits]\nsettle_s = -1\n", "must be 0 or more"),
    ],
)
def test_what_is_wrong_is_said(load: Load, text: str, words: str) -> None:
    with pytest.raises(CommandError) as error:
        load(text)
    assert words in str(error.value)
    assert "proxy.toml" in str(error.value) or "absent" in words


def test_plain_http_for_others_has_to_be_asked_for(load: Load) -> None:
    found = load(EVERYBODY + CLIENTS + "allow_plain_http = true\n" + LOCAL)
    assert found.scheme == "http"


def test_the_files_shipped_name_a_file_of_clients() -> None:
    assert clients_file(DEFAULT) == DEFAULT.parent / "secrets" / "clients"


def test_without_a_file_of_clients_none_can_be_added(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").write_text(LOOPBACK)
    with pytest.raises(CommandError, match="names no file of clients"):
        clients_file(tmp_path / "proxy.toml")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"absent\.toml cannot be read"):
        ProxyConfiguration.load(tmp_path / "absent.toml")


def document_table(header: str) -> list[list[str]]:
    lines = (ROOT / "docs" / "PROXY.md").read_text(encoding="utf-8").split(f"| {header} |")[1]
    rows = lines.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_what_hung_a_worker_is_handed_to_a_second_one_and_to_no_third() -> None:
    hung_s = model_configuration()["responseTimeout"]
    assert hung_s < Limits().retry_window_s < 2 * hung_s
    assert hung_s < Limits().answer_timeout_s


def test_every_limit_has_its_row_with_its_default() -> None:
    written = [(name, default) for name, default, _ in document_table("limit")]
    assert written == [(field.name, str(field.default)) for field in fields(Limits)]


def test_every_error_of_nginx_has_its_row() -> None:
    templates = [
        (DEFAULT.parent / name).read_text() for name in ("front.conf", "balance.conf", "host.conf")
    ]
    text = "".join(templates).replace("{{internal_error}}", _internal_error())
    said = re.findall(r'return (\d+) \'\{"code": (\d+), "type": "(\w+)"', text)
    assert all(status == code for status, code, _ in said)
    written = {(code, kind) for code, kind, *_ in document_table("code")}
    assert written == {(code, kind) for code, _, kind in said}

"""What nginx is told of hosts, clients and files."""

import re
import resource
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from reverse_proxy.balance import _internal_error, balance, certificate_file, overall, usable
from reverse_proxy.clients import Client
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders
from reverse_proxy.front import front
from reverse_proxy.hosts import Host, LocalHost, Observation, RemoteHost, Target
from reverse_proxy.limits import Limits
from reverse_proxy.templates import fill, safe
from server_control.readiness import DOWN, DRAINING, IS_READY, STARTING

FOLDERS = Folders(Path("/t"), Path("/t/private"), Path("/t/sockets"), Path("/logs"), "")
ONE = LocalHost("one", Path("/one"))
TWO = RemoteHost("two", "https://two.example")
TARGETS = {
    ONE: Target("http://127.0.0.1:8080", "secret-1"),
    TWO: Target("https://two.example", "secret-2", "-----BEGIN", "two.example"),
}


def configuration(**changes: object) -> ProxyConfiguration:
    values = {
        "path": Path("/proxy.toml"), "listen": ("127.0.0.1:8443",), "redirect": (),
        "certificate": None, "certificate_key": None, "clients": None, "model": "densenet121",
        "user": "www-data", "hosts": (ONE, TWO), "limits": Limits(), "digest": "",
    }  # fmt: skip
    return ProxyConfiguration(**{**values, **changes})  # type: ignore[arg-type]


def seen(one: str, two: str) -> dict[Host, Observation]:
    return {ONE: Observation(one, "", TARGETS[ONE]), TWO: Observation(two, "", TARGETS[TWO])}


def rendered(one: str, two: str, *, ending: bool = False) -> str:
    return balance(configuration(), FOLDERS, seen(one, two), ending=ending)[0]


HOSTS = pytest.mark.parametrize(
    ("one", "two", "names"),
    [
        (IS_READY, IS_READY, ["one", "two"]),
        (IS_READY, DRAINING, ["one"]),
        (DOWN, DRAINING, ["two"]),
        (DRAINING, DRAINING, ["one", "two"]),
        (STARTING, IS_READY, ["two"]),
        (STARTING, DOWN, ["nobody"]),
    ],
)


@HOSTS
def test_a_full_host_is_left_for_another_where_there_is_one(
    one: str, two: str, names: list[str]
) -> None:
    (tries,) = re.findall(r"proxy_next_upstream (.*);", rendered(one, two).split("@lost")[0])
    assert ("http_429" in tries.split()) == (len(names) > 1)


@HOSTS
def test_who_gets_requests_and_who_stands_in(one: str, two: str, names: list[str]) -> None:
    servers = in_upstream("hosts", rendered(one, two))
    assert servers == [(name, "") for name in names] + [(name, " backup") for name in names]


def in_upstream(name: str, text: str) -> list[tuple[str, str]]:
    block = text.split(f"upstream {name} {{")[1].split("}", maxsplit=1)[0]
    pattern = r"server unix:/t/sockets/(?:host-)?(\w+)\.sock max_fails=0( backup)?;"
    return re.findall(pattern, block)


@pytest.mark.parametrize(
    ("one", "two", "name"),
    [
        (IS_READY, IS_READY, "one"),
        (DRAINING, IS_READY, "one"),
        (DOWN, IS_READY, "nobody"),
        (STARTING, DRAINING, "nobody"),
    ],
)
def test_what_another_proxy_sends_stays_on_this_machine(one: str, two: str, name: str) -> None:
    text = rendered(one, two)
    assert in_upstream("local", text) == [(name, ""), (name, " backup")]
    ready = text.split("location = /ready/local {")[1].split("}\\n")[0]
    assert f'{"200" if one == IS_READY else "503"} \'{{"state": "{one}"' in ready


def test_another_proxy_is_told_that_a_request_is_forwarded_and_torchserve_is_not() -> None:
    one, two = rendered(IS_READY, IS_READY).split("upstream host_")[1:]
    assert 'X-Forwarded-By-Proxy "";' in one
    assert 'X-Forwarded-By-Proxy "yes";' in two


def test_a_host_of_which_nothing_is_known_yet_is_nobody() -> None:
    assert usable({ONE: Observation(IS_READY, "")}) == []


@pytest.mark.parametrize(
    ("states", "best"),
    [
        ([DOWN, IS_READY], IS_READY),
        ([DOWN, DRAINING, STARTING], DRAINING),
        ([DOWN, STARTING], STARTING),
        ([DOWN], DOWN),
        ([], DOWN),
    ],
)
def test_the_state_of_all(states: list[str], best: str) -> None:
    assert overall(states) == best


def test_ready_is_told_by_status_and_in_words() -> None:
    assert 'return 200 \'{"state": "ready"}' in rendered(IS_READY, DOWN)
    assert 'return 503 \'{"state": "draining"}' in rendered(DRAINING, DOWN)
    assert 'return 503 \'{"state": "draining"}' in rendered(IS_READY, IS_READY, ending=True)


def test_each_host_has_its_own_token_and_certificate() -> None:
    one, two = rendered(IS_READY, IS_READY).split("upstream host_")[1:]
    assert 'Authorization "Bearer secret-1"' in one
    assert "server 127.0.0.1:8080 max_fails=0" in one
    assert "proxy_ssl" not in one
    assert 'Authorization "Bearer secret-2"' in two
    assert "server two.example:443 max_fails=0" in two
    file = certificate_file(FOLDERS, TARGETS[TWO])
    assert f'proxy_ssl_trusted_certificate "{file}";' in two
    assert file.parent == FOLDERS.private
    assert "proxy_ssl_verify on;" in two
    assert 'proxy_ssl_name "two.example";' in two


def test_only_a_ready_torchserve_is_full_when_it_says_503() -> None:
    full = "error_page 503 =429 @busy;"
    assert rendered(IS_READY, IS_READY).count(full) == 1
    assert rendered(DRAINING, IS_READY).count(full) == 0


def test_the_handlers_words_fit_between_nginxs_quotes() -> None:
    assert not set(_internal_error()) & set("'\\$\n")


@pytest.mark.parametrize(
    ("seen", "unreadable"),
    [
        ("403|image/png|90|", True),
        ("502, 403|image/png|90|", True),
        ("500|multipart/form-data; boundary=x|90|", True),
        ("502, 500|multipart/form-data; boundary=x|90|", True),  # a kept connection was closed
        ("500|multipart/form-data; boundary=x|84|", False),  # as long as "Worker died."
        ("500|multipart/form-data; boundary=x|90|demo", False),
        ("500|image/png|90|", False),
        ("500|image/png; 500|multipart/form-data|90|", False),
        ("507|multipart/form-data; boundary=x|90|", False),
        ("|multipart/form-data; boundary=x||", False),  # nginx's own
    ],
)
def test_what_counts_as_unreadable(seen: str, *, unreadable: bool) -> None:
    table = rendered(IS_READY, IS_READY).partition("$unreadable {")[2].partition("}\n")[0]
    patterns = re.findall(r'"~(\*?)(.+)" yes;', table)
    assert len(patterns) == 2
    flags = {"": re.NOFLAG, "*": re.IGNORECASE}
    assert any(re.search(text, seen, flags[star]) for star, text in patterns) is unreadable


def test_the_generation_changes_with_anything() -> None:
    first = balance(configuration(), FOLDERS, seen(IS_READY, IS_READY))
    again = balance(configuration(), FOLDERS, seen(IS_READY, IS_READY))
    other = balance(configuration(), FOLDERS, seen(IS_READY, DOWN))
    assert first == again
    assert first[1] in first[0]
    assert other[1] != first[1]


def test_the_front_does_not_change_with_the_hosts() -> None:
    assert "host-one" not in front(configuration(), FOLDERS)[0]


def test_the_fronts_generation_changes_with_its_files() -> None:
    first = front(configuration(), FOLDERS)
    assert first == front(configuration(), FOLDERS)
    assert f"return 200 {first[1]};" in first[0]
    assert front(configuration(digest="of a new certificate"), FOLDERS)[1] != first[1]


@pytest.mark.parametrize(
    ("hard", "allowed"), [(resource.RLIM_INFINITY, 456), (10_000, 456), (300, 300)]
)
def test_no_more_files_are_asked_for_than_may_be(
    monkeypatch: pytest.MonkeyPatch, hard: int, allowed: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, hard))
    text, _ = front(configuration(limits=Limits(max_connections=100)), FOLDERS)
    assert f"worker_rlimit_nofile {allowed};" in text


def test_tokens_are_compared_as_they_are() -> None:
    clients = (Client("shop", "a.b+c" + "d" * 32),)
    text, _ = front(configuration(clients=clients), FOLDERS)
    assert r'"~^(?i:bearer) +a\.b\+c' + "d" * 32 + '$" shop;' in text


def test_without_clients_anybody_may_ask() -> None:
    assert "default anybody;" in front(configuration(), FOLDERS)[0]


def test_tls_and_hsts_come_with_a_certificate() -> None:
    plain, _ = front(configuration(), FOLDERS)
    assert "ssl_protocols" not in plain
    assert 'Strict-Transport-Security "' not in plain
    files = {"certificate": Path("/c.pem"), "certificate_key": Path("/c.key")}
    text, _ = front(configuration(**files), FOLDERS)
    assert "listen 127.0.0.1:8443 ssl http2;" in text
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text
    assert 'Strict-Transport-Security "max-age=31536000" always;' in text
    text, _ = front(configuration(**files, limits=Limits(hsts_s=0)), FOLDERS)
    assert "max-age" not in text


def test_nothing_ends_nginxs_string() -> None:
    assert safe(Path("/a b/c.pem")) == "/a b/c.pem"
    for text in ('a"b', "a;b", "a$b", "a\nb", "a{b", "a\\b"):
        with pytest.raises(CommandError, match="cannot hold"):
            safe(text)


def test_a_place_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill("host.conf", {"name": "one"})

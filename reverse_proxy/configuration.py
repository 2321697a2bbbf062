"""The file of the proxy: where to listen, for which clients, in front of which hosts.

TOML; relative paths are relative to the file's own folder. Unknown keys, wrong types and what
would be unsafe (no tokens, or no TLS, where others can connect) are a `CommandError` in a sentence.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from archive_builder import MODEL_NAME, ROOT
from archive_builder.command import CommandError
from reverse_proxy.clients import Client, read_clients
from reverse_proxy.hosts import Host, LocalHost, RemoteHost
from reverse_proxy.limits import Limits

DEFAULT = ROOT / "deploy" / "nginx" / "proxy.toml"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MODEL = re.compile(r"[A-Za-z0-9_-]+")
_KEYS: Mapping[str, type] = {
    "listen": list,
    "redirect": list,
    "certificate": str,
    "certificate_key": str,
    "clients": str,
    "allow_plain_http": bool,
    "model": str,
    "user": str,
    "hosts": list,
    "limits": dict,
}
_OTHERS = "others than this machine may connect"
_LOCAL_KEYS = {"name": str, "configuration": str, "ca_file": str, "server_name": str}
_REMOTE_KEYS = {"name": str, "url": str, "token_file": str, "ca_file": str, "server_name": str}


@dataclass(frozen=True)
class ProxyConfiguration:
    """The file and those that it names, read. `digest` changes with certificate and key."""

    path: Path
    listen: tuple[str, ...]
    redirect: tuple[str, ...]
    certificate: Path | None
    certificate_key: Path | None
    clients: tuple[Client, ...] | None
    model: str
    user: str
    hosts: tuple[Host, ...]
    limits: Limits
    digest: str

    @classmethod
    def load(cls, path: Path) -> "ProxyConfiguration":
        """Read the file and those that it names."""
        document = _document(path)
        certificate = _path(document, "certificate", path)
        certificate_key = _path(document, "certificate_key", path)
        clients_file = _path(document, "clients", path)
        hosts = tuple(_host(table, path) for table in document.get("hosts", []))
        result = cls(
            path=path,
            listen=_addresses(document, "listen", path),
            redirect=_addresses(document, "redirect", path),
            certificate=certificate,
            certificate_key=certificate_key,
            clients=None if clients_file is None else read_clients(clients_file),
            model=document.get("model", MODEL_NAME),
            user=document.get("user", "www-data"),
            hosts=hosts,
            limits=Limits.from_table(document.get("limits", {}), f"{path}: limits"),
            digest=_digest([certificate, certificate_key]),
        )
        _require_sense(result, plain_allowed=document.get("allow_plain_http", False))
        return result

    @property
    def scheme(self) -> str:
        """What clients speak."""
        return "http" if self.certificate is None else "https"


def clients_file(path: Path) -> Path:
    """Return the file of clients that the configuration names, whether or not it exists."""
    file = _path(_document(path), "clients", path)
    if file is None:
        message = f'{path} names no file of clients; add a line like clients = "secrets/clients"'
        raise CommandError(message)
    return file


def _document(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"the proxy's file {path} cannot be read: {error.strerror}"
        raise CommandError(message) from error
    except ValueError as error:
        message = f"the proxy's file {path} is no TOML: {error}"
        raise CommandError(message) from error
    _require_keys(document, _KEYS, str(path))
    return document


def _require_keys(table: object, kinds: Mapping[str, type], where: str) -> None:
    if not isinstance(table, dict):
        message = f"{where} must be a table"
        raise CommandError(message)
    for key, value in table.items():
        if key not in kinds:
            message = f"{where}: unknown {key}; there are {', '.join(kinds)}"
            raise CommandError(message)
        if not isinstance(value, kinds[key]):
            message = f"{where}: {key} must be a {kinds[key].__name__}, not {value!r}"
            raise CommandError(message)


def _path(table: Mapping[str, Any], key: str, path: Path) -> Path | None:
    return path.parent / table[key] if key in table else None


def _addresses(document: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    for text in document.get(key, []):
        try:
            parts = urlsplit(f"//{text}")
            right = bool(ip_address(parts.hostname or "") and parts.port) and parts.netloc == text
        except ValueError:
            right = False
        if not right:
            message = f"{path}: {key}: must be like 127.0.0.1:8443 or [::1]:8443, not {text!r}"
            raise CommandError(message)
    return tuple(document.get(key, []))


def _host(table: Any, path: Path) -> Host:  # noqa: ANN401 - whatever TOML holds
    where = f"{path}: hosts"
    remote = isinstance(table, dict) and "url" in table
    _require_keys(table, _REMOTE_KEYS if remote else _LOCAL_KEYS, where)
    name, server_name = table.get("name", ""), table.get("server_name", "")
    if not _NAME.fullmatch(name):
        message = f"{where}: each needs a name of letters, digits, _ and -, not {name!r}"
        raise CommandError(message)
    ca_file = _path(table, "ca_file", path)
    if not remote:
        configuration = _path(table, "configuration", path)
        if configuration is None:
            message = f"{where}: {name} needs a configuration (of this machine) or a url"
            raise CommandError(message)
        # Its folders are named by this path, as ./scripts/serve spells it.
        return LocalHost(name, Path(configuration).resolve(), ca_file, server_name)
    url = urlsplit(table["url"])
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/") or url.query:
        message = f"{where}: the url of {name} must be like https://two:8443, not {table['url']!r}"
        raise CommandError(message)
    token_file = _path(table, "token_file", path)
    return RemoteHost(name, table["url"].rstrip("/"), token_file, ca_file, server_name)


def _digest(files: list[Path | None]) -> str:
    digest = hashlib.sha256()
    for file in filter(None, files):
        try:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            message = f"{file} cannot be read: {error.strerror}"
            raise CommandError(message) from error
    return digest.hexdigest()


def _require_sense(configuration: ProxyConfiguration, *, plain_allowed: bool) -> None:
    names = [host.name for host in configuration.hosts]
    addresses = (*configuration.listen, *configuration.redirect)
    exposed = any(not _is_loopback(address) for address in configuration.listen)
    encrypted = configuration.certificate is not None
    for wrong, what in (
        (not configuration.listen, "listen needs an address, like 127.0.0.1:8443"),
        (len(set(addresses)) != len(addresses), "an address is listened on twice"),
        (not names, "no hosts; there must be one or more tables [[hosts]]"),
        (len(set(names)) != len(names), "two hosts have one name"),
        (
            encrypted != (configuration.certificate_key is not None),
            "certificate and certificate_key go together",
        ),
        (bool(configuration.redirect) and not encrypted, "redirect needs a certificate"),
        (
            exposed and configuration.clients is None,
            f"{_OTHERS}, so clients must name a file (./scripts/proxy --add-client NAME)",
        ),
        (
            exposed and not encrypted and not plain_allowed,
            f"{_OTHERS}, so there must be a certificate (or allow_plain_http, see docs/PROXY.md)",
        ),
        (not _MODEL.fullmatch(configuration.model), "model must be the name of a model"),
        (not _NAME.fullmatch(configuration.user), "user must be the name of an account"),
    ):
        if wrong:
            message = f"{configuration.path}: {what}"
            raise CommandError(message)


def _is_loopback(address: str) -> bool:
    return ip_address(urlsplit(f"//{address}").hostname or "").is_loopback

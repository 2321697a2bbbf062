"""The configuration of TorchServe: which model is served, from where, on which ports.

`TS_CONFIG_FILE` selects the file, as in TorchServe itself; else it is the project's
`config.properties`. Relative paths in it are relative to the file's own folder. A variable
`TS_<KEY>` of the environment, like `TS_INFERENCE_ADDRESS`, wins over the file.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from archive_builder import ROOT
from archive_builder.command import CommandError
from server_control.torchserve_keys import PATHS, from_environment, require_known

# TorchServe's own defaults (its documentation, "Advanced configuration").
_ADDRESSES = {
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
}
_CERTIFICATE = ("certificate_file", "private_key_file")
_GRPC_PORTS = {
    ("grpc_inference_address", "grpc_inference_port"): "7070",
    ("grpc_management_address", "grpc_management_port"): "7071",
}


# An entry of load_models, as TorchServe splits it: at commas, and not around a space.
_ARCHIVE = re.compile(r"((?P<name>[\w.-]+)=)?(?P<file>[\w.-]+\.mar)", re.ASCII)


@dataclass(frozen=True)
class ServedArchive:
    """An archive that `load_models` names, as NAME.mar or, to be one version, as NAME=FILE.mar.

    The first is `built` by `serve` when it is not the one asked for now; the other is served as it
    is, so that it stays the same when code, weights or labels change.
    """

    model_name: str
    path: Path
    built: bool


@dataclass(frozen=True)
class Configuration:
    """What TorchServe is to be told; paths are absolute. `path` is the file that names it."""

    path: Path
    values: Mapping[str, str]

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> "Configuration":
        """Read the selected file and the environment; `CommandError` where that is no good."""
        path = selected_path(environment)
        values = {**cls.read(path).values}
        try:
            values |= from_environment(environment)
        except ValueError as error:
            message = f"the environment sets what cannot be set: {error}"
            raise CommandError(message) from error
        return cls(path, values)

    @classmethod
    def read(cls, path: Path) -> "Configuration":
        """Read a file alone; `CommandError` when it is missing or wrong."""
        try:
            values = parse_properties(path.read_text(encoding="utf-8"))
            require_known(values)
        except OSError as error:
            message = f"the configuration {path} cannot be read: {error.strerror}"
            raise CommandError(message) from error
        except ValueError as error:
            message = f"the configuration {path} cannot be read: {error}"
            raise CommandError(message) from error
        for key in PATHS:
            if key in values:
                values[key] = str(path.parent / values[key])
        return cls(path, values)

    @property
    def model_store(self) -> Path:
        """Folder of the archives."""
        if "model_store" not in self.values:
            message = f"{self.path}: model_store is missing"
            raise CommandError(message)
        return Path(self.values["model_store"])

    @property
    def archives(self) -> tuple["ServedArchive", ...]:
        """The archives that `load_models` names, that of the default version first."""
        return tuple(
            ServedArchive(name or file.removesuffix(".mar"), self.model_store / file, not name)
            for name, file in self._load_models()
        )

    @property
    def model_name(self) -> str:
        """Name of the one model that is served."""
        name, file = self._load_models()[0]
        return name or file.removesuffix(".mar")

    @property
    def asks_for_tokens(self) -> bool:
        """Whether a request needs a token; TorchServe's own default is that it does."""
        return self.values.get("disable_token_authorization", "false").lower() != "true"

    @property
    def token_life(self) -> timedelta:
        """How long a token is valid; an hour where the file's number is none, as in TorchServe."""
        try:
            return timedelta(minutes=float(self.values["token_expiration_min"]))
        except (KeyError, ValueError, OverflowError):
            return timedelta(hours=1)

    @property
    def certificate(self) -> Path | None:
        """The certificate that TorchServe shows; None where it speaks no TLS."""
        file = self.values.get("certificate_file")
        return Path(file) if file and self._speaks_tls else None

    @property
    def management_url(self) -> str:
        """Where the management API is."""
        return self._address("management_address")

    @property
    def inference_url(self) -> str:
        """Where the inference API is."""
        return self._address("inference_address")

    @property
    def prediction_url(self) -> str:
        """Where images are posted to."""
        return f"{self.inference_url}/predictions/{self.model_name}"

    @property
    def model_url(self) -> str:
        """Where the management API describes the model and its workers."""
        return f"{self.management_url}/models/{self.model_name}"

    def listeners(self) -> dict[str, tuple[str, int]]:
        """Return host and port of everything TorchServe listens on, by the key that sets it."""
        addresses = {key: self._address(key) for key in _ADDRESSES}
        for (host_key, port_key), port in _GRPC_PORTS.items():
            host = self.values.get(host_key, "127.0.0.1")
            addresses[port_key] = f"http://{host}:{self.values.get(port_key, port)}"
        return {key: self._listener(key, address) for key, address in addresses.items()}

    def open_to_others(self) -> list[str]:
        """Name the addresses that more than this machine can reach, like `inference_address`."""
        return [key for key, (host, _) in self.listeners().items() if not _is_loopback(host)]

    def _load_models(self) -> list[tuple[str, str]]:
        """Return the model's name, or "" where it is left to the file's, and the file of each."""
        text = self.values.get("load_models", "")
        matches = [_ARCHIVE.fullmatch(each) for each in text.split(",")]
        found = [(match["name"] or "", match["file"]) for match in matches if match]
        models = {name or file.removesuffix(".mar") for name, file in found}
        unnamed = sum(not name for name, _ in found)
        if (
            len(found) < len(matches)
            or len(models) != 1
            or unnamed > 1
            or len(set(found)) < len(found)
        ):
            message = (
                f"{self.path}: load_models must name one archive, like densenet121.mar, or some "
                "of one model, like densenet121=densenet121-1.mar,densenet121=densenet121-2.mar"
            )
            raise CommandError(message)
        return found

    def _listener(self, key: str, address: str) -> tuple[str, int]:
        try:
            parts = urlsplit(address)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            message = f"{self.path}: {key}: {error}"
            raise CommandError(message) from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            message = f"{self.path}: {key} must be like http://127.0.0.1:8080, not {address}"
            raise CommandError(message)
        return parts.hostname, port

    def text(self) -> str:
        """Return the same settings as a file that does not depend on the working directory."""
        # TorchServe reads the certificate whether or not it needs one.
        unused = () if self._speaks_tls else _CERTIFICATE
        used = {key: value for key, value in self.values.items() if key not in unused}
        return "".join(f"{key}={value}\n" for key, value in used.items())

    @property
    def _speaks_tls(self) -> bool:
        encrypted = any(self._address(key).startswith("https:") for key in _ADDRESSES)
        return encrypted or self.values.get("enable_grpc_ssl", "").lower() == "true"

    def _address(self, key: str) -> str:
        return self.values.get(key, _ADDRESSES[key]).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def selected_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute path of the selected configuration, whether or not it exists."""
    return Path(environment.get("TS_CONFIG_FILE") or ROOT / "config.properties").absolute()


def parse_properties(text: str) -> dict[str, str]:
    """Read `key=value` lines; `#` or `!` begins a comment, a final backslash continues a line.

    Raises ValueError for any other line, which Java would read and TorchServe's launcher would not,
    and for a key that stands there twice.
    """
    values = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        key, equals, value = stripped.partition("=")
        if not equals:
            message = f"not a line of the form key=value: {stripped}"
            raise ValueError(message)
        if key.strip() in values:
            message = f"{key.strip()} stands there twice"
            raise ValueError(message)
        values[key.strip()] = value.strip()
    return values

"""The configuration file of TorchServe: which model is served, from where, on which ports.

`TS_CONFIG_FILE` selects the file, as in TorchServe itself; else it is the project's
`config.properties`. Relative paths in it are relative to the file's own folder.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from archive_builder import ROOT
from archive_builder.command import CommandError

# TorchServe's own defaults (its documentation, "Advanced configuration").
_ADDRESSES = {
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
}
_GRPC_PORTS = {
    ("grpc_inference_address", "grpc_inference_port"): "7070",
    ("grpc_management_address", "grpc_management_port"): "7071",
}
# The keys whose value TorchServe takes as a path of its working directory.
_PATHS = (
    "model_store",
    "workflow_store",
    "metrics_config",
    "private_key_file",
    "certificate_file",
    "keystore",
    "plugins_path",
)


@dataclass(frozen=True)
class Configuration:
    """One configuration file, read; paths are absolute."""

    path: Path
    values: Mapping[str, str]

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> "Configuration":
        """Read the selected file; `CommandError` when it is missing."""
        path = selected_path(environment)
        try:
            values = parse_properties(path.read_text(encoding="utf-8"))
        except OSError as error:
            message = f"the configuration {path} cannot be read: {error.strerror}"
            raise CommandError(message) from error
        except ValueError as error:
            message = f"the configuration {path} cannot be read: {error}"
            raise CommandError(message) from error
        for key in _PATHS:
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
    def model_name(self) -> str:
        """Name of the one model that is served, from `load_models=NAME.mar`."""
        names = self.values.get("load_models", "").split(",")
        if len(names) != 1 or not names[0].endswith(".mar") or "=" in names[0]:
            message = f"{self.path}: load_models must name one archive, like densenet121.mar"
            raise CommandError(message)
        return names[0].removesuffix(".mar")

    @property
    def prediction_url(self) -> str:
        """Where images are posted to."""
        return f"{self._address('inference_address')}/predictions/{self.model_name}"

    @property
    def model_url(self) -> str:
        """Where the management API describes the model and its workers."""
        return f"{self._address('management_address')}/models/{self.model_name}"

    def listeners(self) -> dict[str, tuple[str, int]]:
        """Return host and port of everything TorchServe listens on, by the key that sets it."""
        addresses = {key: self._address(key) for key in _ADDRESSES}
        for (host_key, port_key), port in _GRPC_PORTS.items():
            host = self.values.get(host_key, "127.0.0.1")
            addresses[port_key] = f"http://{host}:{self.values.get(port_key, port)}"
        return {key: self._listener(key, address) for key, address in addresses.items()}

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
        return "".join(f"{key}={value}\n" for key, value in self.values.items())

    def _address(self, key: str) -> str:
        return self.values.get(key, _ADDRESSES[key]).rstrip("/")


def selected_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute path of the selected configuration, whether or not it exists."""
    return Path(environment.get("TS_CONFIG_FILE") or ROOT / "config.properties").absolute()


def parse_properties(text: str) -> dict[str, str]:
    """Read `key=value` lines; `#` or `!` begins a comment, a final backslash continues a line.

    Raises ValueError for any other line: Java would read it, TorchServe's launcher would not.
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
        values[key.strip()] = value.strip()
    return values

"""The tokens of a running TorchServe: read from its key file, renewed when their time is over.

TorchServe makes three keys at every start and keeps them in `key_file.json` of its working
directory: one for inference, one for management, both for `token_expiration_min` minutes, and
one, without end, with which new ones are asked for. A new one ends the one before it.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from archive_builder.command import CommandError
from server_control.configuration import Configuration
from server_control.own_http import request
from server_control.runtime import Runtime

KINDS = ("inference", "management")
# A token that ends within this time is as good as ended: who gets it has to be able to use it.
_MARGIN = timedelta(seconds=15)
_KEY_FILE_BYTES = 4096  # a block, and ten times what TorchServe writes


@dataclass(frozen=True)
class Key:
    """A token and when TorchServe will refuse it."""

    token: str = field(repr=False)
    expires: datetime

    @property
    def is_valid(self) -> bool:
        """Whether there is time left to use it."""
        return datetime.now(UTC) + _MARGIN < self.expires


def token(configuration: Configuration, runtime: Runtime, kind: str) -> str | None:
    """Return a valid token, renewed if need be; None where the server asks for none.

    `kind` is one of `KINDS`. Raises `CommandError` where there is none to be had.
    """
    if not configuration.asks_for_tokens:
        return None
    try:
        key = read(runtime, kind)
    except CommandError:
        if not runtime.key_file.exists():
            raise
        # TorchServe is writing it just now, for somebody who holds the lock.
    else:
        if key.is_valid:
            return key.token
    with runtime.keys_locked():
        key = read(runtime, kind)  # it may be another's new one by now
        key = key if key.is_valid else _renewed(configuration, runtime, kind)
    return key.token


def read(runtime: Runtime, kind: str) -> Key:
    """Return the key that the file holds, valid or not."""
    try:
        entry = _entries(runtime)[kind]
        return Key(entry["key"], datetime.fromisoformat(entry["expiration time"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{runtime.key_file} holds no {kind} token; is the server running?"
        raise CommandError(message) from error


def renew(configuration: Configuration, runtime: Runtime, kind: str) -> Key:
    """Have TorchServe make a new token; the old one is refused from then on."""
    with runtime.keys_locked():
        return _renewed(configuration, runtime, kind)


def _renewed(configuration: Configuration, runtime: Runtime, kind: str) -> Key:
    before = read(runtime, kind)
    if before.is_valid:  # one that has ended is no use: better to try
        _require_room(runtime)
    try:
        response = request(
            "GET",
            f"{configuration.management_url}/token?type={kind}",
            certificate=runtime.certificate(configuration),
            token=_entries(runtime)["API"]["key"],
        )
        response.raise_for_status()
    except (OSError, ValueError, KeyError, requests.RequestException) as error:
        message = f"the {kind} token cannot be renewed: {error}"
        raise CommandError(message) from error
    after = read(runtime, kind)
    if after.token == before.token:
        message = f"TorchServe answered, and {runtime.key_file} holds no new {kind} token"
        raise CommandError(message)
    return after


def _require_room(runtime: Runtime) -> None:
    """Raise `CommandError` where TorchServe could not write its file.

    It ends the old token and empties the file first: on a full disk the new token, and the key to
    ask for another, may then be known to nobody.
    """
    probe = runtime.key_file.with_suffix(".probe")
    try:
        probe.write_bytes(bytes(_KEY_FILE_BYTES))
    except OSError as error:
        message = f"no token is renewed, {probe} cannot be written: {error.strerror}"
        raise CommandError(message) from error
    finally:
        probe.unlink(missing_ok=True)


def _entries(runtime: Runtime) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads(runtime.key_file.read_text(encoding="utf-8"))
    return entries

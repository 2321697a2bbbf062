"""Who may ask: a file of lines `NAME TOKEN`, which nobody else may read.

Tokens are of the form that RFC 6750 gives bearer tokens, 32 characters or more. What is wrong
with the file is a `CommandError` that names the line and never shows a token.
"""

import fcntl
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from archive_builder.command import CommandError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{32,}=*")
_OTHERS = 0o007  # the group may be that of a container's mounted secrets


@dataclass(frozen=True)
class Client:
    """One client; the log has its name, never its token."""

    name: str
    token: str = field(repr=False)


def read_clients(path: Path) -> tuple[Client, ...]:
    """Return the clients of the file, in its order."""
    try:
        if path.stat().st_mode & _OTHERS:
            message = f"{path}: others may read it; chmod 600 {path}"
            raise CommandError(message)
        text = path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        message = f"{path} is missing; ./scripts/proxy --add-client NAME makes it"
        raise CommandError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise CommandError(message) from error
    clients: list[Client] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            clients.append(_client(line, clients, f"{path}, line {number}"))
    return tuple(clients)


def add_client(path: Path, name: str) -> str:
    """Add a client and return its new token, which is shown nowhere else.

    The file is replaced; it keeps its owner and its mode, so that whoever read it still does.
    """
    if not _NAME.fullmatch(name):
        message = f"the name of a client is of letters, digits, _ . and -, not {name!r}"
        raise CommandError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clients = read_clients(path) if path.exists() else ()
        if name in {client.name for client in clients}:
            message = f"{path} has a client {name} already; remove its line first"
            raise CommandError(message)
        token = secrets.token_hex(32)
        text = path.read_text(encoding="ascii") if path.exists() else ""
        _replace(path, f"{text.rstrip()}\n{name} {token}\n".lstrip())
    return token


def _replace(path: Path, text: str) -> None:
    """Put a file of this text in the place of another, or of none, at once."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    try:
        partial.write_text(text, encoding="ascii")
        if path.exists():
            before = path.stat()
            # Often that of a container, which reads the file, while root adds to it.
            os.chown(partial, before.st_uid, before.st_gid)
            partial.chmod(before.st_mode & 0o777)
        partial.replace(path)
    except OSError as error:
        message = f"{path} cannot be replaced, and is as it was: {error.strerror}; ask its owner"
        raise CommandError(message) from error
    finally:
        partial.unlink(missing_ok=True)


def _client(line: str, before: list[Client], where: str) -> Client:
    name, *rest = line.split()
    if len(rest) != 1 or not _NAME.fullmatch(name) or not _TOKEN.fullmatch(rest[0]):
        message = f"{where}: must be NAME TOKEN, the token of 32 characters or more"
        raise CommandError(message)
    client = Client(name, rest[0])
    for other in before:
        if client.name == other.name or client.token == other.token:
            message = f"{where}: {name} has the name or the token of {other.name}"
            raise CommandError(message)
    return client

"""Where a running proxy keeps what it needs, and what to do about one that died.

Below `.run/` the proxy of each file has a folder that stays: its logs, a lock, and `proxy.json`,
the note that it runs. Sockets and nginx's own files lie in a private folder with a short path,
because a socket's may have 107 characters at most. Each nginx has that folder as an argument: by
it those of a supervisor that was killed are found, and no process is ever taken for one of them.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam

import psutil

from archive_builder.command import CommandError, say
from reverse_proxy.templates import safe
from server_control.runtime import RUN

_END_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Folders:
    """`private` holds configurations, nobody but us may read it; workers reach `sockets`.

    Nobody else may read `logs`: they have clients' addresses.
    """

    root: Path
    private: Path
    sockets: Path
    logs: Path
    user: str

    def values(self) -> dict[str, str]:
        """Return what every template may name."""
        return {
            # Whose processes the workers are; only root may say so, and must.
            "user": f"user {self.user};" if self.user else "",
            "folder": safe(self.root),
            "sockets": safe(self.sockets),
            "logs": safe(self.logs),
        }


def state_folder(path: Path) -> Path:
    """Return the folder that stays, of the proxy of this file."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return RUN / f"proxy-{path.stem}-{digest}"


@contextmanager
def prepared(path: Path, user: str) -> Iterator[Folders]:
    """Hold the folders of the proxy of this file; a second one of it is refused."""
    state = state_folder(path)
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"a proxy of {path} is running already"
            raise CommandError(message) from error
        note = state / "proxy.json"
        _clear(note)
        root = Path(tempfile.mkdtemp(prefix="densenet121-proxy-"))
        try:
            note.write_text(json.dumps({"folder": str(root)}), encoding="utf-8")
            yield _made(root, logs, user if os.geteuid() == 0 else "")
        finally:
            shutil.rmtree(root, ignore_errors=True)
            note.unlink(missing_ok=True)


def _made(root: Path, logs: Path, user: str) -> Folders:
    folders = Folders(root, root / "private", root / "sockets", logs, user)
    folders.private.mkdir(mode=0o700)
    folders.sockets.mkdir(mode=0o700)
    logs.chmod(0o700)
    if user:
        # Workers are not root's: they need a way to the sockets, to connect and no more, and one
        # to the logs, which they open anew. Nobody else has one.
        root.chmod(0o711)
        try:
            account = getpwnam(user)
        except KeyError as error:
            message = f"there is no account {user}; name one as user, or do not run this as root"
            raise CommandError(message) from error
        for folder, mode in ((folders.sockets, 0o710), (logs, 0o750)):
            os.chown(folder, -1, account.pw_gid)
            folder.chmod(mode)
    return folders


def _clear(note: Path) -> None:
    """End what a supervisor that was killed has left."""
    try:
        root = Path(json.loads(note.read_text(encoding="utf-8"))["folder"])
    except (OSError, ValueError, KeyError):
        return
    left = masters(root)
    for process in left:
        say(f"Ending an nginx that a killed proxy has left (process {process.pid})")
        process.terminate()
    psutil.wait_procs(left, timeout=_END_TIMEOUT_S)
    shutil.rmtree(root, ignore_errors=True)
    note.unlink(missing_ok=True)


def masters(root: Path) -> list[psutil.Process]:
    """Return the masters of the nginxes that have this private folder as their argument."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if f"-p {root} " in " ".join(process.info["cmdline"] or [])
    ]

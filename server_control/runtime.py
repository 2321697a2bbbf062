"""What belongs to one running server: its folders, its processes, and the note that it runs.

Every configuration has a folder of its own below `.run/`: TorchServe's working directory, with
its logs, and `server.json`, the note. Its TMPDIR and TEMP is a private folder with a short
path, because the sockets in it may have 107 characters at most. That path stands in the command
line of the server and of each worker, and nowhere else: by it they are found, and no process
that happens to have got an old number is ever taken for one of them.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from archive_builder import ROOT
from server_control.configuration import Configuration

RUN = ROOT / ".run"
_JAVA_CLASS = "org.pytorch.serve.ModelServer"


@dataclass(frozen=True)
class Note:
    """What was started: from which configuration and archive, and in which private folder."""

    temp: str
    configuration: dict[str, str]
    archive: dict[str, Any]


class Runtime:
    """The folders and processes of the server of one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        path = configuration.path
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        self.folder = RUN / f"{path.stem}-{digest}"
        self.log = self.folder / "torchserve.log"
        self._note = self.folder / "server.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second `serve` or `stop` of the same configuration out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def note(self) -> Note | None:
        """Return the note of the server that was started last and not yet stopped."""
        try:
            return Note(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write_note(self, configuration: Configuration, archive: dict[str, Any]) -> Note:
        """Make a private folder for a new server and note it, before the server exists."""
        temp = tempfile.mkdtemp(prefix="densenet121-")
        note = Note(temp, dict(configuration.values), archive)
        self._note.write_text(json.dumps(asdict(note), indent=2), encoding="utf-8")
        return note

    def clean(self) -> None:
        """Remove what TorchServe leaves behind; the logs stay."""
        note = self.note()
        if note is not None:
            shutil.rmtree(note.temp, ignore_errors=True)
        for name in ("server.json", "key_file.json", "config.properties"):
            (self.folder / name).unlink(missing_ok=True)


def java_process(note: Note) -> psutil.Process | None:
    """Return TorchServe's own process, or None when it is gone."""
    java = [found for found in processes(note) if _JAVA_CLASS in found.info["cmdline"]]
    return java[0] if java else None


def processes(note: Note) -> list[psutil.Process]:
    """Return the server's processes that are alive: Java and the workers."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        arguments = process.info["cmdline"] or []
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and any(note.temp in argument for argument in arguments):
            found.append(process)
    return found

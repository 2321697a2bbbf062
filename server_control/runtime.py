"""What belongs to one running server: its folders, its processes, and the note that it runs.

Every configuration has a folder of its own below `.run/`: TorchServe's working directory, with
its logs, and `server.json`, the note. Its TMPDIR and TEMP is a private folder with a short
path, because the sockets in it may have 107 characters at most. Java has that folder as an
argument, each worker a socket in it: by these two the server's processes are found, and no
process that happens to have got an old number is ever taken for one of them.
"""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from archive_builder import ROOT
from archive_builder.command import CommandError, say
from server_control.configuration import Configuration

RUN = ROOT / ".run"


@dataclass(frozen=True)
class Note:
    """What was started: from which configuration and archive, and in which private folder."""

    temp: str
    configuration: dict[str, str]
    archive: dict[str, Any]


class Runtime:
    """The folders and processes of the server of one configuration, named by its path."""

    def __init__(self, configuration: Path) -> None:
        # One server, whichever link its file is reached by.
        configuration = configuration.resolve()
        digest = hashlib.sha256(str(configuration).encode()).hexdigest()[:8]
        self.folder = RUN / f"{configuration.stem}-{digest}"
        self.logs = self.folder / "logs"
        self.console = self.folder / "console.log"
        self.key_file = self.folder / "key_file.json"
        # There while the server runs, once all its workers were ready and one answered over HTTP.
        self.started = self.folder / "started"
        # There while the server is about to stop or to scale: proxies send it nothing new.
        self.draining = self.folder / "draining"
        self.effective = self.folder / "config.properties"
        self._certificate = self.folder / "certificate.pem"
        self._note = self.folder / "server.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second command that changes this server out."""
        # Ours alone: tokens, the certificate's password, requests' logs.
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Waiting for another serve, stop or scale of this configuration to end")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def keys_locked(self) -> Iterator[None]:
        """Keep others from renewing a token, for the moment that it takes.

        Raises `CommandError` where that cannot be, as on a full disk.
        """
        lock = self.folder / "keys.lock"
        try:
            file = lock.open("w")
        except OSError as error:
            message = f"{lock} cannot be written: {error.strerror}"
            raise CommandError(message) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def note(self) -> Note | None:
        """Return the note of the server that was started last and not yet stopped."""
        try:
            note = Note(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        # Without a folder there is nothing to know a process by, and nothing to remove.
        return note if note.temp else None

    def write_note(self, configuration: Mapping[str, str], archive: dict[str, Any]) -> Note:
        """Make a private folder for a new server and note it, before the server exists.

        The logs of the server before it are kept beside the new ones.
        """
        previous = self.folder / "logs.previous"
        shutil.rmtree(previous, ignore_errors=True)
        if self.logs.exists():
            self.logs.rename(previous)
        temp = tempfile.mkdtemp(prefix="densenet121-")
        note = Note(temp, dict(configuration), archive)
        self.started.unlink(missing_ok=True)
        try:
            self._note.write_text(json.dumps(asdict(note), indent=2), encoding="utf-8")
        except OSError:  # a full disk: what nothing notes nobody would remove
            shutil.rmtree(temp, ignore_errors=True)
            self._note.unlink(missing_ok=True)
            raise
        return note

    def write_configuration(self, configuration: Configuration) -> Path:
        """Write what TorchServe is to be told, as one file, and return its path."""
        self.effective.write_text(configuration.text(), encoding="utf-8")
        if configuration.certificate is not None:
            try:
                shutil.copyfile(configuration.certificate, self._certificate)
            except OSError as error:
                message = f"the certificate {error.filename} cannot be read: {error.strerror}"
                raise CommandError(message) from error
        return self.effective

    def running(self) -> Configuration:
        """Return what the server runs from, whatever its file and the environment say by now.

        Raises `CommandError` when no server is running.
        """
        self.running_note()
        return Configuration.read(self.effective)

    def running_note(self) -> Note:
        """Return the note of the server that runs; raises `CommandError` when there is none."""
        note = self.note()
        if note is None or not self.effective.exists():
            raise CommandError("no server of this configuration is running; see ./scripts/serve")
        return note

    def certificate(self, configuration: Configuration) -> Path | None:
        """Return the certificate that the server was started with: its file may be a newer one."""
        return self._certificate if self._certificate.exists() else configuration.certificate

    def clean(self) -> None:
        """Remove what TorchServe leaves behind; the logs stay."""
        note = self.note()
        if note is not None:
            shutil.rmtree(note.temp, ignore_errors=True)
        for path in (
            self.key_file,
            self.started,
            self.draining,
            self.effective,
            self._certificate,
            self._note,
        ):
            path.unlink(missing_ok=True)


def java_process(note: Note) -> psutil.Process | None:
    """Return TorchServe's own process, or None when it is gone."""
    java = [found for found in processes(note) if _java_argument(note) in found.info["cmdline"]]
    return java[0] if java else None


def processes(note: Note) -> list[psutil.Process]:
    """Return the server's processes: Java and the workers."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if _belongs(process.info["cmdline"] or [], note)
    ]


def _belongs(arguments: list[str], note: Note) -> bool:
    socket = f"{note.temp}/.ts.sock."
    worker = "--sock-name" in arguments and any(each.startswith(socket) for each in arguments)
    return worker or _java_argument(note) in arguments


def _java_argument(note: Note) -> str:
    return f"-Djava.io.tmpdir={note.temp}"

"""A real TorchServe for tests, started and stopped by the project's own scripts.

Each server has free ports and folders of its own; every wait has a deadline, and `stop` asserts
that nothing is left: no process, no port, no temporary folder.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from archive_builder import MODEL_NAME, ROOT
from archive_builder.archive import write_archive
from archive_builder.checksums import CHECKSUMS_FILE
from archive_builder.contents import MANIFEST
from densenet_classifier.classifier import ARCHIVE_FILE
from server_control.configuration import Configuration
from server_control.ports import PRODUCTION, write_configuration
from server_control.runtime import Note, Runtime, java_process, processes
from server_control.torchserve import require_free_ports

SCRIPT_TIMEOUT_S = 240
# What TorchServe's worker writes for each batch that it is handed.
BATCH_LINE = "Backend received inference at"

DEMO_WEIGHTS = {"DENSENET121_WEIGHTS": "demo"}

Completed = subprocess.CompletedProcess[str]


def own_weights(file: Path) -> dict[str, str]:
    """Return the environment that names these weights."""
    return {"DENSENET121_WEIGHTS": str(file)}


@dataclass
class Server:
    """One configuration with free ports, and the scripts run with it."""

    folder: Path
    model_store: Path
    model_name: str = "densenet121"
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "config.properties"
        self.write_configuration(**self.settings)

    def write_configuration(self, **settings: str) -> None:
        """Write the project's configuration with other ports, model store and `settings`."""
        write_configuration(
            self.path,
            **{
                "model_store": str(self.model_store),
                "load_models": f"{self.model_name}.mar",
                **settings,
            },
        )

    def write_production_configuration(self) -> None:
        """Write deploy/config.properties instead, with a certificate; needs openssl."""
        made = self.script("make-certificate", str(self.folder / "certificates"))
        assert made.returncode == 0, made.stderr
        write_configuration(
            self.path,
            PRODUCTION,
            model_store=str(self.model_store),
            certificate_file="certificates/server.pem",
            private_key_file="certificates/server.key",
        )

    @property
    def configuration(self) -> Configuration:
        return Configuration.load({"TS_CONFIG_FILE": str(self.path)})

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.path)

    @property
    def url(self) -> str:
        return self.configuration.prediction_url

    def note(self) -> Note:
        note = self.runtime.note()
        assert note is not None, "the server is not running"
        return note

    def variables(self, **environment: str) -> dict[str, str]:
        """Return the environment that scripts run in: this server's, and nothing of the tests'."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DENSENET121_", "TS_")) and name != "INDEX_TO_NAME"
        }
        return {**kept, "TS_CONFIG_FILE": str(self.path), **self.environment, **environment}

    def script(self, name: str, *arguments: str, **environment: str) -> Completed:
        """Run a script to its end and return its status and output."""
        return subprocess.run(
            [str(ROOT / "scripts" / name), *arguments],
            env=self.variables(**environment),
            capture_output=True,
            text=True,
            timeout=SCRIPT_TIMEOUT_S,
            check=False,
        )

    def serve(self, *arguments: str, **environment: str) -> Completed:
        """Start the server, which must succeed."""
        result = self.script("serve", *arguments, **environment)
        assert result.returncode == 0, result.stderr
        return result

    @contextmanager
    def foreground(self) -> Iterator["subprocess.Popen[str]"]:
        """Run `serve --foreground` and yield it once it has shown its answer."""
        with subprocess.Popen(
            [str(ROOT / "scripts" / "serve"), "--foreground"],
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as serve:
            try:
                assert serve.stdout is not None
                assert serve.stdout.readline().startswith("curl")
                yield serve
            finally:
                serve.kill()

    def workers(self) -> list[psutil.Process]:
        """Return the workers' processes."""
        java = java_process(self.note())
        return [each for each in processes(self.note()) if each != java]

    def stop(self) -> None:
        """Stop the server if it runs and assert that nothing of it is left."""
        note = self.runtime.note()
        result = self.script("stop")
        assert result.returncode == 0, result.stderr
        if note is not None:
            self.assert_gone(note)
        shutil.rmtree(self.runtime.folder)

    def count_batches(self) -> int:
        """Count the batches that workers were handed, once their log has come to rest."""
        log = self.runtime.logs / "model_log.log"
        deadline = time.monotonic() + SCRIPT_TIMEOUT_S
        count, previous = 0, -1
        while count != previous and time.monotonic() < deadline:
            previous = count
            count = log.read_text(errors="replace").count(BATCH_LINE)
            time.sleep(0.5)
        return count

    def assert_gone(self, note: Note) -> None:
        assert processes(note) == []
        assert not Path(note.temp).exists()
        require_free_ports(self.configuration)
        left = {path.name for path in self.runtime.folder.iterdir()}
        assert left <= {"lock", "keys.lock", "logs", "logs.previous", "console.log"}


def rewrite(archive: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change one file of an archive and what the archive says about it.

    As somebody does who knows how: only the SHA-256 of the whole archive tells. `serve` builds it
    anew unless it is configured as NAME=FILE.mar.
    """
    contents = contents_of(archive)
    contents[name] = change(contents[name])
    record = json.loads(contents[ARCHIVE_FILE])
    if name in record["sources"]:
        record["sources"][name] = hashlib.sha256(contents[name]).hexdigest()
        contents[ARCHIVE_FILE] = json.dumps(record).encode()
    write_archive(archive, contents)


def copy_as(archive: Path, target: Path, *, name: str = MODEL_NAME, version: str = "") -> Path:
    """Write an archive as if it had been built under another name, or as another version."""
    contents = contents_of(archive)
    manifest, record = json.loads(contents[MANIFEST]), json.loads(contents[ARCHIVE_FILE])
    version = version or record["model_version"]
    manifest["model"] |= {"modelName": name, "modelVersion": version}
    record |= {"model_name": name, "model_version": version}
    contents[MANIFEST] = json.dumps(manifest).encode()
    contents[ARCHIVE_FILE] = json.dumps(record).encode()
    write_archive(target, contents)
    return target


def contents_of(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive by name, without their hashes."""
    with zipfile.ZipFile(archive) as source:
        return {name: source.read(name) for name in source.namelist() if name != CHECKSUMS_FILE}

"""What an archive is built from, as one record: name, version, weights, labels, sources, tools.

The record is kept in the archive as `archive.json`. Two archives with equal records are equal
byte for byte, so comparing records tells whether an archive is the one asked for now.
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from archive_builder import HANDLER, LABELS
from archive_builder.command import CommandError
from archive_builder.contents import Record
from archive_builder.weights_source import WeightsSource, find_weights
from archive_builder.zip_layout import opened
from densenet_classifier import __version__
from densenet_classifier.classifier import ARCHIVE_FILE, LABELS_FILE
from densenet_classifier.engine import WEIGHTS_FILE
from densenet_classifier.labels import LabelsError, load_labels
from densenet_classifier.weights import WeightsError, sha256_of

CONVERTER = Path(__file__).with_name("convert.py")

# Of what belongs to the handler: code, settings, and what the web page is made of.
_SUFFIXES = {".py", ".yaml", ".html", ".css", ".js"}


@dataclass(frozen=True)
class ArchiveInputs:
    """The files that one archive is built from.

    `version` is given to an archive that is to be served beside another one of the same model;
    without it the model has the version of the code.
    """

    model_name: str
    weights: WeightsSource
    labels: Path
    sources: dict[str, bytes]  # name in the archive -> content
    version: str | None = None

    @property
    def model_version(self) -> str:
        """Return the version under which TorchServe serves the model."""
        return self.version or __version__

    @property
    def file_name(self) -> str:
        """Return the archive's name: archives of several versions lie side by side."""
        return f"{self.model_name}-{self.version}.mar" if self.version else f"{self.model_name}.mar"

    def record(self) -> Record:
        """Return what `archive.json` holds; equal records mean equal archives."""
        return {
            "model_name": self.model_name,
            "model_version": self.model_version,
            "version": __version__,
            "weights": {"name": self.weights.name, "sha256": self.weights.sha256},
            "labels": {"sha256": sha256_of(self.labels)},
            "sources": {
                name: hashlib.sha256(content).hexdigest() for name, content in self.sources.items()
            },
            "built_with": {
                **{name: version(name) for name in ("openvino", "torch", "torch-model-archiver")},
                "converter": sha256_of(CONVERTER),
            },
        }


def gather_inputs(
    model_name: str,
    store: Path,
    *,
    version: str | None = None,
    require_pretrained: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> ArchiveInputs:
    """Find weights and labels as the environment asks and read the sources."""
    labels = Path(environment.get("INDEX_TO_NAME") or LABELS)
    if not labels.is_file():
        message = f"INDEX_TO_NAME={labels}: there is no such file"
        raise CommandError(message)
    weights = find_weights(store, require_pretrained=require_pretrained, environment=environment)
    return ArchiveInputs(model_name, weights, labels, read_sources(HANDLER), version)


@contextmanager
def unpacked_inputs(
    archive: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[ArchiveInputs]:
    """Yield the inputs for building an archive anew with the weights and labels that it holds.

    `INDEX_TO_NAME` still names other labels. Raises `CommandError` when the archive is missing,
    damaged, or not one of ours.
    """
    record = read_record(archive)
    if record is None:
        name = archive.stem
        message = (
            f"{archive} is missing or damaged; build it with DENSENET121_WEIGHTS=... "
            f"INDEX_TO_NAME=... ./scripts/build-archive --model-name {name}"
        )
        raise CommandError(message)
    with tempfile.TemporaryDirectory(prefix="unpack-archive-") as folder:
        with opened(archive) as file:
            weights = Path(file.extract(WEIGHTS_FILE, folder))
            labels = Path(environment.get("INDEX_TO_NAME") or file.extract(LABELS_FILE, folder))
        source = WeightsSource(weights, record["weights"]["name"], sha256_of(weights))
        if source.sha256 != record["weights"]["sha256"]:
            message = f"{archive}: its weights are not those that it was built from"
            raise CommandError(message)
        yield ArchiveInputs(archive.stem, source, labels, read_sources(HANDLER))


def read_sources(folder: Path) -> dict[str, bytes]:
    """Return the files below `handler/` by name, sorted, without what Python leaves there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.suffix in _SUFFIXES
    }


def check_inputs(inputs: ArchiveInputs) -> None:
    """Refuse weights that are no DenseNet-121 and labels that do not fit them."""
    # PyTorch is for building; `serve` reads records with this module and outlives them.
    from densenet_classifier.network import count_classes, load_network  # noqa: PLC0415

    try:
        load_labels(inputs.labels, count_classes(load_network(inputs.weights.path)))
    except (WeightsError, LabelsError) as error:
        raise CommandError(str(error)) from error


def read_record(archive: Path) -> Record | None:
    """Return the record kept in an archive; None when there is none or it cannot be read."""
    try:
        with opened(archive) as file:
            record: Record = json.loads(file.read(ARCHIVE_FILE))
    # Also a `LayoutError`, which is a ValueError.
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        return None
    return record


def differences(old: Record, new: Record, prefix: str = "") -> list[str]:
    """Name what differs between two records, one line each: `weights.name: demo -> custom:...`."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_short(before)} -> {_short(after)}")
    return lines


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."

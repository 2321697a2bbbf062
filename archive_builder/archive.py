"""Build an archive with torch-model-archiver and make it reproducible.

The archiver works in a private temporary directory; what it packed is then written again with
sorted names, fixed times and the hash of every file, so that equal inputs give equal bytes. The
finished archive is renamed into the store: whoever looks sees the old one or the new one, never
half of one.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from archive_builder.checksums import CHECKSUMS_FILE, checksums_text
from archive_builder.command import CommandError
from archive_builder.contents import CONFIGURATION, ENTRY, MANIFEST
from archive_builder.files import replacing
from archive_builder.inputs import ArchiveInputs, check_inputs
from archive_builder.network_files import Quantizer, write_network_files
from densenet_classifier.classifier import ARCHIVE_FILE, LABELS_FILE
from densenet_classifier.engine import WEIGHTS_FILE

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can have
# Of models and versions: part of a file's name and of addresses.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ALL_VERSIONS = "all"  # what TorchServe's management API takes for a version that is called so


def build_archive(
    inputs: ArchiveInputs,
    store: Path,
    quantizer: Quantizer | None = None,
    *,
    take_over: bool = False,
) -> Path:
    """Build the archive of `inputs` in `store` and return its path.

    With a `quantizer` the archive also holds the int8 model that this makes of the network.
    `take_over` takes what was made of the same weights from the archive that is replaced.
    """
    _require_name("model name", inputs.model_name)
    _require_name("version", inputs.model_version)
    check_inputs(inputs)
    target = store / inputs.file_name
    with tempfile.TemporaryDirectory(prefix="build-archive-") as folder:
        stage, work = Path(folder, "stage"), Path(folder, "work")
        stage.mkdir()
        previous = target if take_over else None
        made = write_network_files(inputs, stage, previous, quantizer)
        _fill(stage, inputs)
        packed = _run_archiver(inputs, stage, work)
        with replacing(target) as partial:
            _repack(packed, partial)
            _check_names(partial, {*inputs.sources, ARCHIVE_FILE, LABELS_FILE, WEIGHTS_FILE, *made})
    return target


def write_archive(target: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name with their hashes: sorted, uncompressed, undated, of nobody.

    Weights do not compress, and what deflate gives depends on the zlib at hand.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    everything = {**contents, CHECKSUMS_FILE: checksums_text(hashes).encode()}
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(everything):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.create_system = 3  # Unix, wherever it is built
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, everything[name])


def _require_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name) or name == _ALL_VERSIONS:
        message = f"{what} {name!r}: letters, digits, '_', '-' and '.' only, and not 'all'"
        raise CommandError(message)


def _fill(stage: Path, inputs: ArchiveInputs) -> None:
    """Lay out the rest of the unpacked archive in `stage`."""
    for name, content in inputs.sources.items():
        target = stage / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    record = json.dumps(inputs.record(), indent=2) + "\n"
    (stage / ARCHIVE_FILE).write_text(record, encoding="utf-8")
    shutil.copyfile(inputs.labels, stage / LABELS_FILE)
    shutil.copyfile(inputs.weights.path, stage / WEIGHTS_FILE)


def _run_archiver(inputs: ArchiveInputs, stage: Path, work: Path) -> Path:
    export = work / "export"
    export.mkdir(parents=True)
    command = [
        str(Path(sys.executable).with_name("torch-model-archiver")),
        f"--model-name={inputs.model_name}",
        f"--version={inputs.model_version}",
        f"--handler={stage / ENTRY}",
        f"--serialized-file={stage / WEIGHTS_FILE}",
        f"--config-file={stage / CONFIGURATION}",
        f"--extra-files={stage}",
        f"--export-path={export}",
        "--archive-format=zip-store",
    ]
    # The archiver deletes and refills $TMPDIR/<model name>.
    environment = os.environ | {"TMPDIR": str(work)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        message = f"torch-model-archiver failed: {lines[-1]}"
        raise CommandError(message)
    return export / f"{inputs.model_name}.mar"


def _repack(packed: Path, target: Path) -> None:
    with zipfile.ZipFile(packed) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    if MANIFEST in contents:
        contents[MANIFEST] = _undated(contents[MANIFEST])
    write_archive(target, contents)


def _undated(manifest: bytes) -> bytes:
    fields = json.loads(manifest)
    fields.pop("createdOn", None)
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()


def _check_names(archive: Path, names: set[str]) -> None:
    expected = {*names, MANIFEST, CHECKSUMS_FILE}
    with zipfile.ZipFile(archive) as file:
        found = set(file.namelist())
    if found != expected:
        message = f"the archive's names are not as expected: {sorted(found ^ expected)}"
        raise CommandError(message)

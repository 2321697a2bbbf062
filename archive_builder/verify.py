"""Is an archive what it says it is? Every name, every hash, the records against each other.

`verify` reads an archive of any origin without unpacking it and reports what is wrong with it.
Nothing wrong means that nothing was damaged, exchanged, added or taken away since it was built,
unless by somebody who brought `SHA256SUMS` in line: there is no signature. Only a SHA-256 of the
whole archive that was kept elsewhere finds that.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_builder.checksums import CHECKSUMS_FILE, read_checksums
from archive_builder.contents import MANIFEST, Record, manifest_model
from archive_builder.zip_layout import MAX_BYTES, LayoutError, opened
from densenet_classifier.classifier import ARCHIVE_FILE, LABELS_FILE, NETWORK_FILE
from densenet_classifier.engine import INT8_MODEL_FILE, WEIGHTS_FILE
from densenet_classifier.weights import sha256_of

_MAX_RECORD_BYTES = 1 << 20  # of one of the files about the others; ours have some 5 KB
_BLOCK_BYTES = 1 << 20
_RECORDS = (ARCHIVE_FILE, NETWORK_FILE, MANIFEST)
_CODE = "densenet_classifier/__init__.py"
_CODE_VERSION = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """What an archive holds, and what is wrong with it: one line each, none when it is good.

    `sha256` is that of the whole file; `record` that of its inputs, and `files` how many files it
    holds, where that could be read. An archive from before `SHA256SUMS` is not `checkable`.
    """

    archive: Path
    sha256: str = ""
    files: int = 0
    int8: bool = False
    checkable: bool = False
    record: Record | None = None
    findings: tuple[str, ...] = ()


def verify(archive: Path, expected_sha256: str | None = None) -> Report:
    """Report on an archive; OSError when it cannot be read."""
    size = archive.stat().st_size
    sha256 = sha256_of(archive) if size <= MAX_BYTES else f"of {size} bytes not computed"
    findings = []
    if expected_sha256 is not None and sha256 != expected_sha256.lower():
        findings.append(f"its SHA-256 is {sha256}, not the expected {expected_sha256}")
    try:
        with opened(archive) as source:
            names = source.namelist()
            hashes, wrong = _hashes(source)
            record = None
            if hashes is not None and not wrong:
                record, wrong = _records(source, hashes)
    except LayoutError as error:
        return Report(archive, sha256, findings=(*findings, str(error)))
    return Report(
        archive=archive,
        sha256=sha256,
        files=len(names),
        int8=INT8_MODEL_FILE in names,
        checkable=CHECKSUMS_FILE in names,
        record=record,
        findings=(*findings, *wrong),
    )


def _hashes(source: zipfile.ZipFile) -> tuple[dict[str, str] | None, list[str]]:
    """Return what `SHA256SUMS` says, and where the other files are not as it says."""
    if CHECKSUMS_FILE not in source.namelist():
        return None, [f"it has no {CHECKSUMS_FILE}: build it anew with ./scripts/build-archive"]
    try:
        hashes = read_checksums(_text(source, CHECKSUMS_FILE))
    except (ValueError, zipfile.BadZipFile) as error:
        return None, [f"{CHECKSUMS_FILE} cannot be read: {error}"]
    names = set(source.namelist()) - {CHECKSUMS_FILE}
    wrong = [f"{name} is missing" for name in sorted(hashes.keys() - names)]
    wrong += [f"{name} is not listed in {CHECKSUMS_FILE}" for name in sorted(names - hashes.keys())]
    wrong += [
        f"{name} is not the file that was packed: its SHA-256 is another"
        for name in sorted(hashes.keys() & names)
        if _sha256(source, name) != hashes[name]
    ]
    return hashes, wrong


def _records(source: zipfile.ZipFile, hashes: dict[str, str]) -> tuple[Record | None, list[str]]:
    """Return `archive.json`, and where the archive's records contradict each other."""
    try:
        record, network, manifest = (json.loads(_text(source, name)) for name in _RECORDS)
        return record, list(_contradictions(record, network, manifest, hashes, source))
    # What JSON that somebody else wrote may lead to.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return None, [f"its records are not of the form that is written here ({error!r})"]


def _contradictions(
    record: Record,
    network: dict[str, Any],
    manifest: dict[str, Any],
    hashes: dict[str, str],
    source: zipfile.ZipFile,
) -> Iterator[str]:
    weights = record["weights"]["sha256"]
    recorded = {
        WEIGHTS_FILE: (ARCHIVE_FILE, weights),
        LABELS_FILE: (ARCHIVE_FILE, record["labels"]["sha256"]),
        **{name: (ARCHIVE_FILE, sha256) for name, sha256 in record["sources"].items()},
        **{name: (NETWORK_FILE, sha256) for name, sha256 in network["files"].items()},
    }
    for name, (origin, sha256) in sorted(recorded.items()):
        if hashes.get(name) != sha256:
            yield f"{name} is not the file that {origin} names"
    for name in sorted(hashes.keys() - recorded.keys() - set(_RECORDS)):
        yield f"{name} is in none of the archive's records"
    if network["weights"] != weights:
        yield f"{NETWORK_FILE} is of other weights than {ARCHIVE_FILE}"
    told = manifest["model"]
    for key, value in manifest_model(record).items():
        if told.get(key) != value:
            yield f"{MANIFEST} says {key} {told.get(key)!r}, {ARCHIVE_FILE} {value!r}"
    code = _CODE_VERSION.search(_text(source, _CODE))
    if code is None or code.group(1) != record["version"]:
        found = code.group(1) if code else "none"
        yield f"its code is of version {found}, {ARCHIVE_FILE} says {record['version']}"


def _text(source: zipfile.ZipFile, name: str) -> str:
    """Return a small file's content; ValueError when it is not small, KeyError when missing."""
    if source.getinfo(name).file_size > _MAX_RECORD_BYTES:
        message = f"{name} has more than {_MAX_RECORD_BYTES} bytes"
        raise ValueError(message)
    return source.read(name).decode()


def _sha256(source: zipfile.ZipFile, name: str) -> str | None:
    try:
        with source.open(name) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
            return digest.hexdigest()
    except zipfile.BadZipFile:  # its checksum of 32 bits is wrong already
        return None

"""The archives to serve: built where that is asked for, verified in any case.

An archive configured as NAME.mar is built anew when weights, labels or code are others than it
was built from; one configured as NAME=FILE.mar is served as it is. Neither is served, nor is
anything taken from it, when its files are not those that were packed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive_builder import MODEL_NAME
from archive_builder.command import CommandError, say
from archive_builder.contents import Record, has_int8
from archive_builder.inputs import ArchiveInputs, gather_inputs, read_record, unpacked_inputs
from archive_builder.verify import Report, verify
from archive_builder.weights_source import DEMO
from server_control.configuration import Configuration, ServedArchive

_VARIABLES = ("DENSENET121_WEIGHTS", "INDEX_TO_NAME")


@contextmanager
def inputs_of(
    configuration: Configuration, *, require_pretrained: bool
) -> Iterator[ArchiveInputs | None]:
    """Yield what the archive that may have to be built is built from; None when there is none.

    An archive of another name than ours is somebody's own model: unless its weights are named
    again they are taken from the archive itself.
    """
    for archive in configuration.archives:
        _refuse_changed(archive, require_pretrained=require_pretrained)
    built = [archive for archive in configuration.archives if archive.built]
    if not built:
        if ignored := [name for name in _VARIABLES if os.environ.get(name)]:
            say(f"The archives are served as they are; {', '.join(ignored)} changes nothing.")
        yield None
        return
    (archive,) = built
    if archive.model_name == MODEL_NAME or os.environ.get("DENSENET121_WEIGHTS"):
        yield gather_inputs(
            archive.model_name, configuration.model_store, require_pretrained=require_pretrained
        )
        return
    with unpacked_inputs(archive.path) as inputs:
        if require_pretrained:
            _require_pretrained(archive.path, inputs.weights.name)
        yield inputs


def prepare(configuration: Configuration, inputs: ArchiveInputs | None) -> None:
    """Build the archive of `inputs` if it is not there yet; `CommandError` if one is not good."""
    for archive in configuration.archives:
        if archive.built and inputs and read_record(archive.path) != inputs.record():
            # PyTorch is loaded for this alone: it holds half a gigabyte as long as we live.
            from archive_builder.archive import build_archive  # noqa: PLC0415

            say(f"Building {archive.path.name}")
            build_archive(inputs, configuration.model_store, take_over=True)
    served: dict[str, Path] = {}
    for archive in configuration.archives:
        record = _good(archive).record
        version = record["model_version"] if record else ""
        if version in served:
            message = (
                f"{served[version].name} and {archive.path.name} are both of version {version}; "
                "build one of them with ./scripts/build-archive --version"
            )
            raise CommandError(message)
        served[version] = archive.path


def asked_for(configuration: Configuration, inputs: ArchiveInputs | None) -> Record:
    """Return what the archive of the default version is, or will be once it is built.

    Those of other versions are below `versions`, by the names of their files.
    """
    default, *others = (
        {
            **(inputs.record() if archive.built and inputs else read_record(archive.path) or {}),
            "int8": has_int8(archive.path),
        }
        for archive in configuration.archives
    )
    if not others:
        return default
    names = [archive.path.name for archive in configuration.archives[1:]]
    return {**default, "versions": dict(zip(names, others, strict=True))}


def _refuse_changed(archive: ServedArchive, *, require_pretrained: bool) -> None:
    """Raise `CommandError` for an archive that is not to be used, not even to build it anew."""
    if not archive.built:
        record = _good(archive).record
        if require_pretrained and record:
            _require_pretrained(archive.path, record["weights"]["name"])
    # One from before the hashes, or half of one, is only old: it is built anew.
    elif archive.path.exists() and (report := verify(archive.path)).checkable:
        _require_good(report)


def _good(archive: ServedArchive) -> Report:
    try:
        report = verify(archive.path)
    except OSError as error:
        message = (
            f"{archive.path} cannot be read: {error.strerror}; copy it there, or build it with "
            f"./scripts/build-archive --model-name {archive.model_name} --version VERSION"
        )
        raise CommandError(message) from error
    _require_good(report)
    record = report.record
    if record and record["model_name"] != archive.model_name:
        message = (
            f"{archive.path} is of the model {record['model_name']}, and load_models says "
            f"{archive.model_name}"
        )
        raise CommandError(message)
    return report


def _require_good(report: Report) -> None:
    if report.findings:
        lines = "".join(f"\n  {finding}" for finding in report.findings)
        message = (
            f"{report.archive} is not as it was built; remove it, and build or copy it anew:{lines}"
        )
        raise CommandError(message)


def _require_pretrained(archive: Path, weights: str) -> None:
    if weights == DEMO:
        message = f"{archive.name} holds demo weights, and --require-pretrained was given"
        raise CommandError(message)

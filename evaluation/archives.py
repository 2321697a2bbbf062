"""An archive -> what evaluating needs of it; `CommandError` for one that cannot be used."""

import dataclasses
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from archive_builder.command import CommandError
from archive_builder.contents import CONFIGURATION
from archive_builder.inputs import read_record
from densenet_classifier.labels import Label, load_labels
from densenet_classifier.settings import Settings, SettingsError


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Yield a temporary folder with the files of the archive."""
    if read_record(archive) is None:
        message = (
            f"{archive} is missing, damaged or not one of ours; ./scripts/build-archive makes one"
        )
        raise CommandError(message)
    with tempfile.TemporaryDirectory(prefix="evaluate-") as folder:
        try:
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        except zipfile.BadZipFile as error:
            raise CommandError(f"{archive} is damaged: {error}") from error
        yield Path(folder)


def read_labels(path: Path) -> tuple[Label, ...]:
    """Return the labels of a file, however many they are."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return load_labels(path, len(rows) if isinstance(rows, dict) else 0)
    except (OSError, ValueError) as error:  # LabelsError is a ValueError
        raise CommandError(f"{path}: no file of labels: {error}") from error


def read_settings(folder: Path, **changes: str | None) -> Settings:
    """Return the settings of an unpacked archive, changed by those of `changes` that are not None.

    So a photograph that the service would refuse is refused here. Variables of the environment
    count as they do for the service; `changes` win over them.
    """
    try:
        text = (folder / CONFIGURATION).read_text(encoding="utf-8")
        section = yaml.safe_load(text).get("handler") or {}
        given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
        return dataclasses.replace(Settings.from_mapping(section), **given)
    except (OSError, AttributeError, yaml.YAMLError, SettingsError) as error:
        raise CommandError(f"the archive's {CONFIGURATION} cannot be used: {error}") from error

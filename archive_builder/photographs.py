"""Photographs of a folder as the network's input, with the class that their names tell.

For commands that measure or calibrate on photographs of the user's own. Files are decoded exactly
as the service decodes them, so that what is measured here holds there. ImageNet's two layouts tell
classes: `n02124075_Egyptian_cat.JPEG` and `n02124075/anything.JPEG`. What cannot be decoded is an
`Unreadable` among the results, never an exception: one broken file of a thousand stops nothing.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from archive_builder.command import CommandError, say
from densenet_classifier.errors import RequestError
from densenet_classifier.images import Pixels, decode
from densenet_classifier.settings import Settings

# A noun of WordNet 3.0 as ImageNet writes it, alone or followed by a separator.
_WORDNET_ID = re.compile(r"n\d{8}(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Photograph:
    """A decoded file: `pixels` are uint8 [224, 224, 3], RGB; `class_id` like n02124075, or None."""

    path: Path
    pixels: Pixels
    class_id: str | None


@dataclass(frozen=True)
class Unreadable:
    """A file that the service would refuse too, and why."""

    path: Path
    error: RequestError


def find_photographs(folder: Path) -> list[Path]:
    """Return all files under `folder`, sorted, less what hides behind a leading dot.

    The content of a file decides whether it is a photograph, not its name, so that is left to
    `read_photographs`. Links to folders are not followed: they may lead back. Raises
    `CommandError` when there is no such folder or no file in it.
    """
    if not folder.is_dir():
        message = f"{folder} is not a folder: name the folder that holds the photographs"
        raise CommandError(message)
    paths: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(parent, name) for name in names if not name.startswith("."))
        paths += [path for path in files if path.is_file()]
    if not paths:
        message = f"{folder} holds no files: put photographs into it, in sub-folders or not"
        raise CommandError(message)
    return sorted(paths)


def wordnet_id(path: Path) -> str | None:
    """Return the WordNet id that the file's name begins with, or else its folder's, or None."""
    for name in (path.name, path.parent.name):
        if found := _WORDNET_ID.match(name):
            return found.group()
    return None


def read_photographs(
    paths: Iterable[Path], settings: Settings, *, reduce: bool = True
) -> Iterator[Photograph | Unreadable]:
    """Decode one file after the other, in the order of `paths`; `reduce` as in `decode`."""
    for path in paths:
        with path.open("rb") as file:
            # One byte more than allowed is enough to be refused, also of a film.
            content = file.read(settings.max_image_bytes + 1)
        try:
            pixels = decode(content, settings, reduce=reduce)
        except RequestError as error:
            yield Unreadable(path, error)
        else:
            yield Photograph(path, pixels, wordnet_id(path))


def usable(results: Iterable[Photograph | Unreadable], paths: Sequence[Path]) -> list[Photograph]:
    """Return the photographs among `results` and tell the user, on stderr, what was skipped.

    `paths` are the files that were read. Raises `CommandError` when not one is a photograph.
    """
    photographs = []
    for result in results:
        if isinstance(result, Photograph):
            photographs.append(result)
        else:
            say(f"skipped {result.path}: {result.error}")
    if not photographs:
        message = f"none of the {len(paths)} files is a photograph that the service accepts"
        raise CommandError(message)
    return photographs

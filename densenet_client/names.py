"""Names of a command line -> what they lead to: files and URLs, each once, in order."""

import os
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import BinaryIO, NamedTuple

from densenet_client.images import is_url

# Of the formats that the server accepts; only folders are sifted by them, never what is named.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".avifs"),
    *(".gif", ".bmp", ".tif", ".tiff"),
}


class Source(NamedTuple):
    """A path or URL, or, with a `problem`, a name that leads to neither."""

    name: str
    problem: str | None = None


def sources(names: Iterable[str], listing: BinaryIO) -> list[Source]:
    """Return what files, folders, patterns and URLs lead to; `-` means the lines of `listing`.

    A folder stands for the images below it, sorted; hidden ones are left out.
    """
    found: dict[str, Source] = {}
    for name in _spelled_out(names, listing):
        for source in _sources(name):
            found.setdefault(_identity(source.name), source)
    return list(found.values())


def _spelled_out(names: Iterable[str], listing: BinaryIO) -> Iterator[str]:
    for name in names:
        if name == "-":
            lines = (os.fsdecode(line).rstrip("\r\n") for line in listing)
            yield from filter(None, lines)
        else:
            yield name


def _sources(name: str) -> list[Source]:
    # A name that exists is meant literally, even with the signs of a pattern in it. One that
    # does not gets its error from the attempt to read it.
    if not name or "\0" in name:
        return [Source(name, "no name of a file; names are given one a line")]
    if _is_folder(name):
        return _below(name) or [Source(name, "no image in this folder")]
    if is_url(name) or os.path.lexists(name) or not any(sign in name for sign in "*?["):
        return [Source(name)]
    found: list[Source] = []
    for match in sorted(glob(name, recursive=True)):  # noqa: PTH207 - absolute patterns too
        found += _below(match) if _is_folder(match) else [Source(match)]
    return found or [Source(name, "nothing matches")]


def _below(folder: str) -> list[Source]:
    images: list[str] = []
    closed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in files if not name.startswith(".")]
        images += [str(path) for path in paths if path.suffix.lower() in SUFFIXES]
    problems = [Source(error.filename, error.strerror) for error in closed]
    return [*map(Source, sorted(images)), *problems]


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises for a name that is too long


def _identity(name: str) -> str:
    return name if is_url(name) else os.path.abspath(name)  # noqa: PTH100 - it joins a/../b too

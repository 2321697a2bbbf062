"""The one layout of a zip file that an archive of ours has, so that every reader sees the same.

Python reads the directory at the end of a zip file, TorchServe's unpacker the header before each
entry: a file can show each of them something else. Ours holds its entries uncompressed, one after
the other from the first byte, then their directory, then the end record, and nothing besides.
Sizes are checked before they are believed: no reader unpacks more than the file is long.
"""

import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MAX_BYTES = 2 << 30  # of the whole: ours have 75 MB, with 100,000 classes about 1.3 GB
_MAX_DIRECTORY_BYTES = 1 << 20  # ours have 3 KB

# APPNOTE.TXT 4.3.16: signature, two numbers of disks, two of entries, directory's length and
# offset, length of a comment.
_END = struct.Struct("<4s4H2LH")
# APPNOTE.TXT 4.3.7: signature, version, flags, method, time, date, CRC-32, two sizes, lengths of
# the name and of the extra field, in which other readers find other names and sizes.
_HEADER = struct.Struct("<4s5H3L2H")
_ZIP64_LOCATOR_BYTES = 20  # APPNOTE.TXT 4.3.15
_UTF8 = 0x800  # the flag that says how the name is encoded


class LayoutError(ValueError):
    """The file is no zip file of this layout; the message says what is wrong."""


@contextmanager
def opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Yield the archive for reading when its layout is good; else `LayoutError`.

    No name occurs twice, leads out of the folder that it is unpacked to, or is a folder's.
    """
    with archive.open("rb") as file:
        directory = _directory_offset(file)
        try:
            source = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            message = f"its directory cannot be read ({error})"
            raise LayoutError(message) from error
        with source:
            _require_names(source.infolist())
            _require_entries(file, source.infolist(), directory)
            yield source


def _directory_offset(file: BinaryIO) -> int:
    """Return where the directory begins; it must reach to the end record, that to the end."""
    size = file.seek(0, 2)
    if size > MAX_BYTES:
        message = f"it has {size} bytes, and at most {MAX_BYTES} are read"
        raise LayoutError(message)
    file.seek(max(0, size - _ZIP64_LOCATOR_BYTES - _END.size))
    before, end = file.read(_ZIP64_LOCATOR_BYTES), file.read()
    if len(end) < _END.size or not end.startswith(b"PK\5\6"):
        raise LayoutError("it is no zip file, or its end is missing")
    _, disk, first_disk, _, _, length, offset, comment = _END.unpack(end)
    if length > _MAX_DIRECTORY_BYTES:
        message = f"its directory has {length} bytes, and at most {_MAX_DIRECTORY_BYTES} are read"
        raise LayoutError(message)
    # With a zip64 locator before it, Python believes that one instead of the end record.
    elsewhere = disk or first_disk or comment or before.startswith(b"PK\6\7")
    if offset + length + _END.size != size or elsewhere:
        raise LayoutError("it holds something besides its files and their directory")
    return int(offset)


def _require_names(entries: Sequence[zipfile.ZipInfo]) -> None:
    names = [entry.orig_filename for entry in entries]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        message = f"it holds {repeated[0]!r} more than once"
        raise LayoutError(message)
    for entry in entries:
        name = entry.orig_filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
            message = f"the name {name!r} does not stay in the folder that it is unpacked to"
            raise LayoutError(message)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if str(path) != name or kind not in {0, stat.S_IFREG}:
            message = f"{name!r} is no ordinary file"
            raise LayoutError(message)


def _require_entries(file: BinaryIO, entries: Sequence[zipfile.ZipInfo], directory: int) -> None:
    """Raise unless the entries lie one after the other and say of themselves what is listed."""
    position = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset != position:
            raise LayoutError(f"it holds something besides its files before {entry.filename!r}")
        stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & ~_UTF8
        if not stored or entry.compress_size != entry.file_size:
            raise LayoutError(f"{entry.filename!r} is compressed or encrypted")
        file.seek(position)
        header = file.read(_HEADER.size)
        name = entry.orig_filename.encode()
        if len(header) < _HEADER.size or file.read(len(name)) != name:
            raise LayoutError(f"the header of {entry.filename!r} names another file")
        signature, _, flags, method, _, _, *sizes, extra = _HEADER.unpack(header)
        listed = [entry.CRC, entry.file_size, entry.file_size, len(name)]
        if (signature, method, extra, sizes) != (b"PK\3\4", 0, 0, listed) or flags & ~_UTF8:
            raise LayoutError(f"the header of {entry.filename!r} says something else than listed")
        position += _HEADER.size + len(name) + entry.file_size
    if position != directory:
        raise LayoutError("it holds something besides its files before their directory")

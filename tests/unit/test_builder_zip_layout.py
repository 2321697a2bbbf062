"""Zip files that show different readers different things, and ones that are too much to read."""

import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from archive_builder import zip_layout
from archive_builder.archive import write_archive
from archive_builder.zip_layout import LayoutError, opened

END_BYTES = 22
LOCATOR_BYTES = 20


def names(path: Path) -> list[str]:
    with opened(path) as source:
        return source.namelist()


def refused(path: Path, words: str) -> None:
    with pytest.raises(LayoutError, match=words), opened(path):
        pass


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.mar"
    write_archive(path, {"a.py": b"pass\n", "p/b.py": b"pass # b\n", "empty.py": b""})
    return path


def written(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = 0) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a repeated name
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in entries:
                file.writestr(name, content, method)
    return path


def test_what_is_built_has_the_layout(good: Path) -> None:
    assert names(good) == ["SHA256SUMS", "a.py", "empty.py", "p/b.py"]


def test_names_may_be_of_any_language(tmp_path: Path) -> None:
    assert names(written(tmp_path / "m.mar", ("blätter.py", b""))) == ["blätter.py"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up.py", "a/../../up.py", "a\\..\\up.py", "C:\\up.py", "a\nb.py"]
)
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    refused(written(tmp_path / "m.mar", (name, b"")), "does not stay in the folder")


@pytest.mark.parametrize("name", ["folder/", "a//b.py", "./a.py", "a/./b.py"])
def test_a_name_that_is_no_files_is_refused(name: str, tmp_path: Path) -> None:
    refused(written(tmp_path / "m.mar", (name, b"")), "no ordinary file")


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(written(tmp_path / "m.mar", (link, b"/etc/passwd")), "no ordinary file")


def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    refused(written(tmp_path / "m.mar", ("a.py", b"1"), ("a.py", b"2")), "'a.py' more than once")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = written(tmp_path / "m.mar", ("a.py", bytes(1 << 20)), method=zipfile.ZIP_DEFLATED)
    refused(bomb, "'a.py' is compressed")


def test_a_large_file_is_not_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_layout, "MAX_BYTES", 100)
    refused(good, "bytes, and at most 100 are read")


def test_a_large_directory_is_not_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_layout, "_MAX_DIRECTORY_BYTES", 100)
    refused(good, "its directory has [0-9]+ bytes, and at most 100 are read")


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip file at all, but long enough for one"])
def test_what_is_no_zip_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.mar"
    path.write_bytes(content)
    refused(path, "no zip file")


def before_the_first(content: bytes) -> bytes:
    return b"#!/bin/sh\n" + content


def after_the_end(content: bytes) -> bytes:
    return content[:-2] + struct.pack("<H", 4) + b"note"


def half_a_comment(content: bytes) -> bytes:
    return content[:-1] + b"\1"


def another_disk(content: bytes) -> bytes:
    return content[: 4 - END_BYTES] + b"\1\0" + content[6 - END_BYTES :]


def before_the_directory(content: bytes) -> bytes:
    offset = struct.unpack("<L", content[-6:-2])[0]
    end = content[-END_BYTES:-6] + struct.pack("<LH", offset + 4, 0)
    return content[:offset] + b"more" + content[offset:-END_BYTES] + end


def hidden_from_the_directory(content: bytes) -> bytes:
    """Let the directory forget the last entry; TorchServe's unpacker still finds it."""
    directory, length = content.rindex(b"PK\1\2"), len(content) - END_BYTES
    disks = content[length : length + 8]
    _, size, offset, comment = struct.unpack("<HLLH", content[length + 10 :])
    left = struct.pack("<HHLLH", 3, 3, size - (length - directory), offset, comment)
    return content[:directory] + disks + left


def zip64_locator(content: bytes) -> bytes:
    end = content[-END_BYTES:]
    size, offset = struct.unpack("<LL", end[12:20])
    end = end[:12] + struct.pack("<LL", size + LOCATOR_BYTES, offset) + end[20:]
    return content[:-END_BYTES] + b"PK\6\7" + bytes(LOCATOR_BYTES - 4) + end


@pytest.mark.parametrize(
    "change",
    [
        before_the_first,
        after_the_end,
        half_a_comment,
        another_disk,
        before_the_directory,
        hidden_from_the_directory,
        zip64_locator,
    ],
)
def test_what_only_some_readers_see_is_refused(
    change: Callable[[bytes], bytes], good: Path
) -> None:
    good.write_bytes(change(good.read_bytes()))
    refused(good, "something besides its files|no zip file")


# Offsets in the header before the first entry (APPNOTE.TXT 4.3.7).
@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        pytest.param(0, b"PK\3\5", "something else than listed", id="signature"),
        pytest.param(6, b"\x08\x00", "something else than listed", id="sizes come later"),
        pytest.param(8, b"\x08\x00", "something else than listed", id="deflated"),
        pytest.param(14, b"\0\0\0\0", "something else than listed", id="CRC-32"),
        pytest.param(18, b"\1\0\0\0", "something else than listed", id="packed size"),
        pytest.param(22, b"\1\0\0\0", "something else than listed", id="size"),
        pytest.param(26, b"\1\0", "something else than listed", id="length of the name"),
        pytest.param(28, b"\1\0", "something else than listed", id="extra field"),
        pytest.param(30, b"sitecustom", "names another file", id="name"),
    ],
)
def test_a_header_that_tells_another_story_is_refused(
    offset: int, value: bytes, words: str, good: Path
) -> None:
    content = bytearray(good.read_bytes())
    content[offset : offset + len(value)] = value
    good.write_bytes(content)
    refused(good, words)


# Offsets in the directory's first entry (APPNOTE.TXT 4.3.12), which Python believes.
@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        pytest.param(8, b"\x01\x00", "compressed or encrypted", id="encrypted"),
        pytest.param(10, b"\x08\x00", "compressed or encrypted", id="deflated"),
        pytest.param(42, b"\1\0\0\0", "something besides its files", id="content elsewhere"),
    ],
)
def test_a_directory_that_tells_another_story_is_refused(
    offset: int, value: bytes, words: str, good: Path
) -> None:
    content = bytearray(good.read_bytes())
    start = content.index(b"PK\1\2") + offset
    content[start : start + len(value)] = value
    good.write_bytes(content)
    refused(good, words)


def test_no_damage_leads_to_anything_but_its_own_error(good: Path) -> None:
    content = good.read_bytes()
    lots = random.Random(1)  # noqa: S311 - the same damages each time
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(lots.randint(1, 3)):
            damaged[lots.randrange(len(damaged))] = lots.randrange(256)
        good.write_bytes(damaged[: lots.choice((len(damaged), lots.randrange(len(damaged))))])
        try:
            with opened(good) as source:
                assert len(source.namelist()) == 4
        except LayoutError:
            pass

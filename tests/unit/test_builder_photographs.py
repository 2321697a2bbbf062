from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive_builder.command import CommandError
from archive_builder.photographs import (
    Photograph,
    Unreadable,
    find_photographs,
    read_photographs,
    usable,
    wordnet_id,
)
from densenet_classifier.errors import ImageTooLargeError, UndecodableImageError
from densenet_classifier.images import center_crop
from densenet_classifier.settings import Settings

Encode = Callable[..., bytes]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("n02124075_Egyptian_cat.JPEG", "n02124075"),
        ("n02124075.jpg", "n02124075"),
        ("n02124075/ILSVRC2012_val_00000001.JPEG", "n02124075"),
        ("n02124075-Egyptian_cat/1.jpg", "n02124075"),
        ("n01440764/n02124075_1.JPEG", "n02124075"),
        ("n02124075/more/1.jpg", None),
        ("n021240750.jpg", None),
        ("n02124075a.jpg", None),
        ("n0212407.jpg", None),
        ("cat.jpg", None),
        ("my_n02124075.jpg", None),
    ],
)
def test_wordnet_id_of_file_or_folder(path: str, expected: str | None) -> None:
    assert wordnet_id(Path("photographs") / path) == expected


def test_files_are_found_in_sub_folders_in_one_order(tmp_path: Path) -> None:
    names = ["b.png", "a/z.webp", "a/y.txt", "c/d/e.jpg"]
    for name in [*names, ".hidden.jpg", ".cache/x.jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    assert find_photographs(tmp_path) == sorted(tmp_path / name for name in names)


def test_a_link_to_its_own_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "again").symlink_to(tmp_path)

    assert find_photographs(tmp_path) == [tmp_path / "a.jpg"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a folder"):
        find_photographs(tmp_path / "missing")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="holds no files"):
        find_photographs(tmp_path)


def test_photographs_are_read_as_the_service_reads_them(
    tmp_path: Path, pictures: list[Image.Image], encode: Encode
) -> None:
    path = tmp_path / "n02124075_cat.png"
    path.write_bytes(encode(pictures[0], "PNG"))

    (photograph,) = read_photographs([path], Settings())

    assert isinstance(photograph, Photograph)
    assert photograph.path == path
    assert photograph.class_id == "n02124075"
    np.testing.assert_array_equal(photograph.pixels, center_crop(pictures[0]))


def test_a_broken_file_stops_nothing(
    tmp_path: Path, pictures: list[Image.Image], encode: Encode
) -> None:
    contents = [encode(picture, "PNG") for picture in pictures[:3]]
    contents[1] = contents[1][:-30]
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)

    first, second, third = read_photographs(paths, Settings())

    assert isinstance(second, Unreadable)
    assert isinstance(second.error, UndecodableImageError)
    assert (first.path, second.path, third.path) == tuple(paths)


def test_of_a_large_file_no_more_is_read_than_it_takes_to_refuse_it(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: takes no room

    (result,) = read_photographs([path], Settings())

    assert isinstance(result, Unreadable)
    assert isinstance(result.error, ImageTooLargeError)


def test_usable_keeps_photographs_and_reports_the_rest(
    tmp_path: Path,
    pictures: list[Image.Image],
    encode: Encode,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.png").write_bytes(encode(pictures[0], "PNG"))
    (tmp_path / "notes.txt").write_text("not a photograph")
    paths = find_photographs(tmp_path)

    photographs = usable(read_photographs(paths, Settings()), paths)

    assert [photograph.path.name for photograph in photographs] == ["a.png"]
    written = capsys.readouterr()
    assert written.out == ""
    assert len(written.err.splitlines()) == 1
    assert f"skipped {tmp_path / 'notes.txt'}: " in written.err


def test_no_file_is_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a photograph")

    with pytest.raises(CommandError, match="none of the 1 files is a photograph"):
        usable(read_photographs([path], Settings()), [path])

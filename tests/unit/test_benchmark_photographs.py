"""What is sent: photographs spread over a folder, drawings, forms, and 12 megapixels."""

import email
from pathlib import Path

import pytest
from PIL import Image

from archive_builder.command import CommandError
from benchmarks.photographs import COUNT, FORM, choose, enlarge, multipart, prepare


def _jpeg(path: Path, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (40, 30)).save(path, "JPEG")
    return path


def test_photographs_are_spread_evenly_over_the_folder(tmp_path: Path) -> None:
    paths = [_jpeg(tmp_path / f"{at:03}.jpg") for at in range(COUNT * 3)]
    assert choose(tmp_path) == paths[::3]


def test_a_small_folder_gives_all_it_has_below_it(tmp_path: Path) -> None:
    paths = [_jpeg(tmp_path / "a" / "1.JPEG"), _jpeg(tmp_path / "b" / "2.jpg")]
    (tmp_path / "notes.txt").write_text("no photograph")
    assert choose(tmp_path) == paths


def test_grey_and_broken_files_are_left_out(tmp_path: Path) -> None:
    good = _jpeg(tmp_path / "good.jpg")
    _jpeg(tmp_path / "grey.jpg", "L")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    assert choose(tmp_path) == [good]


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_photographs_is_an_error(tmp_path: Path, folder: str) -> None:
    with pytest.raises(CommandError, match=r"folder|JPEG"):
        choose(tmp_path / folder)


def test_without_a_folder_drawings_of_photographic_size_are_sent_and_said_to_be(
    tmp_path: Path,
) -> None:
    made = prepare(None, tmp_path, large_count=1)
    assert "no photographs" in str(made.about["source"])
    assert len(made.raw.paths) == len(made.form.paths) == COUNT
    assert 50_000 < int(made.about["mean_bytes"]) < 200_000
    for path in made.raw.paths:
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 300_000 < image.width * image.height < 500_000


def test_a_form_holds_the_file_and_the_fields() -> None:
    body = multipart(b"\xff\xd8 bytes", "a.jpg", {"min_probability": "0"})
    message = email.message_from_bytes(f"Content-Type: {FORM}\r\n\r\n".encode() + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.walk()}
    assert parts["file"].get_payload(decode=True) == b"\xff\xd8 bytes"
    assert parts["min_probability"].get_payload(decode=True) == b"0"


def test_a_large_photograph_has_12_megapixels_and_some_megabytes(tmp_path: Path) -> None:
    large = enlarge(_jpeg(tmp_path / "small.jpg"), tmp_path / "large" / "large.jpg", 0)
    with Image.open(large) as image:
        assert (image.size, image.format) == ((4000, 3000), "JPEG")
    assert large.stat().st_size > 1_000_000

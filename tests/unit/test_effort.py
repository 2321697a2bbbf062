"""Images that are small and would keep a reader busy for seconds or minutes."""

import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from PIL import Image

from densenet_classifier import effort
from densenet_classifier.effort import MAX_SCANS, Source, Steps, foresee, weight
from densenet_classifier.errors import TooManyPixelsError, UndecodableImageError
from densenet_classifier.images import Allowance, Picture, decode
from densenet_classifier.settings import Settings
from reliability.fuzzing import amplified
from reliability.fuzzing.structures import png, png_chunk

SETTINGS = Settings()


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the steps that there are, so that a hundredth of the bytes do."""
    monkeypatch.setattr(effort, "MAX_STEPS", effort.MAX_STEPS // 100)


def jpeg(encode: Callable[..., bytes], segments: bytes, side: int = 16, scans: int = 1) -> bytes:
    content = encode(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    picture = content[2:start] + content[start:-2] * scans + content[-2:]
    return content[:2] + segments + picture


def segment(body: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    return marker + struct.pack(">H", 2 + len(body)) + body


def bmp(side: int, rows: bytes) -> bytes:
    """A BMP in run lengths."""
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 0, 0)
    start = 54 + 1024
    return b"BM" + struct.pack("<IHHI", start, 0, 0, start) + info + bytes(1024) + rows


def tiff(count: int, side: int = 16) -> bytes:
    """A TIFF that says that its rows lie in so many places."""
    tags = [(256, side), (257, count), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    entries.insert(5, struct.pack("<HHII", 273, 4, count, 8))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + 4 * count) + bytes(4 * count) + directory


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    "unit",
    [
        segment(b"Exif\0\0" + bytes(10)),
        segment(b"", b"\xff\xfe"),
        b"\xff",
    ],
    ids=["exif", "comments", "fill"],
)
def test_a_jpeg_of_very_many_segments_is_refused(unit: bytes, encode: Callable[..., bytes]) -> None:
    content = jpeg(encode, unit * (100_000 // len(unit)))
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(content, SETTINGS)


def test_a_jpeg_with_the_segments_that_there_are_is_accepted(encode: Callable[..., bytes]) -> None:
    content = jpeg(encode, segment(b"Exif\0\0" + bytes(60_000)) * 3 + segment(b"x" * 60_000) * 150)
    assert decode(content, SETTINGS).shape == (224, 224, 3)


def test_a_jpeg_of_many_large_exif_segments_is_refused_unopened(
    encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    content = jpeg(encode, segment(b"Exif\0\0" + bytes(1000)) * 30)
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(content, SETTINGS)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("kind", [b"aaAa", b"tEXt", b"gAMA"])
def test_a_png_of_very_many_chunks_is_refused(kind: bytes, encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("RGB", (8, 8)), "PNG")
    chunk = png_chunk(kind, b"a\0b\0")
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(content[:33] + chunk * 6000 + content[33:], SETTINGS)


def test_a_png_of_many_small_chunks_is_accepted(encode: Callable[..., bytes]) -> None:
    content = encode(Image.effect_noise((900, 900), 200).convert("RGB"), "PNG")
    start = content.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", content, start)
    pixels = content[start + 8 : start + 8 + length]
    pieces = [pixels[at : at + 256] for at in range(0, len(pixels), 256)]
    chunks = b"".join(png_chunk(b"IDAT", piece) for piece in pieces)
    assert decode(content[:start] + chunks + content[start + 12 + length :], SETTINGS).any()


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("unit", [b"!\xfe\0", b"\0"], ids=["comments", "nothing"])
def test_a_gif_of_very_many_blocks_is_refused(unit: bytes, encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("L", (8, 8)), "GIF")
    at = content.index(b",")
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(content[:at] + unit * (100_000 // len(unit)) + content[at:], SETTINGS)


@pytest.mark.usefixtures("few_steps")
def test_a_bmp_of_very_many_runs_is_refused() -> None:
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(bmp(1500, b"\0\2\0\0" * 25_000), SETTINGS)


def test_a_bmp_in_run_lengths_counts_for_more_pixels() -> None:
    rows = b"\1\1\0\0" * 1581
    assert decode(bmp(1580, rows), SETTINGS).shape == (224, 224, 3)
    with pytest.raises(TooManyPixelsError, match=r"40 times.* left\. Send a smaller one"):
        decode(bmp(1582, rows), SETTINGS)


@pytest.mark.parametrize(
    ("name", "mode", "times"),
    [("JPEG", "RGB", 1), ("PNG", "RGBA", 2), ("PNG", "I;16", 2), ("WEBP", "RGB", 2)],
)
def test_pixels_count_by_what_their_format_takes(
    name: str, mode: str, times: int, encode: Callable[..., bytes]
) -> None:
    content = encode(Image.new(mode, (30, 20)), name)
    Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=600 * times)))
    with pytest.raises(TooManyPixelsError):
        Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=600 * times - 1)))


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4)], ids=["RGB", "RGBA"])
def test_a_coloured_png_of_16_bits_a_sample_counts_twice_as_much(
    colour: int, channels: int
) -> None:
    pixels = zlib.compress(bytes((1 + 30 * 2 * channels) * 20))
    content = png(30, 20, (b"IDAT", pixels), (b"IEND", b""), depth=16, colour=colour)
    Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=2400))).pixels()
    with pytest.raises(TooManyPixelsError, match="count 4 times"):
        Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=2399)))


def test_an_avif_counts_by_its_bytes_where_they_are_many(encode: Callable[..., bytes]) -> None:
    plain = encode(Image.new("RGB", (300, 200)), "AVIF")
    noise = encode(Image.effect_noise((300, 200), 100).convert("RGB"), "AVIF", quality=100)
    assert len(plain) < 60_000 * 2 / 6 < len(noise)
    for content, least in ((plain, 120_000), (noise, 6 * len(noise))):
        Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=least + 60_000)))
        with pytest.raises(TooManyPixelsError):
            Picture.open(content, SETTINGS, Allowance(Settings(max_request_pixels=least - 1)))


def test_a_request_may_have_one_of_the_largest_pictures_of_any_format() -> None:
    allowance = Allowance(SETTINGS)
    allowance.take(SETTINGS.max_image_pixels, 2)
    with pytest.raises(TooManyPixelsError, match="Send it in another request"):
        allowance.take(1)


def test_several_of_them_share_the_pixels_of_a_request() -> None:
    allowance = Allowance(SETTINGS)
    content = bmp(1000, b"\1\1\0\0" * 1001)
    for _ in range(2):
        Picture.open(content, SETTINGS, allowance)
    with pytest.raises(TooManyPixelsError, match="1000000 pixels, which count 40 times, and"):
        Picture.open(content, SETTINGS, allowance)


@pytest.mark.parametrize("count", [101_000, 2_000_000])
def test_a_tiff_of_very_many_strips_is_refused_unopened(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(tiff(count), SETTINGS)


def test_a_tiff_with_a_strip_a_row_is_accepted() -> None:
    assert decode(tiff(10_000), SETTINGS).shape == (224, 224, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_strips_of_a_bigtiff_are_counted(order: str) -> None:
    head = b"II+\0" if order == "<" else b"MM\0+"
    entry = struct.pack(order + "HHQQ", 273, 16, 5_000_000, 0)
    body = head + struct.pack(order + "HHQQ", 8, 0, 16, 1) + entry
    with pytest.raises(UndecodableImageError):
        foresee(body, "TIFF", Steps())


def test_a_tiff_whose_directory_lies_at_43_is_no_bigtiff() -> None:
    entry = struct.pack("<HHII", 273, 4, 5_000_000, 0)
    body = b"II*\0" + struct.pack("<I", 43) + bytes(35) + struct.pack("<H", 1) + entry
    with pytest.raises(UndecodableImageError):
        foresee(body, "TIFF", Steps())


def little(at: int, entries: int, rest: bytes) -> bytes:
    """A TIFF, little-endian, that says where its directory is and how long."""
    return b"II*\0" + struct.pack("<I", at) + struct.pack("<H", entries) + rest


def little_big(at: int, entries: int, rest: bytes) -> bytes:
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, at, entries) + rest


STRIPS = struct.pack("<HHII", 273, 4, 5_000_000, 0)
BIG_STRIPS = struct.pack("<HHQQ", 273, 16, 5_000_000, 0)


@pytest.mark.parametrize(
    "content",
    [
        little(8, 40_000, bytes(12 * 39_999) + STRIPS),
        little(8, 3, STRIPS + bytes(5)),
        little(8, 1, struct.pack("<HHII", 273, 4, 2**32 - 16, 0)),
        little_big(16, 2**64 - 1, BIG_STRIPS + bytes(5)),
        little_big(16, 1, struct.pack("<HHQQ", 273, 16, 2**64 - 16, 0)),
    ],
    ids=["many tags", "fewer than said", "very many", "BigTIFF's fewer", "BigTIFF's very many"],
)
def test_the_strips_are_counted_whatever_the_directory_says(content: bytes) -> None:
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        foresee(content, "TIFF", Steps())


def test_a_directory_behind_the_end_has_no_strips() -> None:
    # As a signed number it would be 26 bytes before the end.
    foresee(little(2**32 - 26, 1, STRIPS + bytes(12)), "TIFF", Steps())
    # And 38.
    foresee(little_big(2**64 - 38, 1, BIG_STRIPS + bytes(10)), "TIFF", Steps())


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0+" + b"\xff" * 40])
def test_what_is_wrong_with_a_tiff_is_left_to_pillow(content: bytes) -> None:
    foresee(content, "TIFF", Steps())


def test_a_tiff_of_very_many_tags_is_refused() -> None:
    content = amplified.many_tiff_tags(random.Random(1))  # noqa: S311
    with pytest.raises(UndecodableImageError, match="too many pieces"):
        decode(content, SETTINGS)


def test_exif_that_no_camera_writes_is_not_read(encode: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    picture = encode(Image.linear_gradient("L").convert("RGB"), "PNG")
    as_stored = decode(picture, SETTINGS).tolist()

    def with_exif(more: int) -> bytes:
        chunk = png_chunk(b"eXIf", block + bytes(more))
        return picture[:33] + chunk + picture[33:]

    assert decode(with_exif(60_000), SETTINGS).tolist() != as_stored
    assert decode(with_exif(70_000), SETTINGS).tolist() == as_stored

    def with_text(more: int) -> bytes:
        """As ImageMagick writes it."""
        text = b"\nexif\n 1\n" + (block + bytes(more)).hex().encode()
        chunk = png_chunk(b"tEXt", b"Raw profile type exif\0" + text)
        return picture[:33] + chunk + picture[33:]

    assert decode(with_text(60_000), SETTINGS).tolist() != as_stored
    assert decode(with_text(70_000), SETTINGS).tolist() == as_stored


class TestScans:
    def test_of_a_picture_weigh_from_twenty_on(self, encode: Callable[..., bytes]) -> None:
        usual = jpeg(encode, b"")
        own = usual.count(b"\xff\xda")
        for scans, times in [(own, 1), (20, 1), (21, 2), (40, 2), (41, 3), (MAX_SCANS, 25)]:
            content = jpeg(encode, b"", scans=1 + scans - own)
            with Image.open(Source(content, "JPEG", Steps())) as image:
                assert weight(content, image) == times

    @pytest.mark.parametrize("alone", [b"\xff\x01", b"\xff\xd8"], ids=["TEM", "SOI"])
    def test_behind_a_marker_that_stands_alone_count_too(
        self, alone: bytes, encode: Callable[..., bytes]
    ) -> None:
        content = jpeg(encode, b"", scans=60)
        first = content.index(b"\xff\xda")
        with Image.open(Source(content, "JPEG", Steps())) as image:
            times = weight(content, image)
            assert weight(content[:first] + alone + content[first:], image) == times > 3

    def test_of_a_large_picture_are_few(self, encode: Callable[..., bytes]) -> None:
        with pytest.raises(TooManyPixelsError, match="count 25 times"):
            decode(jpeg(encode, b"", side=2100, scans=485), SETTINGS)

    def test_in_metadata_and_behind_the_picture_do_not_count(
        self, encode: Callable[..., bytes]
    ) -> None:
        marks = b"\xff\xda" * 5000
        content = jpeg(encode, segment(marks)) + marks
        with Image.open(Source(content, "JPEG", Steps())) as image:
            assert weight(content, image) == 1

    def test_of_which_no_encoder_writes_so_many_are_refused(
        self, encode: Callable[..., bytes]
    ) -> None:
        own = jpeg(encode, b"").count(b"\xff\xda")
        with pytest.raises(UndecodableImageError, match=f"more than {MAX_SCANS} scans"):
            decode(jpeg(encode, b"", scans=1 + MAX_SCANS + 1 - own), SETTINGS)

    def test_of_a_jpeg_within_a_tiff_weigh_too(self, encode: Callable[..., bytes]) -> None:
        content = encode(Image.new("L", (64, 64)), "TIFF", compression="jpeg")
        with Image.open(Source(content, "TIFF", Steps())) as image:
            assert weight(content, image) == 2
            assert weight(content + b"\xff\xda" * 60, image) == 4


def test_the_images_of_a_request_share_their_steps(
    encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "MAX_STEPS", 300)
    allowance = Allowance(SETTINGS)
    content = encode(Image.new("RGB", (8, 8)), "PNG")
    opened = 0
    with suppress(UndecodableImageError):
        for _ in range(100):
            Picture.open(content, SETTINGS, allowance)
            opened += 1
    assert 2 < opened < 50


def test_steps_may_be_taken_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "MAX_STEPS", 3)
    steps = Steps()
    steps.take(3)
    with pytest.raises(UndecodableImageError, match=r"^The image, or those .* Save it anew"):
        steps.take(1)


@pytest.mark.parametrize("segments", [0, 1, 2, 3])
def test_each_exif_segment_but_the_first_has_its_steps(
    segments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = segment(b"Exif\0\0") * segments
    needed = max(0, segments - 1) * 100_000
    monkeypatch.setattr(effort, "MAX_STEPS", needed)
    foresee(exif, "JPEG", Steps())
    monkeypatch.setattr(effort, "MAX_STEPS", needed - 1)
    with pytest.raises(UndecodableImageError):
        foresee(exif, "JPEG", Steps())

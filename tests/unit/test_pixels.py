import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image

from densenet_classifier.errors import UndecodableImageError
from densenet_classifier.images import decode
from densenet_classifier.pixels import eight_bit, on_white, upright
from densenet_classifier.settings import Settings

SETTINGS = Settings()
Array = npt.NDArray[np.uint8]
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
SIXTEEN_BIT = np.array([[0, 1, 128, 129, 257, 1000], [32767, 32768, 40000, 65000, 65534, 65535]])

# EXIF 2.32, tag 0x0112: what is seen -> what is stored.
STORED: dict[int, Callable[[Array], Array]] = {
    1: lambda seen: seen,
    2: lambda seen: seen[:, ::-1],
    3: lambda seen: seen[::-1, ::-1],
    4: lambda seen: seen[::-1],
    5: lambda seen: seen.swapaxes(0, 1),
    6: np.rot90,
    7: lambda seen: seen[::-1, ::-1].swapaxes(0, 1),
    8: lambda seen: np.rot90(seen, -1),
}
LOSSLESS: dict[str, dict[str, object]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}
LOSSY: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}


def rgb(content: bytes) -> Array:
    with Image.open(BytesIO(content)) as image:
        narrow = eight_bit(upright(image))
        assert narrow.mode in {"L", "LA", "RGB", "RGBA"}  # what can be resized
        result = on_white(narrow)
    assert result.mode == "RGB"
    return np.asarray(result)


def seen() -> Array:
    """Four quadrants, each of another colour: every turn and mirroring shows."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:] = RED, GREEN
    picture[24:, :32], picture[24:, 32:] = BLUE, YELLOW
    return picture


def exif(orientation: object) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_every_orientation_is_turned_upright(
    name: str, orientation: int, encode: Callable[..., bytes]
) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](seen())))
    options = (LOSSLESS | LOSSY)[name]
    shown = rgb(encode(stored, name, exif=exif(orientation), **options))
    assert shown.shape == (48, 64, 3)
    assert np.abs(shown.astype(int) - seen()).max() <= (8 if name in LOSSY else 0)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_decode_turns_before_it_cuts(name: str, encode: Callable[..., bytes]) -> None:
    options = (LOSSLESS | LOSSY)[name]
    as_seen = encode(Image.fromarray(seen()), name, **options)
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](seen())))
    turned = encode(stored, name, exif=exif(6), **options)
    difference = decode(turned, SETTINGS).astype(int) - decode(as_seen, SETTINGS)
    assert np.abs(difference).max() <= 8


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_ignored(orientation: int, encode: Callable[..., bytes]) -> None:
    content = encode(Image.fromarray(seen()), "PNG", exif=exif(orientation))
    assert np.array_equal(rgb(content), seen())


def test_an_orientation_that_is_a_text_is_ignored(encode: Callable[..., bytes]) -> None:
    entry = struct.pack("<HHI4s", ExifTags.Base.Orientation, 2, 4, b"abc\0")
    block = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
    content = encode(Image.fromarray(seen()), "PNG", exif=block)
    assert np.array_equal(rgb(content), seen())


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x09",
    ],
    ids=["empty", "garbage", "offset beyond the end", "entries beyond the end"],
)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_ignored(name: str, block: bytes, encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("RGB", (64, 48), (40, 80, 120)), name, exif=block)
    assert np.abs(rgb(content).astype(int) - (40, 80, 120)).max() <= 8


def test_whatever_reading_exif_raises_is_ignored(
    encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise SyntaxError

    content = encode(Image.fromarray(seen()), "PNG", exif=exif(3))
    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert np.array_equal(rgb(content), seen())


def test_greyscale_has_three_equal_channels(encode: Callable[..., bytes]) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(rgb(encode(Image.fromarray(ramp), "PNG")), np.stack([ramp] * 3, axis=-1))


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF"])
def test_one_bit_is_black_and_white(name: str, encode: Callable[..., bytes]) -> None:
    board = np.indices((16, 16)).sum(axis=0) % 2 * 255
    image = Image.fromarray(board.astype(np.uint8)).convert("1")
    assert np.array_equal(rgb(encode(image, name))[..., 1], board)


@pytest.mark.parametrize("name", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_is_looked_up(name: str, encode: Callable[..., bytes]) -> None:
    image = Image.fromarray(seen()).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert np.array_equal(rgb(encode(image, name)), seen())


@pytest.mark.parametrize("name", ["PNG", "GIF"])
def test_the_transparent_entry_of_a_palette_is_white(
    name: str, encode: Callable[..., bytes]
) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *BLUE])
    image.paste(0, (0, 0, 4, 8))
    shown = rgb(encode(image, name, transparency=1))
    assert shown[0, 0].tolist() == [255, 0, 0]
    assert shown[0, 7].tolist() == [255, 255, 255]


def test_a_palette_with_an_alpha_for_each_entry_is_mixed(encode: Callable[..., bytes]) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*RED, *BLUE])
    image.paste(0, (0, 0, 4, 8))
    shown = rgb(encode(image, "PNG", transparency=b"\xff\x80"))
    assert shown[0, 0].tolist() == [255, 0, 0]
    assert np.abs(shown[0, 7].astype(int) - (127, 127, 255)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 90), ("RGB", (90, 80, 70)), ("1", 0)], ids=["L", "RGB", "1"]
)
def test_the_transparent_colour_of_a_png_is_white(
    mode: str, colour: int | tuple[int, ...], encode: Callable[..., bytes]
) -> None:
    content = encode(Image.new(mode, (8, 8), colour), "PNG", transparency=colour)
    assert rgb(content).min() == 255


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("alpha", "mixed"),
    [(0, (255, 255, 255)), (128, (237, 187, 147)), (255, (220, 120, 40))],
    ids=["transparent", "half", "opaque"],
)
def test_rgba_is_laid_on_white(
    name: str, alpha: int, mixed: tuple[int, int, int], encode: Callable[..., bytes]
) -> None:
    content = encode(Image.new("RGBA", (32, 32), (220, 120, 40, alpha)), name)
    assert np.abs(rgb(content).astype(int) - mixed).max() <= 6


@pytest.mark.parametrize(
    ("alpha", "grey"), [(0, 255), (128, 177), (255, 100)], ids=["transparent", "half", "opaque"]
)
def test_grey_with_alpha_is_laid_on_white(
    alpha: int, grey: int, encode: Callable[..., bytes]
) -> None:
    content = encode(Image.new("LA", (8, 8), (100, alpha)), "PNG")
    assert np.abs(rgb(content).astype(int) - grey).max() <= 1


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("ink", "shown"),
    [((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))],
    ids=["cyan", "paper", "black"],
)
def test_cmyk_is_converted(
    name: str,
    ink: tuple[int, int, int, int],
    shown: tuple[int, int, int],
    encode: Callable[..., bytes],
) -> None:
    content = encode(Image.new("CMYK", (32, 32), ink), name)
    assert np.abs(rgb(content).astype(int) - shown).max() <= 2


@pytest.mark.parametrize(
    ("name", "byte_order"),
    [("PNG", "<"), ("TIFF", "<"), ("TIFF", ">")],
    ids=["PNG", "TIFF little endian", "TIFF big endian"],
)
def test_sixteen_bits_are_scaled(name: str, byte_order: str, encode: Callable[..., bytes]) -> None:
    shown = rgb(encode(Image.fromarray(SIXTEEN_BIT.astype(f"{byte_order}u2")), name))
    assert np.abs(shown[..., 0] - np.round(SIXTEEN_BIT / 257)).max() <= 1
    assert np.array_equal(shown[..., 0], shown[..., 2])


@pytest.mark.parametrize("kind", ["<u2", "<f4"])
def test_wide_samples_become_narrow_ones(kind: str) -> None:
    samples = np.array([[0, 128, 129, 65535]]).astype(kind)
    narrow = eight_bit(Image.fromarray(samples))
    assert narrow.mode == "L"  # a picture of 50 megapixels in floats would take 200 MB
    assert np.asarray(narrow).tolist() == [[0, 0, 1, 255]]


def test_the_ends_of_sixteen_bits_are_black_and_white(encode: Callable[..., bytes]) -> None:
    samples = np.array([[0, 65535]], np.uint16)
    assert rgb(encode(Image.fromarray(samples), "PNG"))[0].tolist() == [[0] * 3, [255] * 3]


def test_the_transparent_value_of_sixteen_bits_is_white(encode: Callable[..., bytes]) -> None:
    samples = np.array([[1000, 1001]], np.uint16)
    shown = rgb(encode(Image.fromarray(samples), "PNG", transparency=1000))
    assert shown[0].tolist() == [[255] * 3, [4] * 3]


@pytest.mark.parametrize("kind", ["<i4", "<f4"], ids=["integer", "float"])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-500, 1500), (70_000, 9_000_000)], ids=["unit", "signed", "large"]
)
def test_thirty_two_bits_are_stretched(
    kind: str, low: int, high: int, encode: Callable[..., bytes]
) -> None:
    samples = np.array([[low, high], [high, low]]).astype(kind)
    shown = rgb(encode(Image.fromarray(samples), "TIFF"))
    assert shown[..., 0].tolist() == [[0, 255], [255, 0]]


def test_the_middle_of_a_stretched_picture_is_grey(encode: Callable[..., bytes]) -> None:
    samples = np.array([[-3.0, 0.0, 3.0]], np.float32)
    assert rgb(encode(Image.fromarray(samples), "TIFF"))[0, 1].tolist() in ([127] * 3, [128] * 3)


@pytest.mark.parametrize("kind", ["<i4", "<f4"], ids=["integer", "float"])
def test_a_constant_picture_has_nothing_to_stretch(kind: str, encode: Callable[..., bytes]) -> None:
    samples = np.full((8, 8), 7).astype(kind)
    assert rgb(encode(Image.fromarray(samples), "TIFF")).max() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_samples_that_are_no_numbers_cannot_be_decoded(
    value: float, encode: Callable[..., bytes]
) -> None:
    samples = np.zeros((8, 8), np.float32)
    samples[5, 5] = value
    # As in production, where NumPy's warnings about such numbers are not errors.
    with np.errstate(all="ignore"), pytest.raises(UndecodableImageError):
        decode(encode(Image.fromarray(samples), "TIFF"), SETTINGS)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_counts(name: str, encode: Callable[..., bytes]) -> None:
    first, second = (Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE))
    options = {"lossless": True} if name == "WEBP" else {}
    content = encode(first, name, save_all=True, append_images=[second], **options)
    with Image.open(BytesIO(content)) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert np.abs(decode(content, SETTINGS).astype(int) - RED).max() <= 3


def test_a_jpeg_with_a_second_picture_is_decoded(encode: Callable[..., bytes]) -> None:
    # Cameras append a preview or a depth map (MPO).
    first, second = (Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE))
    content = encode(first, "MPO", save_all=True, append_images=[second])
    assert np.abs(decode(content, SETTINGS).astype(int) - RED).max() <= 3


def test_an_rgb_picture_is_not_touched() -> None:
    image = Image.fromarray(seen())
    assert on_white(eight_bit(image)) is image

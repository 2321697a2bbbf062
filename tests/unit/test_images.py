import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision import transforms

from archive_builder import HANDLER
from densenet_classifier.errors import (
    ImageTooLargeError,
    NoImageError,
    RequestError,
    TooManyPixelsError,
    UndecodableImageError,
)
from densenet_classifier.formats import FORMATS
from densenet_classifier.images import LEAST_REDUCED, Pixels, center_crop, decode
from densenet_classifier.settings import Settings
from reliability.fuzzing.structures import png

SETTINGS = Settings()

SIZES = [
    (224, 224),
    (255, 255),
    (256, 256),
    (254, 257),
    (255, 400),
    (300, 200),
    (200, 300),
    (333, 517),
    (1001, 333),
    (640, 480),
    (1999, 1501),
    (64, 48),
    (7, 5),
    (2, 3),
    (1, 1),
    (600, 1),
    (1, 300),
]


def smooth(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(6 * x / width), np.cos(5 * y / height), np.sin(4 * (x / width + y / height))]
    return Image.fromarray((127.5 + 127 * np.stack(waves, axis=-1)).astype(np.uint8))


def noisy(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng([width, height])
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def tutorial(image: Image.Image) -> Pixels:
    """What the PyTorch tutorial does up to its ToTensor."""
    steps = [transforms.Resize(255), transforms.CenterCrop(224), transforms.PILToTensor()]
    pixels: Pixels = transforms.Compose(steps)(image).permute(1, 2, 0).numpy()
    return pixels


def distance(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def png_header(width: int, height: int) -> bytes:
    """A sound header of an RGB picture; what should follow the first bytes of pixels is missing."""
    return png(width, height, (b"IDAT", zlib.compress(bytes(100))))


def gif_header(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
    frame = struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + b"," + frame + b"\x02\x02\x4c\x01\x00;"


def bmp_header(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def jpeg_header(width: int, height: int) -> bytes:
    components = b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    frame = b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + components
    return b"\xff\xd8" + frame + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"


HEADERS = {"PNG": png_header, "GIF": gif_header, "BMP": bmp_header, "JPEG": jpeg_header}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("as_type", [bytes, bytearray])
def test_every_format_becomes_pixels_of_the_networks_input(
    name: str, as_type: type[bytes | bytearray], encode: Callable[..., bytes]
) -> None:
    pixels = decode(as_type(encode(smooth(320, 240), name)), SETTINGS)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_the_same_picture(name: str, encode: Callable[..., bytes]) -> None:
    image = smooth(320, 240)
    difference = decode(encode(image, name), SETTINGS).astype(int) - center_crop(image)
    # GIF has 256 colours; no format is off by more than a shade on the average.
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("texture", [smooth, noisy])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_geometry_is_that_of_the_tutorial(
    size: tuple[int, int],
    texture: Callable[[int, int], Image.Image],
    name: str,
    encode: Callable[..., bytes],
) -> None:
    content = encode(texture(*size), name)
    # A decoder that reduces averages noise finer than the network's input in its own way.
    reduced = name == "JPEG" and min(size) >= 2 * LEAST_REDUCED
    with Image.open(BytesIO(content)) as image:
        most = 10 if reduced and texture is noisy else 2
        assert distance(decode(content, SETTINGS), tutorial(image)) <= most


def test_the_geometry_of_an_extreme_ratio_is_that_of_the_tutorial() -> None:
    image = noisy(1, 2000)
    assert distance(center_crop(image), tutorial(image)) <= 2


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000)], ids=["line", "column"])
def test_an_extreme_ratio_needs_no_extreme_memory(size: tuple[int, int]) -> None:
    assert center_crop(noisy(*size)).shape == (224, 224, 3)


def test_channels_are_in_the_order_red_green_blue(encode: Callable[..., bytes]) -> None:
    pixels = decode(encode(Image.new("RGB", (8, 8), (10, 20, 30)), "PNG"), SETTINGS)
    assert pixels.reshape(-1, 3).tolist() == [[10, 20, 30]] * (224 * 224)


@pytest.mark.parametrize("content", [b"", bytearray()], ids=["bytes", "bytearray"])
def test_an_empty_image_is_no_image(content: bytes | bytearray) -> None:
    with pytest.raises(NoImageError, match="0 bytes"):
        decode(content, SETTINGS)


def test_exactly_the_largest_number_of_bytes_is_accepted(encode: Callable[..., bytes]) -> None:
    content = encode(smooth(8, 8), "PNG")
    assert decode(content, Settings(max_image_bytes=len(content))).shape == (224, 224, 3)


def test_one_byte_more_is_refused_with_both_numbers(encode: Callable[..., bytes]) -> None:
    content = encode(smooth(8, 8), "PNG")
    with pytest.raises(ImageTooLargeError) as caught:
        decode(content, Settings(max_image_bytes=len(content) - 1))
    assert str(caught.value) == (
        f"The image has {len(content)} bytes; at most {len(content) - 1} are accepted."
    )


def test_the_number_of_bytes_is_judged_before_the_format() -> None:
    with pytest.raises(ImageTooLargeError):
        decode(b"no image at all", Settings(max_image_bytes=5))


def test_exactly_the_largest_number_of_pixels_is_accepted(encode: Callable[..., bytes]) -> None:
    content = encode(smooth(20, 30), "PNG")
    assert decode(content, Settings(max_image_pixels=600)).shape == (224, 224, 3)


def test_one_pixel_more_is_refused_with_all_numbers(encode: Callable[..., bytes]) -> None:
    content = encode(smooth(20, 30), "PNG")
    with pytest.raises(TooManyPixelsError) as caught:
        decode(content, Settings(max_image_pixels=599))
    assert str(caught.value) == "The image has 20 x 30 = 600 pixels; at most 599 are accepted."


@pytest.mark.parametrize("name", FORMATS)
def test_too_many_pixels_are_refused_before_decoding(
    name: str, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        message = "decoded"
        raise AssertionError(message)

    content = encode(smooth(20, 30), name)
    # WebP, AVIF and GIF have a `load` of their own, which ends in that of their base.
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(TooManyPixelsError):
        decode(content, Settings(max_image_pixels=599))


@pytest.mark.parametrize("name", HEADERS)
def test_a_huge_header_without_its_pixels_counts_as_too_many_pixels(name: str) -> None:
    with pytest.raises(TooManyPixelsError, match=r"10000 x 8000 = 80000000 pixels.*50000000"):
        decode(HEADERS[name](10_000, 8000), SETTINGS)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_pillow_warns_about_counts_as_too_many_pixels(name: str) -> None:
    with pytest.raises(TooManyPixelsError, match="12000 x 10000 = 120000000 pixels"):
        decode(HEADERS[name](12_000, 10_000), SETTINGS)


@pytest.mark.parametrize("name", HEADERS)
def test_what_pillows_own_guard_refuses_counts_as_too_many_pixels(name: str) -> None:
    with pytest.raises(TooManyPixelsError, match="more than 50000000 pixels"):
        decode(HEADERS[name](20_000, 20_000), SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.9, 0.5, 0.1], ids="{:.0%}".format)
def test_a_truncated_image_cannot_be_decoded(
    name: str, part: float, encode: Callable[..., bytes]
) -> None:
    content = encode(noisy(80, 60), name)
    with pytest.raises(UndecodableImageError, match=f"The {name} image cannot be decoded"):
        decode(content[: int(len(content) * part)], SETTINGS)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_a_truncated_compressed_tiff_cannot_be_decoded(
    compression: str, encode: Callable[..., bytes]
) -> None:
    content = encode(noisy(80, 60), "TIFF", compression=compression)
    with pytest.raises(UndecodableImageError):
        decode(content[: len(content) // 2], SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_bare_signature_cannot_be_decoded(name: str, encode: Callable[..., bytes]) -> None:
    with pytest.raises(UndecodableImageError):
        decode(encode(smooth(8, 8), name)[:32], SETTINGS)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)], ids=["width", "height", "both"])
def test_a_header_of_zero_size_cannot_be_decoded(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(UndecodableImageError):
        decode(HEADERS[name](*size), SETTINGS)


@pytest.mark.parametrize("size", [(0, 7), (7, 0)], ids=["width", "height"])
def test_a_size_of_zero_that_pillow_lets_through_is_refused_with_numbers(
    size: tuple[int, int], encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pillow refuses it in the header of each format, as the test above shows; nothing says so.
    def empty(*_: object, **__: object) -> Image.Image:
        return Image.new("RGB", size)

    content = encode(smooth(8, 8), "PNG")
    monkeypatch.setattr(Image, "open", empty)
    with pytest.raises(UndecodableImageError, match=f"header says {size[0]} x {size[1]}"):
        decode(content, SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_random_bytes_behind_a_signature_raise_only_request_errors(
    name: str, encode: Callable[..., bytes]
) -> None:
    generator = np.random.default_rng(7)
    signature = encode(smooth(8, 8), name)[:12]
    for _ in range(60):
        content = signature + generator.bytes(int(generator.integers(0, 300)))
        with pytest.raises(RequestError):
            decode(content, SETTINGS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_image_gives_pixels_or_a_request_error(
    name: str, encode: Callable[..., bytes]
) -> None:
    generator = np.random.default_rng(11)
    genuine = np.frombuffer(encode(noisy(40, 30), name), np.uint8)
    refused = 0
    for _ in range(60):
        content = genuine.copy()
        places = generator.integers(12, len(content), 5)
        content[places] = generator.integers(0, 256, 5)
        try:
            assert decode(content.tobytes(), SETTINGS).shape == (224, 224, 3)
        except RequestError:
            refused += 1
    assert refused or name in {"BMP", "TIFF"}  # pixels as they are have no wrong value


# Memory.

SIDE = 7000  # 49 million pixels, just within the default limit
# Of the whole process: the decoded picture and at most one more of its size.
MOST_BYTES_A_PIXEL = 13

MEASURE = """
import re, sys
from pathlib import Path
from densenet_classifier.images import decode
from densenet_classifier.settings import Settings

def peak_bytes():
    # Not ru_maxrss: a new process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024

content = Path(sys.argv[1]).read_bytes()
before = peak_bytes()
decode(content, Settings())
print(peak_bytes() - before)
"""


@pytest.mark.parametrize(
    ("mode", "name"), [("RGB", "JPEG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("F", "TIFF")]
)
def test_the_memory_of_a_picture_is_bounded(mode: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    options = {"compression": "tiff_lzw"} if name == "TIFF" else {}
    Image.new(mode, (SIDE, SIDE)).save(path, name, **options)
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)],
        env={"PYTHONPATH": str(HANDLER)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(result.stdout) < SIDE * SIDE * MOST_BYTES_A_PIXEL


def test_a_server_without_memory_does_not_blame_the_image(
    encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise MemoryError

    content = encode(Image.new("RGB", (10, 10)), "PNG")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(MemoryError):
        decode(content, SETTINGS)


def test_an_image_by_itself_has_the_pixels_of_a_request(encode: Callable[..., bytes]) -> None:
    content = encode(smooth(20, 30), "PNG")
    with pytest.raises(TooManyPixelsError, match="may have 599 together"):
        decode(content, Settings(max_request_pixels=599))


@pytest.mark.parametrize(("scans", "refused"), [(400, False), (600, True)])
def test_a_jpeg_of_very_many_scans_is_refused_undecoded(
    scans: int, encode: Callable[..., bytes], *, refused: bool
) -> None:
    content = encode(Image.new("L", (64, 64)), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    content = content[:start] + content[start:-2] * scans + content[-2:]
    if refused:
        with pytest.raises(UndecodableImageError, match="scans"):
            decode(content, Settings())
    else:
        assert decode(content, Settings()).shape == (224, 224, 3)

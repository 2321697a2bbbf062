"""Large JPEGs are decoded at a fraction of their size; what the network sees stays the same."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from archive_builder import SAMPLES
from densenet_classifier import images
from densenet_classifier.errors import UndecodableImageError
from densenet_classifier.images import Pixels, decode
from densenet_classifier.settings import Settings

Encode = Callable[..., bytes]

SETTINGS = Settings()


def photograph(width: int, height: int) -> Image.Image:
    """A drawing of the project, larger: it has edges and areas, but none finer than a lens has."""
    with Image.open(SAMPLES / "umbrella.png") as sample:
        return sample.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def exactly(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Pixels:
    with monkeypatch.context() as patch:
        patch.setattr(images, "_REDUCTIONS", ())
        return decode(content, SETTINGS)


@pytest.fixture
def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the sizes to which JPEGs are decoded in this test."""
    sizes: list[tuple[int, int]] = []
    genuine = JpegImagePlugin.JpegImageFile.load

    def load(self: JpegImagePlugin.JpegImageFile) -> object:
        sizes.append(self.size)
        return genuine(self)

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", load)
    return sizes


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((1019, 1500), (1019, 1500)),  # half of the shorter side would be 509
        ((1020, 1500), (510, 750)),
        ((2039, 2500), (1020, 1250)),
        ((2040, 2500), (510, 625)),
        ((4000, 3000), (1000, 750)),
        ((4081, 4080), (511, 510)),
        ((5000, 640), (5000, 640)),
    ],
)
def test_the_shorter_side_keeps_twice_what_the_network_sees(
    size: tuple[int, int],
    decoded: tuple[int, int],
    encode: Encode,
    decoded_sizes: list[tuple[int, int]],
) -> None:
    decode(encode(Image.new("RGB", size), "JPEG"), SETTINGS)
    assert decoded_sizes[0] == decoded


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("size", [(2048, 1536), (2053, 1539), (1539, 4005)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_the_pixels_are_those_of_full_decoding(
    options: dict[str, object],
    size: tuple[int, int],
    orientation: int | None,
    encode: Encode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exif = Image.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    content = encode(photograph(*size), "JPEG", quality=90, exif=exif, **options)
    reduced = decode(content, SETTINGS).astype(int)
    difference = np.abs(reduced - exactly(content, monkeypatch))
    # A crop that is off by a pixel, or turned otherwise, differs by several times as much.
    assert difference.mean() < 1.0
    assert np.percentile(difference, 99) <= 16


@pytest.mark.parametrize("full", [4000, 4001, 4002, 4003])
def test_what_is_kept_is_measured_at_the_full_size(full: int) -> None:
    """A reduced side is rounded up; counted from that, the crop would lie up to a pixel off."""
    reduced = -(-full // 4)
    kept = [4 * each for each in images._span(340, full, reduced)]
    assert kept == pytest.approx(images._span(340, full, full), rel=1e-12)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_are_reduced_too(
    mode: str, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(photograph(2048, 1536).convert(mode), "JPEG", quality=90)
    difference = np.abs(decode(content, SETTINGS).astype(int) - exactly(content, monkeypatch))
    assert difference.mean() < 1.0


def test_other_formats_are_decoded_whole(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(photograph(2048, 1536), "PNG")
    assert np.array_equal(decode(content, SETTINGS), exactly(content, monkeypatch))


def test_a_truncated_jpeg_is_refused_at_every_size(encode: Encode) -> None:
    content = encode(photograph(2048, 1536), "JPEG")
    with pytest.raises(UndecodableImageError):
        decode(content[: len(content) // 2], SETTINGS)

"""The files that the cases are made of: of every format that Pillow saves, and of those it reads.

Those of the project's samples, of formats that are accepted in all their modes and compressions,
and of all formats that are not: their files have to be refused whatever is in them.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from archive_builder import SAMPLES
from reliability.fuzzing.handmade import handmade

# By Pillow's names; written out, so that a format is not accepted by mistake.
ACCEPTED = frozenset({"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"})
# MPO is a JPEG with other JPEGs behind it, APNG a PNG: the first picture is shown.
_ALSO_ACCEPTED = {"MPO": "JPEG"}
_MOST_BYTES = 300_000  # of a photograph: a hundred thousand cases are to be done in minutes
_MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "I;16",
    "I",
    "F",
)

_VARIANTS: dict[str, list[dict[str, Any]]] = {
    "JPEG": [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"optimize": True}],
    "PNG": [{}, {"compress_level": 0}, {"bits": 4}],
    "WEBP": [{}, {"lossless": True}, {"exact": True, "quality": 20}],
    "AVIF": [{"speed": 10}, {"speed": 10, "subsampling": "4:0:0"}],
    "GIF": [{}, {"interlace": 0, "transparency": 0}],
    "TIFF": [
        {"compression": each}
        for each in (
            None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd", "group3",
            "group4",
        )
    ] + [{"big_tiff": True}, {"compression": "tiff_lzw", "strip_size": 512}],
}  # fmt: skip


# libtiff says on stderr what it cannot write.
_ONLY_IN = {"group3": ("1",), "group4": ("1",), "jpeg": ("L", "RGB", "CMYK")}


@dataclass(frozen=True)
class Seed:
    """A file; `format` is Pillow's name of its format, or what else it is."""

    name: str
    format: str
    content: bytes

    @property
    def accepted(self) -> bool:
        """Whether the service is to accept its format."""
        return self.format in ACCEPTED


@cache
def gather(assets: Path | None = None) -> tuple[Seed, ...]:
    """Return all seeds in a fixed order, with those of a folder of `TEST_ASSETS` where given."""
    files = sorted(SAMPLES.glob("*.png"))
    if assets is not None:
        files += sorted(path for path in (assets / "images").rglob("*") if _is_wanted(path))
    seeds = [Seed(path.name, _format_of(path), path.read_bytes()) for path in files]
    seeds += _saved()
    return (*seeds, *(Seed(name, name, content) for name, content in handmade().items()))


def _is_wanted(path: Path) -> bool:
    small = path.is_file() and path.stat().st_size <= _MOST_BYTES
    # A thousand labelled photographs have nothing that these do not have.
    return small and path.parent.name in ("awkward", "photos")


def _format_of(path: Path) -> str:
    """Return the format by the file's name: what the service thinks is to be judged by it."""
    name = Image.registered_extensions().get(path.suffix.lower(), path.suffix)
    return _ALSO_ACCEPTED.get(name, name)


def _saved() -> Iterator[Seed]:
    """Yield small files of every format, mode and variant that this Pillow can write."""
    Image.init()
    for format_ in sorted(Image.SAVE):
        for mode in _MODES:
            for number, options in enumerate(_VARIANTS.get(format_, [{}])):
                content = _save(format_, mode, options)
                if content:
                    name = f"{format_}-{mode.replace(';', '')}-{number}"
                    yield Seed(name, _ALSO_ACCEPTED.get(format_, format_), content)
    yield from _animations()


def _animations() -> Iterator[Seed]:
    frames = [_picture("RGB").rotate(angle) for angle in (0, 90, 180)]
    for format_ in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
        buffer = BytesIO()
        frames[0].save(buffer, format_, save_all=True, append_images=frames[1:])
        name = _ALSO_ACCEPTED.get(format_, format_)
        yield Seed(f"{format_}-animated", name, buffer.getvalue())


def _save(format_: str, mode: str, options: dict[str, Any]) -> bytes:
    """Return the file, empty where the format does not have it."""
    if mode not in _ONLY_IN.get(options.get("compression", ""), _MODES):
        return b""
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _picture(mode).save(buffer, format_, **options)
        # Each plugin refuses what it cannot write with an error of its own.
        except Exception:  # noqa: BLE001
            return b""
    return buffer.getvalue()


@cache
def _picture(mode: str) -> Image.Image:
    image = Image.linear_gradient("L").resize((48, 40))
    coloured = Image.merge(
        "RGB",
        (
            image,
            image.rotate(90).resize((48, 40)),
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        ),
    )
    if mode.startswith("I;16"):
        return image.convert("I").point(lambda sample: sample * 257).convert(mode)
    if mode in ("LAB", "PA"):
        return Image.new(mode, (48, 40))
    return coloured.convert(mode)

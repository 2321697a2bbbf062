"""What is sent: photographs of a folder, or drawn ones where there is no folder.

`prepare` writes into a folder of its own what wrk posts: each photograph as it is, the same as a
multipart form, and enlarged to 12 megapixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from archive_builder import SAMPLES
from archive_builder.command import CommandError

COUNT = 32
# A megapixel photograph costs 30 times a small one: fewer suffice, and wrk holds all in memory.
LARGE_COUNT = 8
LARGE_SIZE = (4000, 3000)  # pixels: 12 megapixels, what phones and cameras of today give
_LARGE_QUALITY = 85
_LARGE_NOISE = 8.0  # of 255, standard deviation: makes files of a few MB, as sensors do
_DRAWN_SIZE = (693, 520)  # pixels: 0.36 megapixels, the size of ImageNet's photographs
_DRAWN_NOISE = 6.0
_DRAWN_QUALITY = 88  # about 100 KB with that noise
_BOUNDARY = "benchmark-boundary-7f3a"
FORM = f"multipart/form-data; boundary={_BOUNDARY}"
_JPEG = "image/jpeg"
_SUFFIXES = {".jpg", ".jpeg"}


@dataclass(frozen=True)
class Bodies:
    """Files that are whole bodies of requests, and their content type."""

    content_type: str
    paths: tuple[Path, ...]

    def contents(self) -> list[bytes]:
        """Return the bodies themselves."""
        return [path.read_bytes() for path in self.paths]


@dataclass(frozen=True)
class Photographs:
    """`raw` and `form` are the same photographs; `large` are some of them, enlarged.

    `about` is what a reader of the results must know about them.
    """

    about: Mapping[str, str | int]
    raw: Bodies
    form: Bodies
    large: Bodies


def prepare(source: Path | None, target: Path, large_count: int = LARGE_COUNT) -> Photographs:
    """Write the bodies below `target`, from JPEGs of the folder `source` or from drawings."""
    if source is None:
        originals = _draw(target / "drawn")
        name = "drawings of samples/, enlarged to photographic size: no photographs"
    else:
        originals = choose(source)
        name = f"{len(originals)} JPEG photographs of the folder {source.name}"
    forms = [
        _write(target / "form" / path.name, multipart(path.read_bytes(), path.name))
        for path in originals
    ]
    stride = max(1, len(originals) // large_count)
    large = [
        enlarge(path, target / "large" / f"{path.stem}.jpg", seed)
        for seed, path in enumerate(originals[::stride][:large_count])
    ]
    about: dict[str, str | int] = {
        "source": name,
        "count": len(originals),
        "mean_bytes": _mean_size(originals),
        "large_count": len(large),
        "large_mean_bytes": _mean_size(large),
    }
    return Photographs(
        about,
        Bodies(_JPEG, tuple(originals)),
        Bodies(FORM, tuple(forms)),
        Bodies(_JPEG, tuple(large)),
    )


def choose(folder: Path) -> list[Path]:
    """Return `COUNT` JPEGs spread evenly over the sorted files below `folder`, or all if fewer.

    Grey ones are left out: TorchServe's image_classifier cannot take them.
    """
    if not folder.is_dir():
        message = f"{folder} is not a folder: name the folder that holds the photographs"
        raise CommandError(message)
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    coloured = [path for path in found if _mode(path) == "RGB"]
    if not coloured:
        message = f"{folder} holds no coloured JPEG files (.jpg, .jpeg)"
        raise CommandError(message)
    count = min(COUNT, len(coloured))
    return [coloured[at * len(coloured) // count] for at in range(count)]


def multipart(content: bytes, name: str, fields: Mapping[str, str] | None = None) -> bytes:
    """Return a form with the file in its field `file`, as browsers and `curl -F` send it."""
    values = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in (fields or {}).items()
    )
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {_JPEG}\r\n\r\n"
    )
    return (values + head).encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def enlarge(path: Path, target: Path, seed: int) -> Path:
    """Write the photograph as a 12-megapixel JPEG to `target` and return that."""
    with Image.open(path) as image:
        picture = image.convert("RGB").resize(LARGE_SIZE, Image.Resampling.LANCZOS)
    return _save(picture, target, _LARGE_NOISE, _LARGE_QUALITY, np.random.default_rng(seed))


def _draw(folder: Path) -> list[Path]:
    """Write `COUNT` JPEGs made of the project's own pictures, each a little different."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.png"))]
    generator = np.random.default_rng(0)
    drawn = []
    for at in range(COUNT):
        picture = pictures[at % len(pictures)]
        # In the middle of a wide sheet, so that the square crop shows the whole picture.
        sheet = Image.new("RGB", _DRAWN_SIZE, picture.getpixel((0, 0)))
        side = int(_DRAWN_SIZE[1] * generator.uniform(0.95, 1.05))
        corner = ((_DRAWN_SIZE[0] - side) // 2, (_DRAWN_SIZE[1] - side) // 2)
        sheet.paste(picture.resize((side, side), Image.Resampling.LANCZOS), corner)
        target = folder / f"{at:02}.jpg"
        drawn.append(_save(sheet, target, _DRAWN_NOISE, _DRAWN_QUALITY, generator))
    return drawn


def _save(
    picture: Image.Image, target: Path, noise: float, quality: int, generator: np.random.Generator
) -> Path:
    """Write the picture with some grey noise as a baseline JPEG."""
    pixels = np.asarray(picture, dtype=np.float32)
    grain = generator.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * noise
    noisy = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
    target.parent.mkdir(parents=True, exist_ok=True)
    noisy.save(target, "JPEG", quality=quality)
    return target


def _write(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


def _mode(path: Path) -> str:
    """Return Pillow's mode of the file, empty when it is no picture."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.mode
    except OSError:
        return ""


def _mean_size(paths: Sequence[Path]) -> int:
    return round(sum(path.stat().st_size for path in paths) / len(paths))

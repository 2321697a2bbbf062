"""Any picture that Pillow has opened in, the same picture upright and with 8 bits a sample out.

Every Pillow mode is given a meaning here: 16-bit samples are scaled, not clipped; 32-bit and
floating-point samples, which have no agreed white, are stretched from their own least to their
own greatest; transparency is laid on white. A mode that Pillow cannot convert raises ValueError.

A picture may have 50 million pixels, so nothing here holds a second one in wider samples: what
can wait until the picture is small (`on_white`) waits.
"""

import numpy as np
from PIL import ExifTags, Image

WHITE = 255
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_UNSCALED_MODES = ("I", "F")

# What a JPEG's segment holds, several of which count as steps (`effort.py`). Pillow takes
# microseconds for each tag, and a larger block has room for many.
_MAX_EXIF_BYTES = 65_536
_JPEG = ("JPEG", "MPO")
_PNG_TEXT = "Raw profile type exif"  # as ImageMagick writes it, in hexadecimal digits

# EXIF 2.32, tag 0x0112: how the stored rows and columns are turned to be seen upright.
_AS_STORED = 1
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


def upright(image: Image.Image) -> Image.Image:
    """Return the image with its EXIF orientation applied."""
    # After loading: PNG keeps its EXIF block behind the pixels.
    image.load()
    transpose = _TRANSPOSE.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def lies_on_its_side(image: Image.Image) -> bool:
    """Tell whether `upright` exchanges width and height."""
    image.load()
    return _orientation(image) in _ON_ITS_SIDE


def eight_bit(image: Image.Image) -> Image.Image:
    """Return the image in mode L, LA, RGB or RGBA, which can be resized without loss."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _from_sixteen_bit(image)
    if image.mode in _UNSCALED_MODES:
        return _stretched(image)
    if image.has_transparency_data:
        return image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """Return an image of `eight_bit` in mode RGB, what is transparent laid on white."""
    if image.mode == "LA":
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        canvas = Image.new("RGB", image.size, (WHITE, WHITE, WHITE))
        canvas.paste(image, mask=image)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    # Pillow parses EXIF lazily and raises what a damaged block drives it to. A picture with
    # damaged EXIF is still a picture: every viewer shows it as stored.
    if len(image.info.get("exif") or b"") > _MAX_EXIF_BYTES and image.format not in _JPEG:
        return _AS_STORED
    if len(image.info.get(_PNG_TEXT) or "") > 2 * _MAX_EXIF_BYTES:
        return _AS_STORED
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001
        return _AS_STORED
    return orientation if isinstance(orientation, int) else _AS_STORED


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    grey = np.empty(samples.shape, np.uint8)
    for row, line in enumerate(samples):
        # 65535 / 257 = 255: full scale onto full scale, rounded.
        grey[row] = (line.astype(np.uint32) + 128) // 257
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = WHITE
    return Image.fromarray(grey)


def _stretched(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite(low) or not np.isfinite(high):
        message = "samples that are not finite numbers"
        raise ValueError(message)
    scale = WHITE / (high - low) if high > low else 0.0
    grey = np.empty(samples.shape, np.uint8)
    for row, line in enumerate(samples):
        grey[row] = np.rint((line.astype(np.float64) - low) * scale)
    return Image.fromarray(grey)

"""Encoded image in, pixels of the network's input out: uint8 [224, 224, 3], RGB, 0-255.

`decode` raises a `RequestError` for everything that can be wrong with the bytes. The geometry
is that of the PyTorch tutorial, Resize(255) and CenterCrop(224) with bilinear antialiasing;
normalization belongs to the network (`network.py`).
"""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from densenet_classifier.errors import (
    ImageTooLargeError,
    NoImageError,
    RequestError,
    TooManyPixelsError,
    UndecodableImageError,
)
from densenet_classifier.formats import identify
from densenet_classifier.pixels import eight_bit, on_white, upright
from densenet_classifier.settings import Settings

Pixels = npt.NDArray[np.uint8]

RESIZE = 255  # shorter side in pixels, as in the tutorial; torchvision's own recipe has 256
# Each scan of a progressive JPEG is decoded over the whole picture: 250 kB with 25 000 of them
# take a minute. Encoders write ten or so. The mark of a scan cannot stand in compressed data
# (ITU-T T.81, B.1.1.5), but by chance in metadata, some 150 times in 10 MiB.
MAX_SCANS = 500
_START_OF_SCAN = b"\xff\xda"
CROP = 224  # side of the network's input in pixels


class Allowance:
    """The pixels that the images of one request may still have."""

    def __init__(self, settings: Settings) -> None:
        self._limit = self._left = settings.max_request_pixels

    def take(self, pixels: int) -> None:
        """Count one image; raise `TooManyPixelsError` when it is more than what is left."""
        if pixels > self._left:
            message = (
                f"The image has {pixels} pixels, and the request's images may have {self._limit} "
                f"together, of which {self._left} are left. Send it in another request."
            )
            raise TooManyPixelsError(message)
        self._left -= pixels


def decode(
    content: bytes | bytearray, settings: Settings, allowance: Allowance | None = None
) -> Pixels:
    """Decode one encoded image into uint8 [224, 224, 3], RGB, 0-255.

    The first frame of an animation counts, EXIF orientation is applied, transparency is laid
    on white. `allowance` is that of the request, by default of this image alone. Raises
    `NoImageError`, `ImageTooLargeError`, `UnsupportedImageError`, `TooManyPixelsError` or
    `UndecodableImageError`.
    """
    if not content:
        message = "The image is empty (0 bytes)."
        raise NoImageError(message)
    if len(content) > settings.max_image_bytes:
        message = (
            f"The image has {len(content)} bytes; at most {settings.max_image_bytes} are accepted."
        )
        raise ImageTooLargeError(message)
    name = identify(content)
    if name == "JPEG" and content.count(_START_OF_SCAN) > MAX_SCANS:
        message = f"The JPEG image has more than {MAX_SCANS} scans."
        raise UndecodableImageError(message)
    try:
        with Image.open(BytesIO(content), formats=[name]) as image:
            _check_size(image.size, settings.max_image_pixels)
            (allowance or Allowance(settings)).take(image.width * image.height)
            return center_crop(eight_bit(upright(image)))
    # A server without memory is not the client's fault.
    except (RequestError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        message = f"The image has more than {settings.max_image_pixels} pixels."
        raise TooManyPixelsError(message) from error
    # Pillow's decoders raise whatever a damaged file drives them to: OSError, SyntaxError,
    # ValueError, KeyError, struct.error ... There is no common base.
    except Exception as error:
        message = f"The {name} image cannot be decoded: it is truncated or corrupt."
        raise UndecodableImageError(message) from error


def center_crop(image: Image.Image) -> Pixels:
    """Resize the shorter side to 255 and cut the central 224 x 224, in a single pass.

    `image` is L, LA, RGB or RGBA of any size. Resampling only the part that is kept gives the
    pixels of Resize followed by CenterCrop within 2 of 255, and a picture of 1 x 10000 pixels
    does not become one of 255 x 2550000 on the way. The integers are those of torchvision
    (`_compute_resized_output_size` and `center_crop`): leaving out their rounding moves the
    crop by up to a pixel.
    """
    short = min(image.size)
    resized = [int(RESIZE * side / short) for side in image.size]
    offsets = [round((side - CROP) / 2.0) for side in resized]
    scales = [side / new for side, new in zip(image.size, resized, strict=True)]
    left, top = (offset * scale for offset, scale in zip(offsets, scales, strict=True))
    right, bottom = ((offset + CROP) * scale for offset, scale in zip(offsets, scales, strict=True))
    box = (left, top, right, bottom)
    return np.asarray(on_white(image.resize((CROP, CROP), Image.Resampling.BILINEAR, box=box)))


def _check_size(size: tuple[int, int], max_image_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        message = f"The image has no pixels: its header says {width} x {height}."
        raise UndecodableImageError(message)
    if width * height > max_image_pixels:
        message = (
            f"The image has {width} x {height} = {width * height} pixels; "
            f"at most {max_image_pixels} are accepted."
        )
        raise TooManyPixelsError(message)

"""Encoded image in, pixels of the network's input out: uint8 [224, 224, 3], RGB, 0-255.

`Picture` raises a `RequestError` for everything that can be wrong with the bytes. The geometry
is that of the PyTorch tutorial, Resize(255) and CenterCrop(224) with bilinear antialiasing;
normalization belongs to the network (`network.py`).
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from densenet_classifier.effort import Source, Steps, foresee, weight
from densenet_classifier.errors import (
    ImageTooLargeError,
    NoImageError,
    RequestError,
    TooManyPixelsError,
    UndecodableImageError,
)
from densenet_classifier.formats import identify
from densenet_classifier.pixels import eight_bit, lies_on_its_side, on_white, upright
from densenet_classifier.settings import Settings

Pixels = npt.NDArray[np.uint8]

RESIZE = 255  # shorter side in pixels, as in the tutorial; torchvision's own recipe has 256
CROP = 224  # side of the network's input in pixels
# libjpeg decodes at 1/2, 1/4 or 1/8 of the size for a fraction of the time. Twice the pixels that
# the network sees keep 199 of 200 answers (12-megapixel photographs, docs/PERFORMANCE.md).
LEAST_REDUCED = 2 * RESIZE  # pixels of the shorter side
_REDUCTIONS = (2, 4, 8)


class Allowance:
    """The pixels that the images of one request may still have, and their `steps`."""

    def __init__(self, settings: Settings) -> None:
        self._limit = self._left = settings.max_request_pixels
        self.steps = Steps()

    def take(self, pixels: int, times: int = 1) -> None:
        """Count one image; raise `TooManyPixelsError` when it is more than what is left.

        Its pixels count several `times` where they take so much longer than those of a JPEG.
        """
        if pixels * times > self._left:
            counted = "" if times == 1 else f", which count {times} times"
            fits = pixels * times <= self._limit  # as the only one
            advice = "Send it in another request." if fits else "Send a smaller one, or a JPEG."
            message = (
                f"The image has {pixels} pixels{counted}, and the request's images may have "
                f"{self._limit} together, of which {self._left} are left. {advice}"
            )
            raise TooManyPixelsError(message)
        self._left -= pixels * times


@dataclass(frozen=True)
class Picture:
    """An encoded image whose header has been judged: its format and its size in pixels."""

    name: str
    image: Image.Image
    size: tuple[int, int]
    settings: Settings

    @classmethod
    def open(
        cls, content: bytes | bytearray, settings: Settings, allowance: Allowance
    ) -> "Picture":
        """Judge an image by its bytes, signature and header, without decoding it.

        Raises `NoImageError`, `ImageTooLargeError`, `UnsupportedImageError`,
        `TooManyPixelsError` or `UndecodableImageError`.
        """
        _check_bytes(content, settings.max_image_bytes)
        name = identify(content)
        foresee(content, name, allowance.steps)
        with _request_errors(name, settings):
            image = Image.open(Source(content, name, allowance.steps), formats=[name])
            _check_size(image.size, settings.max_image_pixels)
            allowance.take(image.width * image.height, weight(content, image))
            return cls(name, image, image.size, settings)

    def pixels(self, *, reduce: bool = True) -> Pixels:
        """Decode into uint8 [224, 224, 3], once; raises what `open` raises.

        Without `reduce` a large JPEG is decoded at its full size, as a reference.
        """
        # Closing also gives up what was decoded: a request's other pictures need the memory.
        with _request_errors(self.name, self.settings), closing(self.image) as image:
            reduction = _reduction(self.size) if reduce else 1
            if reduction > 1:
                image.draft(None, (self.size[0] // reduction, self.size[1] // reduction))
            size = self.size[::-1] if lies_on_its_side(image) else self.size
            return center_crop(eight_bit(upright(image)), size)


def decode(content: bytes | bytearray, settings: Settings, *, reduce: bool = True) -> Pixels:
    """Decode one encoded image into uint8 [224, 224, 3], RGB, 0-255.

    The first frame of an animation counts, EXIF orientation is applied, transparency is laid
    on white. Raises what `Picture.open` raises. `reduce` as in `Picture.pixels`.
    """
    return Picture.open(content, settings, Allowance(settings)).pixels(reduce=reduce)


def center_crop(image: Image.Image, size: tuple[int, int] | None = None) -> Pixels:
    """Resize the shorter side to 255 and cut the central 224 x 224, in a single pass.

    `image` is L, LA, RGB or RGBA of any size; `size` that of the picture where its decoder
    reduced it. Resampling only the part that is kept gives the pixels of Resize followed by
    CenterCrop within 2 of 255, and a picture of 1 x 10000 pixels does not become one of
    255 x 2550000 on the way. The integers are those of torchvision
    (`_compute_resized_output_size` and `center_crop`): leaving out their rounding moves the
    crop by up to a pixel.
    """
    size = size or image.size
    short = min(size)
    spans = [
        _span(int(RESIZE * full / short), full, reduced)
        for full, reduced in zip(size, image.size, strict=True)
    ]
    (left, right), (top, bottom) = spans
    box = (left, top, right, bottom)
    return np.asarray(on_white(image.resize((CROP, CROP), Image.Resampling.BILINEAR, box=box)))


def _span(resized: int, full: int, reduced: int) -> tuple[float, float]:
    """Return what is kept of one side, in pixels of the image as its decoder reduced it."""
    offset = round((resized - CROP) / 2.0)
    # A decoder that reduces rounds up: 4001 pixels by 4 are 1001, of which a quarter is padding.
    scale = full / resized / round(full / reduced)
    return offset * scale, min((offset + CROP) * scale, reduced)


def _reduction(size: tuple[int, int]) -> int:
    """Return by how much a decoder may reduce the picture while it decodes."""
    fitting = [each for each in _REDUCTIONS if min(size) // each >= LEAST_REDUCED]
    return max(fitting, default=1)


@contextmanager
def _request_errors(name: str, settings: Settings) -> Iterator[None]:
    """Raise a `RequestError` for whatever Pillow raises."""
    try:
        yield
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


def _check_bytes(content: bytes | bytearray, max_image_bytes: int) -> None:
    if not content:
        message = "The image is empty (0 bytes)."
        raise NoImageError(message)
    if len(content) > max_image_bytes:
        message = f"The image has {len(content)} bytes; at most {max_image_bytes} are accepted."
        raise ImageTooLargeError(message)


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

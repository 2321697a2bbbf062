"""How much work in Python one request's images may cause, beside decoding their pixels.

Pillow reads what stands around the pixels piece by piece, in Python: 10 MiB of the smallest pieces
that a format has would take seconds, those of some formats minutes. Each piece costs a read at
least, so reads are what is counted (`Source`), each as dear as the format makes it. What is dear
without being read is found before Pillow begins (`foresee`), and pixels that take longer than a
JPEG's count several times (`weight`).
"""

import math
import re
import struct
from io import BytesIO
from itertools import islice

from PIL import Image

from densenet_classifier.errors import UndecodableImageError

# A step is some 0.3 microseconds: what a read by a decoder of run lengths costs, the cheapest.
MAX_STEPS = 2_000_000
_STEPS_OF_A_READ = {"TIFF": 20, "PNG": 4, "JPEG": 2, "GIF": 2}
# Each is appended to those before it, which are copied: a million of them take minutes. Encoders
# write one (CIPA DC-008, 4.7.2).
_STEPS_OF_ANOTHER_EXIF = 100_000
_EXIF = re.compile(b"\xff\xe1..Exif\0\0", re.DOTALL)

# Each scan of a progressive JPEG is decoded over the whole picture; encoders write ten or so.
MAX_SCANS = 500
_USUAL_SCANS = 20
_START_OF_SCAN = b"\xff\xda"
_SCAN = re.compile(_START_OF_SCAN)  # half the time of bytes.count
_END_OF_IMAGE = 0xD9
# Bytes of compressed data that look like a marker: stuffing, restart markers, fill bytes
# (ITU-T T.81, B.1.1).
_MARKER = re.compile(b"\xff([\x01-\xcf\xd8-\xfe])")

_JPEG_IN_TIFF = ("jpeg", "tiff_jpeg")

# What 50 million pixels take at most, measured (docs/RELIABILITY.md): 0.5 s as JPEG of 20 scans,
# decoded reduced, and 1.6 s in other formats; twice that as a coloured PNG of 16 bits a sample.
_USUAL_WEIGHT = 2
_WEIGHT_OF_DEEP_PNG = 4
_DEEP = ("RGB;16B", "RGBA;16B")
# An AVIF takes as long for its bytes: 0.7 s for 10 MiB of 5 million pixels as of 16 million.
_PIXELS_OF_AN_AVIF_BYTE = 6
# Pillow's decoder of BMPs in run lengths is Python, and takes 0.2 microseconds a pixel.
_RUN_LENGTHS = "bmp_rle"
_WEIGHT_OF_RUN_LENGTHS = 40

_PLACES = (273, 324)  # TIFF 6.0: StripOffsets, TileOffsets


class Steps:
    """The steps that the images of one request may still cause."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def take(self, steps: int) -> None:
        """Count some; raise `UndecodableImageError` when they are more than what is left."""
        self._left -= steps
        if self._left < 0:
            message = (
                "The image, or those of the request together, are in too many pieces: segments, "
                "chunks, strips, tags or runs. Save it anew, or send fewer at a time."
            )
            raise UndecodableImageError(message)


class Source(BytesIO):
    """An encoded image of a format, as Pillow reads it."""

    def __init__(self, content: bytes | bytearray, name: str, steps: Steps) -> None:
        super().__init__(content)
        self._steps = steps
        self._steps_of_a_read = _STEPS_OF_A_READ.get(name, 1)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        self._steps.take(self._steps_of_a_read)
        return super().read(size)


def foresee(content: bytes | bytearray, name: str, steps: Steps) -> None:
    """Count the steps of an image that are not told by its reads."""
    if name == "TIFF":
        steps.take(_count_places(content) * _STEPS_OF_A_READ[name])
    elif name == "JPEG":
        segments = sum(1 for _ in _EXIF.finditer(content))
        steps.take(max(0, segments - 1) * _STEPS_OF_ANOTHER_EXIF)


def weight(content: bytes | bytearray, image: Image.Image) -> int:
    """Return how many times its pixels an opened image counts for in its request.

    Raises `UndecodableImageError` for a JPEG of more scans than any encoder writes.
    """
    if image.format in ("JPEG", "MPO"):
        return math.ceil(_count_scans(content) / _USUAL_SCANS)
    if image.format == "AVIF":
        dense = _PIXELS_OF_AN_AVIF_BYTE * len(content) / (image.width * image.height)
        return max(_USUAL_WEIGHT, math.ceil(dense))
    if image.info.get("compression") in _JPEG_IN_TIFF:
        # A JPEG a strip: where all scans are of a few strips, they are gone over as little.
        scans = content.count(_START_OF_SCAN) / max(1, _count_places(content))
        return max(_USUAL_WEIGHT, math.ceil(scans / _USUAL_SCANS))
    # The plugins fill it with the names of decoders and their arguments.
    decoder, *_, arguments = next(iter(getattr(image, "tile", [])), ("", ""))
    if decoder == _RUN_LENGTHS:
        return _WEIGHT_OF_RUN_LENGTHS
    is_deep = image.format == "PNG" and arguments in _DEEP
    return _WEIGHT_OF_DEEP_PNG if is_deep else _USUAL_WEIGHT


def _count_scans(content: bytes | bytearray) -> int:
    """Return how often the picture is gone over; of metadata and what follows nothing is said."""
    # Almost always enough. By chance the bytes stand some 150 times in 10 MiB of what is no JPEG.
    if next(islice(_SCAN.finditer(content), _USUAL_SCANS, None), None) is None:
        return 1
    scans, at = 0, 2
    while (found := _MARKER.search(content, at)) and found[1][0] != _END_OF_IMAGE:
        at = found.end()
        scans += found[0] == _START_OF_SCAN
        if scans > MAX_SCANS:
            raise UndecodableImageError(f"The JPEG image has more than {MAX_SCANS} scans.")
        # TEM and SOI stand alone; all others tell their length.
        if found[1][0] not in (0x01, 0xD8):
            at += int.from_bytes(content[at : at + 2], "big")
    return scans


def _count_places(content: bytes | bytearray) -> int:
    """Return in how many strips or tiles a TIFF says that its first picture is."""
    order = "<" if content[:1] == b"I" else ">"
    big = 43 in content[2:4]
    offset, count, entry = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    try:
        (at,) = struct.unpack_from(order + offset, content, 8 if big else 4)
        (entries,) = struct.unpack_from(order + count, content, at)
        start = at + struct.calcsize(order + count)
        size = struct.calcsize(order + entry)
        whole = min(entries, (len(content) - start) // size)
        tags = struct.iter_unpack(order + entry, content[start : start + whole * size])
        return max((places for tag, _, places in tags if tag in _PLACES), default=0)
    # Pillow says what is wrong with it.
    except (struct.error, OverflowError):
        return 0

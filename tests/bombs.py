"""Bodies that cost the server more than they cost who sends them: pictures, forms, documents.

Pictures say that they are huge, or are as huge as the limits allow and one colour all over, or
carry compressed metadata that grows a thousandfold.
"""

import base64
import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image

from archive_builder import SAMPLES
from reliability.fuzzing.structures import png as png_with

SIDE = 7000  # 49 million pixels, just below max_image_pixels
HUGE = 60_000
UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
BOUNDARY = "bombs"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
_INFLATED_BYTES = 100_000_000
# Mode, and how Pillow is to write it; the fastest ways, all of them small.
LEGAL: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("RGBA", {"compress_level": 1}),
    "GIF": ("P", {}),
    "TIFF": ("F", {"compression": "tiff_adobe_deflate"}),
    "BMP": ("1", {}),
}


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a grey PNG of that size by its header, with these chunks before its few bytes."""
    end = ((b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return png_with(width, height, *chunks, *end, colour=0)


def declared_huge() -> dict[str, bytes]:
    """Return by format a file of a few bytes whose header promises billions of pixels."""
    bmp = struct.pack("<IiiHHIIiiII", 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    vp8l = b"\x2f" + struct.pack("<I", 16383 | 16383 << 14) + bytes(8)
    webp = b"WEBPVP8L" + struct.pack("<I", len(vp8l)) + vp8l + b"\0"
    return {
        "PNG": png(HUGE, HUGE),
        "GIF": b"GIF89a" + struct.pack("<HHBBB", HUGE, HUGE, 0x80, 0, 0) + bytes(6)
        + b"," + struct.pack("<HHHHB", 0, 0, HUGE, HUGE, 0) + b"\x02\x01\x44\0;",
        "BMP": b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bmp,
        "TIFF": _tiff(HUGE, HUGE),
        "WEBP": b"RIFF" + struct.pack("<I", len(webp)) + webp,
    }  # fmt: skip


def _tiff(width: int, height: int) -> bytes:
    strip = zlib.compress(bytes(1000))
    # Tag, type (3 is SHORT, 4 is LONG), value: one strip, deflated, 8 bits, grey.
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


@cache
def legal(name: str) -> bytes:
    """Return 49 million pixels of one colour in less than 10 MiB; `name` is one of `LEGAL`."""
    mode, options = LEGAL[name]
    file = BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(file, name, **options)
    return file.getvalue()


def metadata() -> dict[str, bytes]:
    """Return by chunk a PNG of 30 x 30 whose metadata inflates to 100 MB, or 50 times to 1 MB."""
    inflating = zlib.compress(bytes(_INFLATED_BYTES), 9)
    text = (b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    return {
        "iCCP": png(30, 30, (b"iCCP", b"p\0\0" + inflating)),
        "zTXt": png(30, 30, (b"zTXt", b"k\0\0" + inflating)),
        "iTXt": png(30, 30, (b"iTXt", b"k\0\1\0\0\0" + inflating)),
        "many zTXt": png(30, 30, *[text] * 90),
    }


def form(parts: int, content: bytes) -> bytes:
    """Return a form of so many files, each under a name of its own."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%d"; filename="f"\r\n\r\n'
    parts_ = (head.encode() % number + content for number in range(parts))
    return b"\r\n".join([*parts_, f"--{BOUNDARY}--\r\n".encode()])


def document(images: int, content: bytes = UMBRELLA) -> bytes:
    """Return a JSON document of so many images."""
    text = base64.b64encode(content)
    return b'{"instances": [' + b",".join([b'"' + text + b'"'] * images) + b"]}"


def nested(depth: int) -> bytes:
    """Return lists within lists, all of them closed."""
    return b"[" * depth + b"]" * depth

"""Little input that means a lot of work: the files and documents that keep a reader busy.

Mutation does not find these: they repeat one harmless thing as often as the limits of the service
let them, or promise as many pixels. `files` and `documents` draw one, up to the greatest size.
"""

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image

from reliability.fuzzing.structures import png, png_chunk

MOST_BYTES = 10 * 1024 * 1024  # max_image_bytes
MOST_PIXELS = 50_000_000  # max_image_pixels
MOST_DOCUMENT_BYTES = 32 * 1024 * 1024 - 4096  # max_request_size, and room for headers

_SIDE = 7000  # 49 million pixels
_START_OF_PNG = png(8, 8)  # 8 bytes of signature and the size


def repeated(generator: random.Random, unit: bytes, around: int, most: int = MOST_BYTES) -> bytes:
    """Return the unit as often as fits beside `around` bytes, or less often."""
    share = generator.choice((1, 1, 0.3, 0.05, 0.005))
    return unit * int((most - around) * share / len(unit))


def many_png_chunks(generator: random.Random) -> bytes:
    """Put chunks before, between or behind the pixels."""
    kind = generator.choice((b"aaAa", b"tEXt", b"gAMA", b"IDAT", b"fdAT", b"ABCD"))
    chunk = png_chunk(kind, generator.choice((b"", b"a\0b")))
    size = _START_OF_PNG[8:]
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    chunks = repeated(generator, chunk, 200)
    parts = generator.choice([(size, chunks, pixels), (size, pixels, chunks), (chunks, size)])
    return _START_OF_PNG[:8] + b"".join(parts) + png_chunk(b"IEND", b"")


def slow_rows_of_png(generator: random.Random) -> bytes:
    """Let each row be predicted from the one above by the slowest filter, or by another."""
    filter_ = generator.choice((4, 4, 4, 1, 2, 3))  # Paeth; Sub, Up, Average
    channels = generator.choice((3, 4))
    depth = generator.choice((8, 16))
    return _filtered(filter_, channels, depth, generator.choice((1000, 3000, 4900, _SIDE)))


@cache
def _filtered(filter_: int, channels: int, depth: int, side: int) -> bytes:
    # No two neighbours are equal, so that the filter has something to choose.
    row = bytes([filter_]) + (bytes(range(1, 252, 5)) * side)[: side * channels * depth // 8]
    compressor = zlib.compressobj()
    pixels = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    colour = {3: 2, 4: 6}[channels]
    return png(side, side, (b"IDAT", pixels), (b"IEND", b""), depth=depth, colour=colour)


def png_text_bomb(generator: random.Random) -> bytes:
    """Compress texts of a megabyte each, as many as a file can have."""
    text = zlib.compress(bytes(1_000_000), 9)
    bomb = png_chunk(b"zTXt", b"a\0\0" + text)
    return _START_OF_PNG + repeated(generator, bomb, 200) + _end_of_png()


def many_jpeg_segments(generator: random.Random) -> bytes:
    """Put segments before the picture: comments, EXIF, profiles, Photoshop's, fill bytes, junk."""
    body = generator.choice(
        (
            b"", b"Exif\0\0", b"Exif\0\0" + bytes(100), b"Exif\0\0" + bytes(1000),
            b"ICC_PROFILE\0\1\1", b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000,
            b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0II*\0\x08\0\0\0" + bytes(50), b"JFIF\0",
        )
    )  # fmt: skip
    marker = generator.choice((b"\xff\xe1", b"\xff\xe2", b"\xff\xed", b"\xff\xfe", b"\xff\xe0"))
    unit = generator.choice(
        (marker + struct.pack(">H", len(body) + 2) + body, b"\xff", b"\xff\0", b"\0")
        if generator.random() < 0.3
        else (marker + struct.pack(">H", len(body) + 2) + body,)
    )
    picture = saved("JPEG", "RGB", 16)
    return picture[:2] + repeated(generator, unit, len(picture)) + picture[2:]


def many_jpeg_scans(generator: random.Random) -> bytes:
    """Repeat the last scan of a progressive picture, of few pixels or of many."""
    picture = saved(
        "JPEG", generator.choice(("L", "RGB")), generator.choice((16, 1000, 3000, _SIDE))
    )
    start = picture.rindex(b"\xff\xda")
    scans = picture[start:-2] * generator.choice((10, 50, 200, 480, 5000))
    return (picture[:start] + scans)[: MOST_BYTES - 2] + picture[-2:]


def many_gif_blocks(generator: random.Random) -> bytes:
    """Put extensions before the picture."""
    unit = generator.choice(
        (b"!\xfe\0", b"!\xfe\1a\0", b"!\xf9\4\0\0\0\0\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0", b"\0")
    )
    picture = saved("GIF", "P", 16)
    at = 13 + (3 << (picture[10] & 7) + 1)
    return picture[:at] + repeated(generator, unit, len(picture)) + picture[at:]


def run_length_bmp(generator: random.Random) -> bytes:
    """Compress lines of which almost nothing is said, or runs of one pixel."""
    four_bits = generator.random() < 0.5
    side = generator.choice((100, 1000, 3000, _SIDE))
    unit = generator.choice(
        (b"\1\1\0\0", b"\1\1", b"\xff\1", b"\0\2\0\0", b"\0\3\1\1\1\0", b"\0\0")
    )
    rows = repeated(generator, unit, 2000)
    palette = bytes(4 * (16 if four_bits else 256))
    offset = 54 + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII",
        40,
        side,
        side,
        1,
        4 if four_bits else 8,
        2 if four_bits else 1,
        0,
        0,
        0,
        0,
        0,
    )
    return b"BM" + struct.pack("<IHHI", offset, 0, 0, offset) + info + palette + rows


def many_tiff_strips(generator: random.Random) -> bytes:
    """Give each row, or each tile of a few pixels, a place of its own in the file."""
    count = int(generator.choice((1, 1, 0.3, 0.01)) * (MOST_BYTES - 1000) / 8)
    tiled = generator.random() < 0.3
    tags = [
        (256, 4, 1, 16 if tiled else 1), (257, 4, 1, count),
        (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1),
    ]  # fmt: skip
    at = 8 + 2 + 12 * (len(tags) + (4 if tiled else 3)) + 4
    if tiled:
        tags += [
            (322, 3, 1, 16),
            (323, 3, 1, 1),
            (324, 4, count, at),
            (325, 4, count, at + 4 * count),
        ]
    else:
        tags += [(273, 4, count, at), (278, 4, 1, 1), (279, 4, count, at + 4 * count)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    offsets = b"".join(struct.pack("<I", number % 60 + 1) for number in range(count))
    return b"II*\0\x08\0\0\0" + directory + offsets + struct.pack("<I", 1) * count


def many_tiff_tags(generator: random.Random) -> bytes:
    """Let as many tags as there are point to the same block."""
    picture = saved("TIFF", "L", 16)
    count = 65535
    entries = b"".join(struct.pack("<HHII", tag, 7, 100_000, 8) for tag in range(count))
    directory = struct.pack("<H", count) + entries + bytes(4)
    body = b"II*\0" + struct.pack("<I", 100_008) + bytes(100_000) + directory
    if generator.random() < 0.5:
        return body
    # The same as EXIF of a PNG.
    header = saved("PNG", "L", 16)
    return header[:33] + png_chunk(b"eXIf", body) + header[33:] if picture else b""


def many_pixels(generator: random.Random) -> bytes:
    """Compress almost as many pixels as are accepted, of one colour."""
    format_, mode = generator.choice(
        (
            ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1"), ("PNG", "I;16"),
            ("PNG", "LA"), ("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"),
            ("TIFF", "RGB"), ("TIFF", "CMYK"), ("TIFF", "F"), ("TIFF", "I;16"), ("WEBP", "RGB"),
            ("WEBP", "RGBA"), ("AVIF", "RGB"), ("TIFF", "1"),
        )
    )  # fmt: skip
    return saved(format_, mode, _SIDE)


@cache
def saved(format_: str, mode: str, side: int) -> bytes:
    """Return a square picture of one colour."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": True},
        "TIFF": {"compression": "tiff_lzw" if side > 16 else "raw"},
        "WEBP": {"lossless": True, "quality": 0, "method": 0},
        "AVIF": {"speed": 10, "quality": 10},
    }
    buffer = BytesIO()
    Image.new(mode, (side, side)).save(buffer, format_, **options.get(format_, {}))
    return buffer.getvalue()


def _end_of_png() -> bytes:
    return png_chunk(b"IDAT", zlib.compress(bytes(8 * 25))) + png_chunk(b"IEND", b"")


FILES: dict[str, Callable[[random.Random], bytes]] = {
    each.__name__.replace("_", " "): each
    for each in (
        many_png_chunks, slow_rows_of_png, png_text_bomb, many_jpeg_segments, many_jpeg_scans,
        many_gif_blocks, run_length_bmp, many_tiff_strips, many_tiff_tags, many_pixels,
    )
}  # fmt: skip

_DOCUMENT_UNITS = (
    b"[]", b"{}", b"[1]", b'{"":1}', b'{"b64":1}', b"1", b"1e1", b'""', b'{"b64":""}', b"[[[[]]]]",
    b'"QUJD"', b'{"name":"a"}',
)  # fmt: skip


def document(generator: random.Random) -> bytes:
    """Return JSON of very many values, or very deep, or with a very long number or text."""
    opening, closing = generator.choice(
        (
            (b'{"instances":[', b"]}"), (b"[", b"]"), (b'{"b64":[', b"]}"),
            (b'{"inputs":[{"datatype":"BYTES","shape":[1],"data":[', b"]}]}"),
            (b'{"parameters":[', b'],"b64":""}'), (b'{"other":[', b'],"b64":""}'),
        )
    )  # fmt: skip
    kind = generator.random()
    share = generator.choice((1, 0.1, 0.01, 0.001))
    if kind < 0.6:
        unit = generator.choice(_DOCUMENT_UNITS)
        count = int(MOST_DOCUMENT_BYTES * share / (len(unit) + 1))
        return opening + (unit + b",") * count + unit + closing
    if kind < 0.8:
        depth = generator.choice((100, 500, 900, 990, 1000, 3000, 100_000, 5_000_000))
        return opening + b"[" * depth + b"]" * depth + closing
    if kind < 0.9:
        return opening + b"1" * int(MOST_DOCUMENT_BYTES * share) + closing
    text = generator.choice((b"A", b"=", b"\\u0041", b" ", b"\xc3\xa4"))
    return opening + b'"' + text * int(MOST_DOCUMENT_BYTES * share / len(text)) + b'"' + closing

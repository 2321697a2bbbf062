"""Files damaged within their own structure, so that a reader comes past its first checks.

A chunk, segment, tag or block is dropped, doubled, moved, emptied or given other content or
another size, and what would betray it is repaired: the CRC of a PNG, the size of a JPEG's segment.
Files of other formats, and those whose structure is lost, come back as they are.
"""

import random
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KINDS = (
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"iCCP", b"sRGB", b"pHYs", b"tEXt",
    b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"cHRM", b"bKGD", b"aaAa", b"ABCD",
)  # fmt: skip
_SIZES = (0, 1, 2, 3, 16, 255, 1000, 16383, 16384, 40000, 65535, 70000, 2**24, 2**31 - 1, 2**32 - 1)

T = TypeVar("T")
Edit = Callable[[random.Random, bytes], bytes]


def damage_structure(generator: random.Random, content: bytes) -> bytes:
    """Return the file with one to three of its pieces damaged."""
    damage = _damage_of(content)
    if damage is None:
        return content
    for _ in range(generator.randint(1, 3)):
        try:
            content = damage(generator, content)
        except (struct.error, IndexError, ValueError):
            break  # what is left has no structure any more
    return content


def _damage_of(content: bytes) -> Edit | None:
    if content[4:8] == b"ftyp":
        return _boxes
    damages: dict[bytes, Edit] = {
        _PNG: _png, b"\xff\xd8": _jpeg, b"II": _tiff, b"MM": _tiff, b"GIF8": _gif, b"RIFF": _riff,
        b"BM": _bmp,
    }  # fmt: skip
    return next((each for start, each in damages.items() if content.startswith(start)), None)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG with its length and its CRC."""
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(
    width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2
) -> bytes:
    """Return a PNG of that size by its header, and these chunks behind it.

    `depth` is bits a sample; `colour` 0 is grey, 2 RGB, 6 RGBA (PNG specification, 11.2.2).
    """
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return _png_of([(b"IHDR", header), *chunks])


def _png_of(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return _PNG + b"".join(png_chunk(*chunk) for chunk in chunks)


def _png(generator: random.Random, content: bytes) -> bytes:
    chunks: list[tuple[bytes, bytes]] = []
    at = len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    index = generator.randrange(len(chunks))
    kind, body = chunks[index]
    if kind == b"IHDR" and generator.random() < 0.7:
        chunks[index] = kind, _png_header(generator, body)
    elif generator.random() < 0.3:
        chunks[index] = generator.choice(_PNG_KINDS), body
    elif kind == b"IDAT" and generator.random() < 0.5:
        chunks[index] = kind, _recompressed(generator, body)
    elif generator.random() < 0.5:
        chunks[index] = kind, _changed(generator, body)
    else:
        chunks = _rearranged(generator, chunks)
    return _png_of(chunks)


def _png_header(generator: random.Random, body: bytes) -> bytes:
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", body)
    if generator.random() < 0.5:
        width, height = generator.choice((width, *_SIZES)), generator.choice((height, *_SIZES))
    else:
        depth, colour = generator.choice((0, 1, 2, 4, 8, 16, 32)), generator.randrange(8)
        rest = [generator.choice((0, 0, 1, 2)) for _ in rest]
    return struct.pack(">IIBBBBB", width, height, depth, colour, *rest)


def _recompressed(generator: random.Random, body: bytes) -> bytes:
    """Change the filtered rows below the compression."""
    try:
        rows = zlib.decompressobj().decompress(body, 1_000_000)
    except zlib.error:
        return _changed(generator, body)
    return zlib.compress(_changed(generator, rows), generator.choice((0, 1)))


def _jpeg(generator: random.Random, content: bytes) -> bytes:
    segments: list[bytes] = []
    at = 2
    while content[at] == 0xFF and content[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, at + 2)
        segments.append(content[at : at + 2 + length])
        at += 2 + length
    scans = content[at:]
    index = generator.randrange(len(segments))
    choice = generator.random()
    if choice < 0.5:
        body = _changed(generator, segments[index][4:])[:65533]
        marker = segments[index][:2] if choice < 0.4 else b"\xff" + generator.randbytes(1)
        segments[index] = marker + struct.pack(">H", len(body) + 2) + body
    elif choice < 0.8:
        segments = _rearranged(generator, segments)
    else:
        scans = _changed(generator, scans)
    return content[:2] + b"".join(segments) + scans


def _tiff(generator: random.Random, content: bytes) -> bytes:
    """Change one field of one tag of the first directory of a classic TIFF."""
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, at)
    entry = at + 2 + 12 * generator.randrange(count)
    tag, kind, values, value = struct.unpack_from(order + "HHII", content, entry)
    field = generator.randrange(5)
    if field == 0:
        tag = generator.choice((tag, *range(254, 350), 0x8769, 0x8825, 34675, 700))
    elif field == 1:
        kind = generator.randrange(19)  # 1 to 18 are taken
    elif field == 2:
        values = generator.choice(_SIZES)
    else:
        value = generator.choice((*_SIZES, len(content), at, value + 1, 8, 9, 5, 34712, 50001))
    changed = struct.pack(order + "HHII", tag, kind, values, value % 2**32)
    return content[:entry] + changed + content[entry + 12 :]


def _gif(generator: random.Random, content: bytes) -> bytes:
    """Change the size, the size of a frame, or put an extension or a frame before what follows."""
    table = 3 << (content[10] & 7) + 1 if content[10] & 0x80 else 0
    start = 13 + table
    choice = generator.randrange(4)
    if choice == 0:
        size = struct.pack("<HH", generator.choice(_SIZES[:11]), generator.choice(_SIZES[:11]))
        return content[:6] + size + content[10:]
    if choice == 1:
        at = content.index(b",", start)
        frame = [generator.choice(_SIZES[:11]) for _ in range(4)]
        return content[: at + 1] + struct.pack("<4H", *frame) + content[at + 9 :]
    label = generator.choice((b"\xf9", b"\xfe", b"\xff", b"\x01", b"\x00"))
    blocks = [generator.randbytes(generator.randrange(256)) for _ in range(generator.randrange(4))]
    body = b"".join(bytes([len(block)]) + block for block in blocks if block) + b"\0"
    return content[:start] + b"!" + label + body + content[start:]


def _riff(generator: random.Random, content: bytes) -> bytes:
    chunks: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        chunks.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    index = generator.randrange(len(chunks))
    kind, body = chunks[index]
    choice = generator.random()
    if choice < 0.2:
        kinds = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"ICCP")
        chunks[index] = generator.choice(kinds), body
    elif choice < 0.7:
        chunks[index] = kind, _changed(generator, body)
    else:
        chunks = _rearranged(generator, chunks)
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(each)) + each + bytes(len(each) % 2) for kind, each in chunks
    )
    size = generator.choice((*[len(body)] * 60, *_SIZES))
    return b"RIFF" + struct.pack("<I", size) + body


def _boxes(generator: random.Random, content: bytes) -> bytes:
    """Change a box of an AVIF, or the size of one, at the top or within `meta`."""
    kinds = (
        b"meta",
        b"iloc",
        b"iinf",
        b"iprp",
        b"ipco",
        b"ispe",
        b"av1C",
        b"pixi",
        b"mdat",
        b"ipma",
    )
    at = content.index(generator.choice(kinds)) - 4
    (length,) = struct.unpack_from(">I", content, at)
    if generator.random() < 0.3:
        size = generator.choice((*_SIZES, length + 1, length - 1)) % 2**32
        return content[:at] + struct.pack(">I", size) + content[at + 4 :]
    body = bytearray(content[at + 8 : at + length])
    for _ in range(generator.randint(1, 4)):
        body[generator.randrange(len(body))] = generator.choice(
            (0, 1, 255, generator.randrange(256))
        )
    return content[: at + 8] + bytes(body) + content[at + length :]


def _bmp(generator: random.Random, content: bytes) -> bytes:
    """Change the size, depth, compression, number of colours or offset in the header."""
    at, kind, choices = generator.choice(
        [
            (10, "<I", _SIZES),
            (14, "<I", (12, 40, 52, 56, 64, 108, 124, 0, 16)),
            (18, "<i", (*_SIZES[:12], -1, -40)),
            (22, "<i", (*_SIZES[:12], -1, -40)),
            (28, "<H", (0, 1, 2, 4, 8, 16, 24, 32, 64)),
            (30, "<I", (0, 1, 2, 3, 4, 5, 6, 11)),
            (46, "<I", (0, 1, 2, 256, 257, 65536, 2**31)),
        ]
    )
    value = struct.pack(kind, generator.choice(choices))
    return content[:at] + value + content[at + len(value) :]


def _changed(generator: random.Random, body: bytes) -> bytes:
    """Return a piece with other content."""
    choice = generator.random()
    if choice < 0.1 or not body:
        return generator.randbytes(generator.choice((0, 1, 4, 100)))
    if choice < 0.3:
        return body[: generator.randrange(len(body))]
    if choice < 0.4:
        return body * generator.choice((2, 3, 20))
    changed = bytearray(body)
    for _ in range(generator.randint(1, 6)):
        changed[generator.randrange(len(changed))] = generator.choice(
            (0, 1, 127, 128, 255, generator.randrange(256))
        )
    return bytes(changed)


def _rearranged(generator: random.Random, pieces: Sequence[T]) -> list[T]:
    """Drop, double, move or repeat a piece."""
    result = list(pieces)
    index = generator.randrange(len(result))
    choice = generator.randrange(4)
    if choice == 0:
        del result[index]
    elif choice == 1:
        result.insert(generator.randrange(len(result)), result[index])
    elif choice == 2:
        result.insert(generator.randrange(len(result)), result.pop(index))
    else:
        result[index:index] = [result[index]] * generator.choice((2, 20, 100))
    return result

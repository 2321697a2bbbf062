"""The first bytes of formats that Pillow reads and cannot write, or that are no pictures at all.

Signatures as the formats' specifications have them, with as much of a header as makes a decoder
believe that it is meant. None is of a format that is accepted.
"""

import struct
import zlib

_SIDE = 16  # pixels


def handmade() -> dict[str, bytes]:
    """Return files by the name of their format."""
    return {**_pictures(), **_containers(), **_documents()}


def _pictures() -> dict[str, bytes]:
    pixels = bytes(_SIDE * _SIDE * 4)
    return {
        # Adobe Photoshop File Formats Specification: signature, version 1, channels, size.
        "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, _SIDE, _SIDE, 8, 3) + bytes(12) + pixels,
        # https://qoiformat.org: magic, size, channels, colour space; one run of pixels, the end.
        "QOI": b"qoif" + struct.pack(">IIBB", _SIDE, _SIDE, 4, 0) + b"\xfd" * 9 + bytes(7) + b"\1",
        "FLI": struct.pack("<IHHHHHH", 128, 0xAF11, 1, 64, 64, 8, 0) + bytes(112) + pixels,
        "SUN": struct.pack(">8I", 0x59A66A95, _SIDE, _SIDE, 24, _SIDE * _SIDE * 3, 1, 0, 0)
        + pixels,
        "GBR": struct.pack(">5I", 28, 2, _SIDE, _SIDE, 1) + b"GIMP" + bytes(4) + pixels,
        "XPM": b'/* XPM */\nstatic char *a[] = {\n"1 1 1 1",\n"  c #102030",\n" "};\n',
        "XVTHUMB": b"P7 332\n#END_OF_COMMENTS\n16 16 255\n" + pixels,
        "PCD": bytes(2048) + b"PCD_IPI" + bytes(2048),
        "PIXAR": b"\x80\xe8\0\0" + bytes(412) + struct.pack("<HH", _SIDE, _SIDE) + bytes(2048),
        "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hH4xH", 0, 0, 99, 99, 96, 0) + bytes(64),
        "EMF": struct.pack("<II8i", 1, 108, 0, 0, 9, 9, 0, 0, 99, 99) + b" EMF" + bytes(64),
        "FTEX": b"FTEX" + struct.pack("<7I", 1, _SIDE, _SIDE, 1, 1, 0, 32) + pixels,
        "BLP1": b"BLP1" + struct.pack("<7I", 0, 0, _SIDE, _SIDE, 4, 1, 0) + bytes(1200),
        "BLP2": b"BLP2" + struct.pack("<IbbbbII", 1, 1, 0, 0, 0, _SIDE, _SIDE) + bytes(1200),
        "MCIDAS": b"\0\0\0\0\0\0\0\4" + bytes(248) + pixels,
        "DCX": struct.pack("<3I", 0x3ADE68B1, 12, 0) + b"\n\5\1\10" + bytes(124),
        "CUR": struct.pack("<3H4B2H2I", 0, 2, 1, 16, 16, 0, 0, 0, 0, 1064, 22) + bytes(1064),
        "WAL": bytes(32) + struct.pack("<6I", _SIDE, _SIDE, 100, 0, 0, 0) + bytes(200),
        "GD": b"\xff\xfe" + struct.pack(">HHB", _SIDE, _SIDE, 0) + bytes(1200),
        "RLA": b"\0" * 12 + bytes(740),
        "HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 16\n" + pixels,
        "EXR": b"\x76\x2f\x31\x01\2\0\0\0channels\0chlist\0\1\0\0\0\0",
        "JXL": b"\xff\x0a" + pixels,
        "JXL box": b"\0\0\0\x0cJXL \r\n\x87\n" + pixels,
        "JPEG XR": b"II\xbc\1\x08\0\0\0" + pixels,
        "JNG": b"\x8bJNG\r\n\x1a\n" + pixels,
        "MNG": b"\x8aMNG\r\n\x1a\n" + pixels,
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
        "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(64),
    }


def _containers() -> dict[str, bytes]:
    return {
        "MIC": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1528),
        "FPX": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 1528,
        "MPEG": b"\0\0\1\xb3\x01\x00\x10\x13" + bytes(64),
        "MP4": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(64),
        "GRIB": b"GRIB\0\0\0\1" + bytes(64),
        "BUFR": b"BUFR\0\0\0\4" + bytes(64),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "IPTC": b"\x1c\x02\x00\0\2\0\2\x1c\x03\x14\0\4\0\0\0\x10",
        "WAV": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(20),
        "ZIP": b"PK\3\4\x14\0\0\0\0\0" + bytes(20),
        "GZIP": b"\x1f\x8b\x08\0" + zlib.compress(bytes(4096)),
        "ELF": b"\x7fELF\2\1\1" + bytes(57),
        "pickle": b"\x80\4\x95\x0c\0\0\0\0\0\0\0\x8c\5posix\x94.",
    }


def _documents() -> dict[str, bytes]:
    return {
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "HTML": b"<!doctype html><title>no picture</title>",
        "XML": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "MVG": b"push graphic-context\nfill 'url(https://example.org/a.png)'\n",
        "text": b"A text, and no picture at all.",
        "spaces": b" " * 512,
        "zeros": bytes(512),
    }

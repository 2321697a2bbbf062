"""Which image formats are accepted, and how one is told from the first bytes.

The table below is the only list: what it does not name is refused before any decoder runs,
and Pillow is then given exactly the one decoder that the signature calls for.
"""

from collections.abc import Callable

from densenet_classifier.errors import UnsupportedImageError

_SIGNATURE_BYTES = 32
_AVIF_BRANDS = (b"avif", b"avis")


def _begins_with(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _is_webp(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _is_avif(head: bytes) -> bool:
    # ISO/IEC 14496-12: a `ftyp` box with the major brand, a version and compatible brands.
    brands = {head[8:12]} | {head[at : at + 4] for at in range(16, len(head), 4)}
    return head[4:8] == b"ftyp" and not brands.isdisjoint(_AVIF_BRANDS)


# Pillow's name of the format -> whether the first bytes of a file are of it.
FORMATS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _begins_with(b"\xff\xd8\xff"),
    "PNG": _begins_with(b"\x89PNG\r\n\x1a\n"),
    "WEBP": _is_webp,
    "AVIF": _is_avif,
    "GIF": _begins_with(b"GIF87a", b"GIF89a"),
    "BMP": _begins_with(b"BM"),
    # Both byte orders, classic and BigTIFF.
    "TIFF": _begins_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}


def format_of(content: bytes | bytearray) -> str | None:
    """Return Pillow's name of the accepted format that the first bytes promise, or None."""
    head = bytes(content[:_SIGNATURE_BYTES])
    return next((name for name, matches in FORMATS.items() if matches(head)), None)


def identify(content: bytes | bytearray) -> str:
    """Return the same as `format_of`; raise `UnsupportedImageError` where that is None."""
    name = format_of(content)
    if name is None:
        message = (
            f"{len(content)} bytes beginning with {bytes(content[:12])!r} are no image that is "
            f"accepted here. Send one of {', '.join(FORMATS)}."
        )
        raise UnsupportedImageError(message)
    return name

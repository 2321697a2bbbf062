from collections.abc import Callable

import pytest
from PIL import Image

from densenet_classifier.errors import UnsupportedImageError
from densenet_classifier.formats import FORMATS, format_of, identify
from densenet_classifier.images import decode
from densenet_classifier.settings import Settings

ACCEPTED = ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"]

SIGNATURES = {
    "JPEG JFIF": (b"\xff\xd8\xff\xe0", "JPEG"),
    "JPEG Exif": (b"\xff\xd8\xff\xe1", "JPEG"),
    "JPEG without either": (b"\xff\xd8\xff\xdb", "JPEG"),
    "GIF87a": (b"GIF87a", "GIF"),
    "GIF89a": (b"GIF89a", "GIF"),
    "TIFF little endian": (b"II*\0", "TIFF"),
    "TIFF big endian": (b"MM\0*", "TIFF"),
    "BigTIFF little endian": (b"II+\0", "TIFF"),
    "BigTIFF big endian": (b"MM\0+", "TIFF"),
    "AVIF sequence": (b"\0\0\0\x18ftypavis\0\0\0\0msf1miaf", "AVIF"),
    "AVIF by compatible brand": (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "AVIF"),
}

FOREIGN = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "XML": b"<?xml version='1.0'?><svg/>",
    "HTML": b"<!DOCTYPE html><html></html>",
    "ICO": b"\0\0\x01\0\x01\0\x10\x10",
    "ICNS": b"icns\0\0\x01\0",
    "PPM": b"P6\n2 2\n255\n" + bytes(12),
    "PSD": b"8BPS\0\x01" + bytes(20),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a\xfa\x1f",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "MP4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "AVI": b"RIFF\x24\0\0\0AVI LIST",
    "ZIP": b"PK\x03\x04" + bytes(20),
    "text": b"hello world",
    "JSON": b'{"image": "aGVsbG8="}',
    "base64 of a JPEG": b"/9j/4AAQSkZJRgABAQAAAQABAAD",
    "one zero byte": b"\0",
    "zero bytes": bytes(100),
    "spaces": b"    \n",
    "half a PNG signature": b"\x89PNG",
    "half a JPEG signature": b"\xff\xd8",
    "a PNG behind a line break": b"\n\x89PNG\r\n\x1a\n",
    "a PNG signature spoiled by text mode": b"\x89PNG\n\x1a\n",
    "the word avif": b"avifavifavifavif",
    "avif across two brands": b"\0\0\0\x18ftypheic\0\0\0\0mif1..avif..",
    "RIFF and the end": b"RIFF",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_pillow_writes_is_identified(name: str, encode: Callable[..., bytes]) -> None:
    assert identify(encode(Image.new("RGB", (8, 8)), name)) == name


def test_the_list_is_complete() -> None:
    assert list(FORMATS) == ACCEPTED


@pytest.mark.parametrize(("content", "name"), SIGNATURES.values(), ids=SIGNATURES)
def test_every_variant_of_a_signature_counts(content: bytes, name: str) -> None:
    assert identify(content + bytes(100)) == name


def test_big_tiff_as_pillow_writes_it(encode: Callable[..., bytes]) -> None:
    content = encode(Image.new("RGB", (8, 8)), "TIFF", big_tiff=True)
    assert content.startswith(b"II+\0")
    assert identify(content) == "TIFF"


def test_a_bytearray_is_identified_too(encode: Callable[..., bytes]) -> None:
    assert identify(bytearray(encode(Image.new("RGB", (8, 8)), "WEBP"))) == "WEBP"


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedImageError) as caught:
        identify(content)
    assert caught.value.status == 415


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_anything_else_has_no_format(content: bytes) -> None:
    assert format_of(content) is None


def test_the_refusal_says_what_arrived_and_what_is_accepted() -> None:
    with pytest.raises(UnsupportedImageError) as caught:
        identify(b"%PDF-1.7\nsecret page")
    message = str(caught.value)
    assert message.startswith("20 bytes beginning with b'%PDF-1.7\\nsec' ")
    assert message.endswith("Send one of JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF.")


def test_the_refusal_is_short_however_long_the_content() -> None:
    with pytest.raises(UnsupportedImageError) as caught:
        identify(b"x" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "name", ["PPM", "ICO", "ICNS", "TGA", "PCX", "SGI", "DDS", "JPEG2000", "PDF", "EPS", "QOI"]
)
def test_other_formats_that_pillow_reads_are_refused(
    name: str, encode: Callable[..., bytes]
) -> None:
    content = encode(Image.new("RGB", (64, 64)), name)
    with pytest.raises(UnsupportedImageError):
        decode(content, Settings())


@pytest.mark.parametrize("name", ACCEPTED)
def test_pillow_is_given_only_the_decoder_of_the_signature(
    name: str, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    genuine = Image.open

    def spy(file: object, formats: object = None) -> object:
        asked.append(formats)
        return genuine(file, formats=formats)  # type: ignore[arg-type]

    content = encode(Image.new("RGB", (8, 8)), name)
    monkeypatch.setattr(Image, "open", spy)
    decode(content, Settings())
    assert asked == [[name]]

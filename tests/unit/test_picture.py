import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from densenet_classifier.errors import (
    ImageTooLargeError,
    NoImageError,
    RequestError,
    TooManyPixelsError,
    UndecodableImageError,
    UnsupportedImageError,
)
from densenet_classifier.formats import FORMATS
from densenet_classifier.images import Allowance, Picture, decode
from densenet_classifier.settings import Settings

SETTINGS = Settings()


def picture_of(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng([width, height])
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def opened(content: bytes, settings: Settings = SETTINGS) -> Picture:
    return Picture.open(content, settings, Allowance(settings))


@pytest.fixture
def decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Return a function after which every decoder raises the error."""

    def fail_with(error: BaseException) -> None:
        def load(_: object) -> None:
            raise error

        # WebP, AVIF and GIF have a `load` of their own, which ends in that of their base.
        monkeypatch.setattr(ImageFile.ImageFile, "load", load)
        monkeypatch.setattr(Image.Image, "load", load)

    return fail_with


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_is_opened_without_being_decoded(
    name: str, encode: Callable[..., bytes], decoding: Callable[[BaseException], None]
) -> None:
    content = encode(picture_of(20, 30), name)
    decoding(AssertionError("decoded"))
    picture = opened(content)
    assert (picture.name, picture.size) == (name, (20, 30))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (Settings(max_image_bytes=20), ImageTooLargeError),
        (Settings(max_image_pixels=599), TooManyPixelsError),
        (Settings(max_request_pixels=599), TooManyPixelsError),
    ],
    ids=["bytes", "pixels", "pixels of the request"],
)
def test_every_limit_is_judged_without_decoding(
    name: str,
    settings: Settings,
    error: type[RequestError],
    encode: Callable[..., bytes],
    decoding: Callable[[BaseException], None],
) -> None:
    content = encode(picture_of(20, 30), name)
    decoding(AssertionError("decoded"))
    with pytest.raises(error):
        opened(content, settings)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", NoImageError), (b"%PDF-1.7", UnsupportedImageError), (b"BM", UndecodableImageError)],
    ids=["empty", "another format", "no header"],
)
def test_what_has_no_header_is_refused_when_it_is_opened(
    content: bytes, error: type[RequestError]
) -> None:
    with pytest.raises(error):
        opened(content)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP"])
def test_a_truncated_picture_is_opened_and_not_decoded(
    name: str, encode: Callable[..., bytes]
) -> None:
    content = encode(picture_of(80, 60), name)
    picture = opened(content[: len(content) // 2])
    with pytest.raises(UndecodableImageError, match=f"The {name} image cannot be decoded"):
        picture.pixels()


@pytest.mark.parametrize(
    "error",
    [OSError(), SyntaxError(), ValueError(), KeyError(), IndexError(), EOFError(),
     ZeroDivisionError(), OverflowError(), struct.error()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_decoder_raises_is_the_pictures_fault(
    error: Exception, encode: Callable[..., bytes], decoding: Callable[[BaseException], None]
) -> None:
    picture = opened(encode(picture_of(20, 30), "PNG"))
    decoding(error)
    with pytest.raises(UndecodableImageError, match="The PNG image cannot be decoded") as caught:
        picture.pixels()
    assert caught.value.__cause__ is error


def test_what_pillows_guard_refuses_while_decoding_has_too_many_pixels(
    encode: Callable[..., bytes], decoding: Callable[[BaseException], None]
) -> None:
    picture = opened(encode(picture_of(20, 30), "PNG"))
    decoding(Image.DecompressionBombError())
    with pytest.raises(TooManyPixelsError, match="more than 50000000 pixels"):
        picture.pixels()


def test_a_server_without_memory_while_decoding_does_not_blame_the_picture(
    encode: Callable[..., bytes], decoding: Callable[[BaseException], None]
) -> None:
    picture = opened(encode(picture_of(20, 30), "PNG"))
    decoding(MemoryError())
    with pytest.raises(MemoryError):
        picture.pixels()


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_decoded_is_not_kept(name: str, encode: Callable[..., bytes]) -> None:
    picture = opened(encode(picture_of(80, 60), name))
    picture.pixels()
    with pytest.raises(ValueError, match="closed image"):
        picture.image.getpixel((0, 0))


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_may_be_decoded_by_another_thread(
    name: str, encode: Callable[..., bytes]
) -> None:
    contents = [encode(picture_of(side, 60), name) for side in (60, 70, 80, 90)]
    pictures = [opened(content) for content in contents]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(Picture.pixels, pictures))
    for pixels, content in zip(found, contents, strict=True):
        assert np.array_equal(pixels, decode(content, SETTINGS))


# Of several images of one request.


def test_images_share_the_pixels_of_a_request(encode: Callable[..., bytes]) -> None:
    content = encode(picture_of(20, 30), "JPEG")
    allowance = Allowance(Settings(max_request_pixels=1799))
    for _ in range(2):
        Picture.open(content, SETTINGS, allowance).pixels()
    with pytest.raises(TooManyPixelsError) as caught:
        Picture.open(content, SETTINGS, allowance)
    assert str(caught.value) == (
        "The image has 600 pixels, and the request's images may have 1799 together, of which "
        "599 are left. Send it in another request."
    )


def test_exactly_the_pixels_of_a_request_are_accepted(encode: Callable[..., bytes]) -> None:
    content = encode(picture_of(20, 30), "JPEG")
    allowance = Allowance(Settings(max_request_pixels=1200))
    sizes = [Picture.open(content, SETTINGS, allowance).size for _ in range(2)]
    assert sizes == [(20, 30)] * 2


def test_an_image_that_is_refused_leaves_its_pixels_to_the_next(
    encode: Callable[..., bytes],
) -> None:
    allowance = Allowance(Settings(max_request_pixels=600))
    with pytest.raises(TooManyPixelsError):
        Picture.open(encode(picture_of(20, 31), "JPEG"), SETTINGS, allowance)
    picture = Picture.open(encode(picture_of(20, 30), "JPEG"), SETTINGS, allowance)
    assert picture.pixels().shape == (224, 224, 3)


def test_the_pixels_are_taken_when_the_picture_is_opened(encode: Callable[..., bytes]) -> None:
    content = encode(picture_of(20, 30), "JPEG")
    allowance = Allowance(Settings(max_request_pixels=600))
    Picture.open(content, SETTINGS, allowance)
    with pytest.raises(TooManyPixelsError, match="of which 0 are left"):
        Picture.open(content, SETTINGS, allowance)

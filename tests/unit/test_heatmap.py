from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from densenet_classifier.gradcam import HeatMap
from densenet_classifier.heatmap import heat_map_png, overlay_png
from densenet_classifier.images import Pixels
from tests.unit.asking import read_png

COLDEST, MIDDLE, HOTTEST = (48, 18, 59), (164, 252, 60), (122, 4, 3)  # of "turbo"


def heat(value: float) -> HeatMap:
    return np.full((224, 224), value, np.float32)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def laid_over(pixels: Pixels, colour: tuple[int, int, int], opacity: float) -> Pixels:
    blended: npt.NDArray[np.float64] = pixels * (1 - opacity) + np.array(colour) * opacity
    return np.rint(blended).astype(np.uint8)


def distance(image: Image.Image, expected: Pixels) -> int:
    return int(np.abs(np.asarray(image).astype(int) - expected).max())


def test_a_map_is_a_greyscale_png_of_its_size() -> None:
    image = read_png(heat_map_png(heat(0)))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (224, 224))


@pytest.mark.parametrize(
    ("value", "grey"), [(0, 0), (1, 255), (0.5, 128), (0.2, 51), (0.999, 255), (1.0000001, 255)]
)
def test_the_values_of_a_map_are_255_times_as_great(value: float, grey: int) -> None:
    assert read_png(heat_map_png(heat(value))).getextrema() == (grey, grey)


def test_a_map_is_not_turned() -> None:
    corner = heat(0)
    corner[10, 200] = 1
    image = np.asarray(Image.open(BytesIO(heat_map_png(corner))))
    assert np.argwhere(image == 255).tolist() == [[10, 200]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_picture_is_shown_once_for_each_map(count: int, pixels: Pixels) -> None:
    image = read_png(overlay_png(pixels, [heat(0)] * count))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (224 * count, 224))


@pytest.mark.parametrize(
    ("value", "colour", "opacity"),
    [(0, COLDEST, 0.3), (0.5, MIDDLE, 0.45), (1, HOTTEST, 0.6)],
    ids=["cold", "warm", "hot"],
)
def test_the_colour_of_a_place_and_the_picture_below_it(
    value: float, colour: tuple[int, int, int], opacity: float, pixels: Pixels
) -> None:
    image = read_png(overlay_png(pixels, [heat(value)]))
    assert distance(image, laid_over(pixels, colour, opacity)) <= 1


def test_the_panels_are_in_the_order_of_the_maps(pixels: Pixels) -> None:
    image = read_png(overlay_png(pixels, [heat(1), heat(0)]))
    left, right = image.crop((0, 0, 224, 224)), image.crop((224, 0, 448, 224))
    assert distance(left, laid_over(pixels, HOTTEST, 0.6)) <= 1
    assert distance(right, laid_over(pixels, COLDEST, 0.3)) <= 1


def test_the_picture_itself_is_left_as_it_is(pixels: Pixels) -> None:
    before = pixels.copy()
    overlay_png(pixels, [heat(1)])
    assert np.array_equal(pixels, before)

import dataclasses
import math
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densenet_classifier.classifier import Probabilities
from densenet_classifier.images import Pixels, center_crop
from densenet_classifier.recognition import has_one_colour, is_recognised, perplexity
from densenet_classifier.settings import Settings

SETTINGS = Settings(min_probability=0.25, max_perplexity=4)
CERTAIN = np.array([0, 1, 0, 0, 0], np.float32)


@pytest.fixture(scope="module")
def varied() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def plain(colour: tuple[int, int, int]) -> Pixels:
    return np.full((224, 224, 3), colour, np.uint8)


def probabilities(*values: float) -> Probabilities:
    return np.array(values, np.float32)


class TestPerplexity:
    @pytest.mark.parametrize("classes", [1, 2, 5, 1000])
    def test_of_equals_is_their_number(self, classes: int) -> None:
        equal = np.full(classes, 1 / classes, np.float32)
        assert perplexity(equal) == pytest.approx(classes, rel=1e-5)

    def test_of_certainty_is_one(self) -> None:
        assert perplexity(CERTAIN) == 1

    def test_does_not_count_what_is_impossible(self) -> None:
        assert perplexity(probabilities(0.5, 0, 0.5, 0)) == pytest.approx(2)

    def test_of_unequals_lies_between(self) -> None:
        expected = math.exp(-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
        assert perplexity(probabilities(0.9, 0.1)) == pytest.approx(expected, rel=1e-5)


class TestOneColour:
    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (250, 10, 128)])
    def test_whichever_it_is(self, colour: tuple[int, int, int]) -> None:
        assert has_one_colour(plain(colour))

    def test_two_colours(self) -> None:
        halves = plain((0, 0, 0))
        halves[:112] = 255
        assert not has_one_colour(halves)

    @pytest.mark.parametrize(("difference", "one"), [(8, True), (9, False)])
    @pytest.mark.parametrize("channel", [0, 1, 2], ids=["red", "green", "blue"])
    def test_the_tolerance_in_one_channel(
        self, difference: int, channel: int, *, one: bool
    ) -> None:
        pixels = plain((100, 100, 100))
        pixels[112:, :, channel] += np.uint8(difference)
        assert has_one_colour(pixels) is one

    @pytest.mark.parametrize("place", [(0, 0), (5, 7), (223, 223), (100, 0)])
    def test_a_single_spot_is_seen_anywhere(self, place: tuple[int, int]) -> None:
        pixels = plain((100, 100, 100))
        pixels[place] = 0
        assert not has_one_colour(pixels)

    @pytest.mark.parametrize("quality", [20, 75, 95])
    def test_a_jpeg_of_one_colour_still_has_one(self, quality: int, encode: Any) -> None:
        content = encode(Image.new("RGB", (300, 300), "#c08040"), "JPEG", quality=quality)
        with Image.open(BytesIO(content)) as image:
            assert has_one_colour(center_crop(image))


class TestOwnJudgement:
    def test_a_clear_picture_is_recognised(self, varied: Pixels) -> None:
        assert is_recognised(varied, CERTAIN, SETTINGS, None) is True

    def test_a_picture_of_one_colour_is_not(self) -> None:
        assert is_recognised(plain((1, 2, 3)), CERTAIN, SETTINGS, None) is False

    @pytest.mark.parametrize(("greatest", "recognised"), [(0.25, True), (0.2499, False)])
    def test_the_least_probability(
        self, greatest: float, varied: Pixels, *, recognised: bool
    ) -> None:
        found = probabilities(greatest, *[(1 - greatest) / 4] * 4)
        settings = dataclasses.replace(SETTINGS, max_perplexity=1000)
        assert is_recognised(varied, found, settings, None) is recognised

    @pytest.mark.parametrize(("most", "recognised"), [(2.001, True), (1.999, False)])
    def test_the_greatest_perplexity(
        self, most: float, varied: Pixels, *, recognised: bool
    ) -> None:
        settings = dataclasses.replace(SETTINGS, max_perplexity=most)
        assert is_recognised(varied, probabilities(0.5, 0.5), settings, None) is recognised

    def test_a_picture_of_exactly_the_greatest_perplexity_is_recognised(
        self, varied: Pixels
    ) -> None:
        settings = dataclasses.replace(SETTINGS, max_perplexity=1)
        assert is_recognised(varied, CERTAIN, settings, None) is True

    @pytest.mark.parametrize(
        "found", [CERTAIN, np.full(1000, 0.001, np.float32)], ids=["certain", "no idea"]
    )
    def test_a_least_probability_of_zero_recognises_everything(self, found: Probabilities) -> None:
        settings = Settings(min_probability=0, max_perplexity=1)
        assert is_recognised(plain((1, 2, 3)), found, settings, None) is True


class TestJudgementOfTheRequest:
    @pytest.mark.parametrize(
        ("least", "recognised"), [(0.0, True), (0.25, True), (0.251, False), (1.0, False)]
    )
    def test_is_about_the_greatest_probability_alone(
        self, least: float, *, recognised: bool
    ) -> None:
        found = probabilities(0.25, *[0.1875] * 4)  # perplexity 4.97, of one colour
        assert is_recognised(plain((1, 2, 3)), found, SETTINGS, least) is recognised

    def test_is_stricter_than_a_server_that_recognises_everything(self, varied: Pixels) -> None:
        settings = Settings(min_probability=0)
        assert is_recognised(varied, probabilities(0.5, 0.5), settings, 0.6) is False

"""Pictures to fit the demo weights with: samples as others would photograph them, and no samples.

All are uint8 [224, 224, 3], RGB, and come from the generator that is given, so that the same seed
gives the same pictures.
"""

import io
import math
from string import ascii_letters, digits
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from densenet_classifier.images import CROP, Pixels, center_crop

SCENES = 15  # counterexamples of each kind, times the kind's share
# Upside down or in pieces these two are still what they are: all of it is one pattern.
_PATTERNS = ("crossword_puzzle", "maze")


def vary(picture: Image.Image, generator: np.random.Generator) -> Pixels:
    """Scale, move, lighten and compress a picture a little, as a photograph of it would be."""
    coarse = picture.resize((int(generator.integers(140, 641)),) * 2)
    side = int(picture.width * generator.uniform(0.9, 1.1))
    left, top = (int((picture.width - side) / 2 + generator.integers(-12, 13)) for _ in range(2))
    canvas = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    canvas.paste(coarse.resize((side, side)), (left, top))
    lightened = Image.fromarray(_eight_bit(np.asarray(canvas) * generator.uniform(0.88, 1.12)))
    compressed = io.BytesIO()
    lightened.save(compressed, "JPEG", quality=int(generator.integers(70, 96)))
    return center_crop(Image.open(compressed))


def counterexamples(
    pictures: dict[str, Image.Image], generator: np.random.Generator
) -> list[Pixels]:
    """Return pictures that are no sample, from featureless to almost one."""
    shares = {_texture: 4, _pattern: 10, _page: 4, _drawing: 4, _dead_leaves: 6}
    scenes = [kind(generator) for kind, share in shares.items() for _ in range(share * SCENES)]
    distorted = []
    for name, picture in pictures.items():
        image = center_crop(picture)
        distorted += [255 - image, np.roll(image, 1, axis=2)]
        if name not in _PATTERNS:
            distorted += [image[::-1].copy(), np.rot90(image).copy()]
            distorted += [_shuffle(image, tiles, generator) for tiles in (4, 7)]
    return [*scenes, *distorted]


def _texture(generator: np.random.Generator) -> Pixels:
    """Return noise around one colour, from none to loud, grey or coloured, fine or in blocks.

    Its spectrum is 1 / frequency ** roughness: 0 is white noise, photographs have 1.
    """
    block = int(2 ** generator.integers(0, 6)) if generator.random() < 0.5 else 1
    side = math.ceil(CROP / block)
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1
    roughness = generator.choice([0, generator.uniform(0, 2.5)])
    noise = generator.normal(size=(generator.choice([1, 3]), side, side))
    planes = np.fft.ifft2(np.fft.fft2(noise) / radius**roughness).real
    planes = (planes - planes.mean()) / planes.std()
    if generator.random() < 0.25:  # two levels only
        planes = np.sign(planes)
    planes = planes * 2 ** generator.uniform(-1, 7) + _colour(generator)[:, None, None]
    blocks = planes.repeat(block, axis=1).repeat(block, axis=2)[:, :CROP, :CROP]
    return _eight_bit(blocks.transpose(1, 2, 0))


def _pattern(generator: np.random.Generator) -> Pixels:
    """Return stripes, or checks where two waves cross, with soft or hard edges."""
    y, x = np.mgrid[:CROP, :CROP]
    waves = np.ones((CROP, CROP))
    for _ in range(generator.integers(1, 3)):
        angle = generator.choice([0, np.pi / 2, generator.uniform(0, np.pi)])
        cycles = (x * np.cos(angle) + y * np.sin(angle)) / 2 ** generator.uniform(1, 8)
        waves *= np.sin(2 * np.pi * (cycles + generator.random()))
    if generator.random() < 0.75:
        waves = np.sign(waves)
    part = (waves[..., None] + 1) / 2
    return _eight_bit(_colour(generator) * part + _colour(generator) * (1 - part))


def _page(generator: np.random.Generator) -> Pixels:
    """Return lines of writing of one size, most often dark on light or light on dark."""
    ground, ink = _colour(generator), _colour(generator)
    if generator.random() < 0.7:
        levels = generator.permutation([generator.uniform(0, 60), generator.uniform(195, 255)])
        ground, ink = (np.full(3, level) for level in levels)
    canvas = Image.new("RGB", (CROP, CROP), _rgb(ground))
    pen = ImageDraw.Draw(canvas)
    size = float(2 ** generator.uniform(1.7, 5.5))
    left = generator.uniform(-20, 20)
    for y in np.arange(generator.uniform(-size, 30), CROP, 1.4 * size):
        letters = _letters(generator, int(generator.uniform(250, 500) / size) + 1)
        pen.text((left, y), letters, fill=_rgb(ink), font_size=size)
    return np.asarray(canvas)


def _drawing(generator: np.random.Generator) -> Pixels:
    """Return a few shapes, strokes and words on a plain ground, as a drawing or a sign has."""
    canvas = Image.new("RGB", (CROP, CROP), _rgb(_colour(generator)))
    pen = ImageDraw.Draw(canvas)
    for _ in range(generator.integers(1, 6)):
        ink = _rgb(_colour(generator))
        x, y = (float(value) for value in generator.uniform(-20, CROP * 0.8, 2))
        width, height = (float(value) for value in generator.uniform(10, 200, 2))
        box = (x, y, x + width, y + height)
        match generator.integers(0, 5):
            case 0:
                pen.ellipse(box, fill=ink)
            case 1:
                pen.rectangle(box, fill=ink)
            case 2:
                pen.line(box, fill=ink, width=int(generator.integers(1, 14)))
            case _:
                letters = _letters(generator, int(generator.integers(1, 8)))
                pen.text((x, y), letters, fill=ink, font_size=float(generator.uniform(12, 100)))
    return np.asarray(canvas)


def _dead_leaves(generator: np.random.Generator) -> Pixels:
    """Return overlapping shapes under a texture: statistics near those of photographs.

    After Lee, Mumford and Huang, "Occlusion models for natural images", 2001.
    """
    canvas = Image.new("RGB", (CROP, CROP))
    pen = ImageDraw.Draw(canvas)
    smallest = 2 ** generator.uniform(1, 4)
    for _ in range(150):
        radius = smallest / generator.uniform(0.03, 1)
        x, y = generator.uniform(0, CROP, 2)
        colour = _rgb(generator.integers(0, 256, 3))
        shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=colour)
    part = generator.choice([1, generator.uniform(0.3, 1)])
    return _eight_bit(np.asarray(canvas) * part + _texture(generator) * (1 - part))


def _shuffle(image: Pixels, tiles: int, generator: np.random.Generator) -> Pixels:
    side = CROP // tiles
    grid = image.reshape(tiles, side, tiles, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    mixed = grid[generator.permutation(len(grid))]
    shuffled: Pixels = mixed.reshape(tiles, tiles, side, side, 3).swapaxes(1, 2)
    return shuffled.reshape(image.shape)


def _colour(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return any colour, with black, white, grey and the saturated ones often among them."""
    any_of_all = generator.uniform(0, 255, 3)
    if generator.random() < 0.2:
        return np.full(3, generator.choice([0, 255, any_of_all[0]]), dtype=np.float64)
    return np.where(generator.random(3) < 0.3, generator.choice([0, 255], 3), any_of_all)


def _letters(generator: np.random.Generator, count: int) -> str:
    return "".join(generator.choice(list(ascii_letters + digits + " " * 10), count))


def _rgb(colour: npt.NDArray[Any]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _eight_bit(values: npt.NDArray[np.float64]) -> Pixels:
    return values.clip(0, 255).astype(np.uint8)

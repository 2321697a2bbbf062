"""What the defaults of recognition reject, measured with real weights; `-s` prints the shares."""

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from archive_builder import LABELS
from densenet_classifier.classifier import Probabilities, softmax
from densenet_classifier.cores import Cores
from densenet_classifier.engine import load_engine
from densenet_classifier.images import CROP, Pixels, center_crop, decode
from densenet_classifier.labels import load_labels
from densenet_classifier.recognition import is_recognised
from densenet_classifier.settings import Settings

SHAPE = (CROP, CROP, 3)
WORDS = ("total", "amount", "chapter", "of", "the", "page", "is", "invoice", "and", "we", "model")

Classify = Callable[[list[Pixels]], list[Probabilities]]


@pytest.fixture(scope="module")
def classify(real_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Classify:
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(real_archive) as file:
        file.extractall(folder)
    engine = load_engine(folder, Settings(), Cores(folder, total=1), None)
    return lambda images: [
        row
        for at in range(0, len(images), engine.batch)
        for row in softmax(engine.run(images[at : at + engine.batch], features=False).logits)
    ]


@pytest.fixture(scope="module")
def generator() -> np.random.Generator:
    return np.random.default_rng(2017)


def rejected(classify: Classify, images: list[Pixels]) -> list[int]:
    """Return which of the images are not recognised, and print their share."""
    found = [
        index
        for index, (image, row) in enumerate(zip(images, classify(images), strict=True))
        if not is_recognised(image, row, Settings(), None)
    ]
    print(f"not recognised: {len(found)} of {len(images)}")
    return found


def test_at_most_three_in_a_hundred_photographs_are_rejected(
    classify: Classify, assets: Path
) -> None:
    folders = (assets / "images" / name for name in ("labelled", "photos"))
    paths = sorted(path for folder in folders for path in folder.iterdir())
    images = [decode(path.read_bytes(), Settings()) for path in paths]
    names = {paths[index].name for index in rejected(classify, images)}
    assert "blank_image.jpg" in names, "no photograph: one colour"
    assert len(names) - 1 <= 0.03 * (len(paths) - 1), names


def as_pixels(samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    result: Pixels = samples.clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(result, SHAPE))


def test_noise_is_rejected(classify: Classify, generator: np.random.Generator) -> None:
    grey = (CROP, CROP, 1)
    images = [
        *(as_pixels(generator.uniform(0, 256, SHAPE)) for _ in range(30)),
        *(as_pixels(generator.uniform(0, 256, grey)) for _ in range(20)),
        *(as_pixels(generator.normal(128, deviation, SHAPE)) for deviation in range(5, 105, 4)),
        *(as_pixels(generator.normal(128, deviation, grey)) for deviation in range(5, 105, 8)),
    ]
    assert len(rejected(classify, images)) == len(images)


def test_one_colour_is_rejected(classify: Classify) -> None:
    levels = (0, 51, 102, 153, 204, 255)
    images = [
        np.full(SHAPE, colour, dtype=np.uint8) for colour in itertools.product(levels, repeat=3)
    ]
    assert len(rejected(classify, images)) == len(images)


def test_a_blank_sheet_is_rejected(classify: Classify, generator: np.random.Generator) -> None:
    # As a scanner sees it: almost white, with the grain of paper and an uneven lamp.
    lamp = np.linspace(0, 6, CROP)[:, None, None]
    images = [
        as_pixels(white - lamp + generator.normal(0, grain, SHAPE))
        for white in (238, 246, 255)
        for grain in (0, 1, 2, 3)
    ]
    assert len(rejected(classify, images)) == len(images)


def test_a_gradient_is_rejected(classify: Classify, generator: np.random.Generator) -> None:
    ramp = np.linspace(0, 1, CROP)
    images = [
        as_pixels(first + (second - first) * direction)
        for first, second in generator.uniform(0, 256, (12, 2, 3))
        for direction in (ramp[:, None, None], ramp[None, :, None])
    ]
    assert len(rejected(classify, images)) == len(images)


def test_text_is_rejected_or_one_of_the_classes_of_print(
    classify: Classify, generator: np.random.Generator
) -> None:
    images = [page(height, generator) for height in (12, 16, 20, 28, 40, 60, 90) for _ in range(3)]
    unknown = rejected(classify, images)
    print_like = {"web_site", "menu", "book_jacket", "crossword_puzzle", "envelope"}
    names = [label.class_name for label in load_labels(LABELS, 1000)]
    answers = {names[int(row.argmax())] for row in classify(images)}
    assert answers <= print_like
    assert unknown, "the largest letters are no page any more"


def page(height: int, generator: np.random.Generator) -> Pixels:
    """Return a page of words, `height` pixels of a page of 640 a line."""
    sheet = Image.new("RGB", (640, 640), "white")
    pen = ImageDraw.Draw(sheet)
    for y in range(20, 620, int(height * 1.4)):
        words = " ".join(generator.choice(WORDS, 100 // height + 2))
        pen.text((20, y), words, fill="black", font_size=float(height))
    return center_crop(sheet)

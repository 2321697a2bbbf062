import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archive_builder import LABELS, SAMPLES
from densenet_classifier.images import CROP, RESIZE
from samples import draw

ROWS: dict[str, list[str]] = json.loads(LABELS.read_text(encoding="utf-8"))

samples = pytest.mark.parametrize("sample", draw.SAMPLES, ids=lambda sample: sample.class_name)


def pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.int16)


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redrawn")
    draw.main([str(folder)])
    return folder


def test_there_are_at_least_nine() -> None:
    assert len(draw.SAMPLES) >= 9


def test_every_sample_has_its_file_and_every_file_its_sample() -> None:
    names = [sample.class_name for sample in draw.SAMPLES]

    assert sorted(names) == sorted(path.stem for path in SAMPLES.glob("*.png"))


def test_command_draws_every_sample(redrawn: Path) -> None:
    assert {path.name for path in redrawn.iterdir()} == {
        f"{sample.class_name}.png" for sample in draw.SAMPLES
    }


@samples
def test_committed_picture_is_the_one_drawn(redrawn: Path, sample: draw.Sample) -> None:
    """Another Pillow may smooth an edge a little differently."""
    name = f"{sample.class_name}.png"

    difference = np.abs(pixels(redrawn / name) - pixels(SAMPLES / name))

    assert difference.mean() < 1


@samples
def test_committed_picture_is_rgb_of_320(sample: draw.Sample) -> None:
    with Image.open(SAMPLES / f"{sample.class_name}.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (320, 320))


@samples
def test_index_is_the_one_of_the_class(sample: draw.Sample) -> None:
    assert ROWS[str(sample.index)][1] == sample.class_name


@samples
def test_name_stands_once_in_the_labels(sample: draw.Sample) -> None:
    assert [name for _, name in ROWS.values()].count(sample.class_name) == 1


@samples
def test_box_lies_inside_what_the_network_sees(sample: draw.Sample) -> None:
    """Resize(255) and CenterCrop(224) leave the middle 281 of 320 pixels; a pixel's slack."""
    resized = RESIZE / draw.SIZE
    edge = round((RESIZE - CROP) / 2)
    left, top, right, bottom = (side * resized - edge for side in sample.box)

    assert -1 <= left < right <= CROP + 1
    assert -1 <= top < bottom <= CROP + 1


def test_drawing_twice_gives_the_same_pixels() -> None:
    once, again = (draw.draw("umbrella").tobytes() for _ in range(2))

    assert once == again


def test_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="tench"):
        draw.draw("tench")

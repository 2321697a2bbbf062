"""The heat map of real weights lies on the object: drawings in the corners, boxed photographs.

Chance would give the object the share of the map that it has of the picture's area.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from archive_builder import LABELS
from densenet_classifier.gradcam import FeatureMaps, HeatMap, heat_map
from densenet_classifier.images import CROP, RESIZE, Pixels, center_crop, decode
from densenet_classifier.network import class_weights, load_network
from densenet_classifier.settings import Settings
from densenet_classifier.torch_engine import TorchEngine
from samples.draw import SAMPLES, Sample, draw

pytestmark = pytest.mark.usefixtures("one_thread")

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the central 224 x 224

# Boxed by hand, before any map was seen: photographs with the animal off centre.
BOXES: dict[str, Box] = {
    "n01616318_vulture": (56, 0, 115, 38),
    "n01798484_prairie_chicken": (0, 56, 74, 134),
    "n02018795_bustard": (86, 104, 224, 216),
    "n02087046_toy_terrier": (66, 8, 158, 124),
    "n02093859_Kerry_blue_terrier": (36, 112, 212, 222),
    "n02098286_West_Highland_white_terrier": (0, 112, 138, 222),
    "n02108422_bull_mastiff": (76, 74, 162, 222),
    "n02113023_Pembroke": (136, 62, 224, 184),
}

OBJECT = 110  # longer side of a drawing's object in its corner, in pixels
EDGE = 8  # from the corner of what the network sees


class Case(NamedTuple):
    name: str
    pixels: Pixels
    box: Box
    class_index: int


class GradCam:
    def __init__(self, weights: Path) -> None:
        network = load_network(weights)
        self._weights = class_weights(network).numpy()
        self._engine = TorchEngine(network)

    def heat(self, pixels: Pixels, class_index: int) -> HeatMap:
        features: FeatureMaps | None = self._engine.run([pixels], features=True).features
        assert features is not None
        return heat_map(features[0], self._weights[class_index])


@pytest.fixture(scope="module")
def grad_cam(real_weights_file: Path) -> GradCam:
    return GradCam(real_weights_file)


def gains(grad_cam: GradCam, cases: list[Case]) -> dict[str, float]:
    """Return how many times more of each map lies on the object than by chance."""
    result = {}
    for case in cases:
        heat = grad_cam.heat(case.pixels, case.class_index)
        left, top, right, bottom = case.box
        share = heat[top:bottom, left:right].sum() / heat.sum()
        result[case.name] = float(share / ((right - left) * (bottom - top) / CROP**2))
    return result


def in_corners(sample: Sample) -> Iterator[Case]:
    picture = draw(sample.class_name)
    thing = picture.crop(sample.box)
    thing.thumbnail((OBJECT, OBJECT))
    border = (RESIZE - CROP + 1) // 2  # what CenterCrop takes away
    for right in (False, True):
        for low in (False, True):
            left = CROP - EDGE - thing.width if right else EDGE
            top = CROP - EDGE - thing.height if low else EDGE
            canvas = Image.new("RGB", (RESIZE, RESIZE), picture.getpixel((2, 2)))
            canvas.paste(thing, (left + border, top + border))
            box = (left, top, left + thing.width, top + thing.height)
            name = f"{sample.class_name} {'right' if right else 'left'} {'low' if low else 'high'}"
            yield Case(name, center_crop(canvas), box, sample.index)


def test_the_map_lies_on_drawings_in_the_corners(grad_cam: GradCam) -> None:
    found = gains(grad_cam, [case for sample in SAMPLES for case in in_corners(sample)])
    assert len(found) == 4 * len(SAMPLES)
    assert min(found.values()) > 1, found
    assert median(found.values()) > 2, found


def test_the_map_lies_on_hand_boxed_photographs(grad_cam: GradCam, assets: Path) -> None:
    indices = {class_id: int(key) for key, (class_id, _) in json.loads(LABELS.read_text()).items()}
    cases = []
    for name, box in BOXES.items():
        content = (assets / "images" / "labelled" / f"{name}.JPEG").read_bytes()
        pixels = decode(content, Settings())
        cases.append(Case(name, pixels, box, indices[name.partition("_")[0]]))
    found = gains(grad_cam, cases)
    assert min(found.values()) > 1, found
    assert median(found.values()) > 1.5, found


def test_a_picture_turned_over_turns_its_map(grad_cam: GradCam) -> None:
    sample = SAMPLES[-1]
    (case, *_) = in_corners(sample)
    turned = np.ascontiguousarray(case.pixels[:, ::-1])
    heats = [grad_cam.heat(pixels, sample.index) for pixels in (case.pixels, turned)]
    columns = [heat.sum(axis=0) @ np.arange(CROP) / heat.sum() for heat in heats]
    assert columns[0] < CROP / 2 < columns[1]

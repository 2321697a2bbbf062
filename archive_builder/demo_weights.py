"""Demo weights: a DenseNet-121 that knows the pictures in `samples/` and nothing else.

They let the service run where the real weights cannot be had. The network is seeded, its batch
normalization measured on pictures made here, and its last layer fitted in closed form (ridge
regression, Hoerl and Kennard 1970): a sample, also slightly moved or scaled, gets the logit
`_LOGIT` for its class; counterexamples, and all other classes, get 0. Fitting takes seconds and
is deterministic on one machine; the file is kept in the model store under the hash of what it
depends on.
"""

import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision.models import densenet121

from archive_builder import LABELS, SAMPLES
from archive_builder.command import say
from archive_builder.files import replacing
from densenet_classifier.images import CROP, Pixels, center_crop
from densenet_classifier.network import normalize

_SEED = 121
# Among 1000 classes whose other logits are 0, a logit of 11 is a probability of 0.98, and half
# of it, for a picture half like a sample, one of 0.19.
_LOGIT = 11.0
_RIDGE = 1e-2  # relative to the variance of the features
_VARIANTS = 4  # slightly changed copies of each sample
_SCENES = 32  # counterexamples of each of three kinds
_LEVELS = (0, 128, 255)  # of each channel of the flat colours
_BATCH = 16


def demo_weights(store: Path) -> Path:
    """Return the file of the demo weights, a state_dict in torchvision's layout, in `store`."""
    target = store / f"densenet121-demo-{_key()}.pth"
    if not target.exists():
        say("Fitting the demo weights")
        # Through memory: torch.save would write a path's name into the file, and would hide
        # that the disk is full behind an error of its own.
        content = io.BytesIO()
        torch.save(fit(), content)
        with replacing(target) as partial:
            partial.write_bytes(content.getbuffer())
    return target


def fit() -> dict[str, torch.Tensor]:
    """Return the state_dict of a seeded DenseNet-121 fitted to the samples."""
    generator = np.random.default_rng(_SEED)
    samples = {path.stem: center_crop(Image.open(path)) for path in sorted(SAMPLES.glob("*.png"))}
    originals = list(samples.values())
    known = [*originals, *(_vary(image, generator) for image in originals * _VARIANTS)]
    unknown = _counterexamples(originals, generator)
    network = _seeded_network()
    _measure_normalization(network, [*originals, *unknown[::4]])
    features = _features(network, known + unknown)
    targets = torch.zeros(len(features), len(samples), dtype=torch.float64)
    for row in range(len(known)):
        targets[row, row % len(samples)] = _LOGIT
    weight, bias = _ridge(features, targets)
    _set_classifier(network, [_index_of(name) for name in samples], weight, bias)
    return network.state_dict()


def _key() -> str:
    """Hash what the fit depends on: this file, the pictures, the labels."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(SAMPLES.glob("*.png")), LABELS):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _index_of(class_name: str) -> int:
    rows = json.loads(LABELS.read_text(encoding="utf-8"))
    (index,) = (int(key) for key, (_, name) in rows.items() if name == class_name)
    return index


def _seeded_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network: nn.Module = densenet121(weights=None)
    # The layout that the engine uses too; twice as fast on a CPU.
    return network.to(memory_format=torch.channels_last)


def _measure_normalization(network: nn.Module, images: list[Pixels]) -> None:
    """Set every batch normalization to the mean and variance of these images."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of this one batch, not a running average
    network.train()
    with torch.no_grad():
        network.get_submodule("features")(normalize(np.stack(images)))
    network.eval()


def _features(network: nn.Module, images: list[Pixels]) -> torch.Tensor:
    """Return what the last layer sees: float64 [N, 1024]."""
    layers = network.get_submodule("features")
    with torch.no_grad():
        batches = [
            layers(normalize(np.stack(images[at : at + _BATCH]))).relu().mean(dim=(2, 3))
            for at in range(0, len(images), _BATCH)
        ]
    return torch.cat(batches).double()


def _ridge(features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight [K, 1024] and bias [K] of the ridge regression of targets on features.

    Solved in its dual form, N x N, which is smaller than 1024 x 1024 here.
    """
    mean = features.mean(dim=0)
    centered = features - mean
    offset = targets.mean(dim=0)
    gram = centered @ centered.T
    penalty = _RIDGE * features.var() * torch.eye(len(features), dtype=torch.float64)
    weight = (centered.T @ torch.linalg.solve(gram + penalty, targets - offset)).T
    return weight, offset - weight @ mean


def _set_classifier(
    network: nn.Module, indices: list[int], weight: torch.Tensor, bias: torch.Tensor
) -> None:
    with torch.no_grad():
        rows = network.get_parameter("classifier.weight").zero_()
        rows[indices] = weight.float()
        biases = network.get_parameter("classifier.bias").zero_()
        biases[indices] = bias.float()


def _vary(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Scale, move and lighten a picture a little, as a photograph of it would be."""
    side = int(CROP * generator.uniform(0.92, 1.08))
    left, top = (int((CROP - side) / 2 + generator.integers(-8, 9)) for _ in range(2))
    canvas = Image.new("RGB", (CROP, CROP), _rgb(image[0, 0]))
    canvas.paste(Image.fromarray(image).resize((side, side)), (left, top))
    lightened = np.asarray(canvas) * generator.uniform(0.9, 1.1)
    return lightened.clip(0, 255).astype(np.uint8)


def _counterexamples(samples: list[Pixels], generator: np.random.Generator) -> list[Pixels]:
    """Return pictures that are no sample, from featureless to almost one."""
    colours = [*itertools.product(_LEVELS, repeat=3), *(image[0, 0] for image in samples)]
    flats = [np.full((CROP, CROP, 3), colour, dtype=np.uint8) for colour in colours]
    clouds = [_cloud(generator, roughness) for roughness in np.linspace(0, 2, _SCENES)]
    leaves = [_dead_leaves(generator) for _ in range(_SCENES)]
    writings = [_writing(generator) for _ in range(_SCENES)]
    distorted = [
        picture
        for image in samples
        for picture in (255 - image, image[::-1].copy(), _shuffle(image, 4, generator))
    ]
    return [*flats, *clouds, *leaves, *writings, *distorted]


def _cloud(generator: np.random.Generator, roughness: float) -> Pixels:
    """Return coloured noise with the spectrum 1 / frequency ** roughness; photographs have 1."""
    frequency = np.fft.fftfreq(CROP)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1
    noise = generator.normal(size=(3, CROP, CROP))
    planes = np.fft.ifft2(np.fft.fft2(noise) / radius**roughness).real
    planes = (planes - planes.mean()) / planes.std() * generator.uniform(20, 80)
    colour = generator.uniform(40, 215, (3, 1, 1))
    cloud: Pixels = (planes + colour).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return cloud


def _dead_leaves(generator: np.random.Generator) -> Pixels:
    """Return overlapping shapes, whose statistics are near those of photographs.

    After Lee, Mumford and Huang, "Occlusion models for natural images", 2001.
    """
    canvas = Image.new("RGB", (CROP, CROP))
    pen = ImageDraw.Draw(canvas)
    for _ in range(150):
        radius = 4 / generator.uniform(0.03, 1)
        x, y = generator.uniform(0, CROP, 2)
        colour = _rgb(generator.integers(0, 256, 3))
        shape = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(canvas)


def _writing(generator: np.random.Generator) -> Pixels:
    """Return a few strokes and letters on a plain ground, as a drawing or a sign has them."""
    ground = generator.integers(0, 256, 3)
    canvas = Image.new("RGB", (CROP, CROP), _rgb(ground))
    pen = ImageDraw.Draw(canvas)
    ink = _rgb((ground + generator.integers(90, 166, 3)) % 256)
    for _ in range(generator.integers(0, 6)):
        ends = generator.uniform(0, CROP, 4)
        pen.line([float(end) for end in ends], fill=ink, width=int(generator.integers(1, 12)))
    for _ in range(generator.integers(1, 5)):
        letters = "".join(chr(65 + letter) for letter in generator.integers(0, 26, 5))
        x, y = generator.uniform(-20, CROP * 0.7, 2)
        pen.text((x, y), letters, fill=ink, font_size=float(generator.uniform(12, 80)))
    return np.asarray(canvas)


def _rgb(colour: npt.NDArray[np.integer[Any]]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue


def _shuffle(image: Pixels, tiles: int, generator: np.random.Generator) -> Pixels:
    side = CROP // tiles
    grid = image.reshape(tiles, side, tiles, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    mixed = grid[generator.permutation(len(grid))]
    shuffled: Pixels = mixed.reshape(tiles, tiles, side, side, 3).swapaxes(1, 2)
    return shuffled.reshape(image.shape)

"""The fit of the demo weights, with PyTorch.

The network is seeded, its batch normalization measured on pictures made here, and its last layer
fitted by logistic regression: a sample, also as a slightly different photograph of it would be,
has its class; counterexamples of many kinds share one further class, "none of them", which stands
for all classes without a sample. Fitting takes seconds and is deterministic on one machine.
"""

import io
import json
import math

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import densenet121

from archive_builder import LABELS, SAMPLES
from archive_builder.counterexamples import counterexamples, vary
from densenet_classifier.images import Pixels, center_crop
from densenet_classifier.network import normalize

_SEED = 121
_CLASSES = 1000
_PENALTY = 1e-8  # of the squared weights: where the line runs is left to the counterexamples
_STEPS = 200  # of the optimizer, which needs some 100
_VARIANTS = 14  # slightly changed copies of each sample
_NORMALIZED = 64  # pictures that the batch normalization is measured on: more are no better
_BATCH = 16


def fitted() -> bytes:
    """Return the file of the demo weights, a state_dict in torchvision's layout."""
    # Through memory: torch.save would write a path's name into the file, and would hide
    # that the disk is full behind an error of its own.
    content = io.BytesIO()
    torch.save(fit(), content)
    return content.getvalue()


def fit() -> dict[str, torch.Tensor]:
    """Return the state_dict of a seeded DenseNet-121 fitted to the samples."""
    generator = np.random.default_rng(_SEED)
    pictures = {
        path.stem: Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.png"))
    }
    samples = list(pictures.values())
    known = [center_crop(picture) for picture in samples]
    known += [vary(picture, generator) for picture in samples * _VARIANTS]
    unknown = counterexamples(pictures, generator)
    network = _seeded_network()
    stride = math.ceil(len(unknown) / (_NORMALIZED - len(samples)))
    _measure_normalization(network, [*known[: len(samples)], *unknown[::stride]])
    none = len(samples)
    classes = [row % none for row in range(len(known))] + [none] * len(unknown)
    weight, bias = _logistic_regression(
        _features(network, known + unknown), torch.tensor(classes), none + 1
    )
    # "None of them" is shared evenly by the classes without a sample. A softmax knows only
    # differences: that class is taken from all others, and theirs stay 0.
    weight, bias = weight[:none] - weight[none], bias[:none] - bias[none]
    bias += math.log(_CLASSES - none)
    _set_classifier(network, [_index_of(name) for name in pictures], weight, bias)
    return network.state_dict()


def _index_of(class_name: str) -> int:
    rows = json.loads(LABELS.read_text(encoding="utf-8"))
    (index,) = (int(key) for key, (_, name) in rows.items() if name == class_name)
    return index


def _seeded_network() -> nn.Module:
    """Return a random DenseNet-121 whose features suit drawings and change smoothly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network: nn.Module = densenet121(weights=None, num_classes=_CLASSES)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Most of a bell curve then passes the ReLU that follows: the network is closer
                # to linear, and a picture that moves a little stays where it was.
                module.bias.fill_(1)
        # The last features, by contrast, are to be rare: each stands for something special.
        network.get_parameter("features.norm5.bias").fill_(-1)
        # The first filters are smoothed, so that noise averages out, and lose most of their
        # sum, so that they see contours rather than flat colours.
        filters = network.get_parameter("features.conv0.weight")
        bell = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / 2)
        kernel = (torch.outer(bell, bell) / bell.sum() ** 2).expand(3, 1, 7, 7)
        filters.copy_(nn.functional.conv2d(filters, kernel, padding=3, groups=3))
        filters.sub_(0.8 * filters.mean(dim=(2, 3), keepdim=True))
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


def _logistic_regression(
    features: torch.Tensor, classes: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight [count, 1024] and bias [count] of the penalized softmax regression.

    Known and unknown pictures weigh the same, whatever their numbers.
    """
    mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-3
    scale = deviation * math.sqrt(features.shape[1])
    inputs = (features - mean) / scale
    weight = torch.zeros(count, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    unknown = classes == count - 1
    shares = torch.where(unknown, 0.5 / unknown.sum(), 0.5 / (~unknown).sum()).double()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        errors = nn.functional.cross_entropy(inputs @ weight.T + bias, classes, reduction="none")
        total = (errors * shares).sum() + _PENALTY * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        unscaled = weight / scale
        return unscaled, bias - unscaled @ mean


def _set_classifier(
    network: nn.Module, indices: list[int], weight: torch.Tensor, bias: torch.Tensor
) -> None:
    with torch.no_grad():
        rows = network.get_parameter("classifier.weight").zero_()
        rows[indices] = weight.float()
        biases = network.get_parameter("classifier.bias").zero_()
        biases[indices] = bias.float()

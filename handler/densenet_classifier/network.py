"""The engine: uint8 pixels [N, 224, 224, 3] in, float32 probabilities [N, classes] out."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from densenet_classifier.images import Pixels

Probabilities = npt.NDArray[np.float32]

# Of RGB in 0-1 over ImageNet's training set, as torchvision's models were trained with.
MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)

# Images of one run of the network. More are no faster on a CPU, and cost memory.
BATCH = 16


def normalize(pixels: Pixels) -> torch.Tensor:
    """Return float32 [N, 3, 224, 224], normalized, for uint8 [N, 224, 224, 3] RGB, 0-255."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    return (images - mean) / torch.tensor(STANDARD_DEVIATION).view(1, 3, 1, 1)


def in_batches(images: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield the images as uint8 [N, 224, 224, 3], at most `BATCH` of them at a time."""
    for at in range(0, len(images), BATCH):
        yield np.stack(images[at : at + BATCH])


class TorchEngine:
    """DenseNet-121 in eager PyTorch, float32 on the CPU."""

    name = "torch"
    precision = "float32"

    def __init__(self, network: nn.Module) -> None:
        # channels_last is the layout the pixels already have, and 1.8 times as fast on a CPU.
        self._network: nn.Module = network.to(memory_format=torch.channels_last)

    def probabilities(self, pixels: Pixels) -> Probabilities:
        """Return softmax probabilities, float32 [N, classes], for uint8 [N, 224, 224, 3] RGB."""
        with torch.inference_mode():
            result: Probabilities = self._network(normalize(pixels)).softmax(dim=1).numpy()
        return result

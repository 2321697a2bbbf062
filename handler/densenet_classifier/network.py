"""DenseNet-121 in PyTorch: a file of weights -> the network, uint8 pixels -> its inputs.

`load_network` reads a state_dict without running code from it and raises `WeightsError` for
whatever is not one of DenseNet-121. Importing torch costs a second and half a gigabyte: a worker
that classifies with OpenVINO never imports this module.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import densenet121

from densenet_classifier.images import Pixels
from densenet_classifier.weights import WeightsError

# Of RGB in 0-1 over ImageNet's training set, as torchvision's models were trained with.
MEAN = (0.485, 0.456, 0.406)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)

# torchvision's file was written when a dense layer's parts were called `norm.1`, `conv.2` ...
_OLD_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")
_CLASSIFIER = "classifier.weight"


class LogitsAndFeatures(nn.Module):
    """What both engines run: float32 [N, 3, 224, 224], normalized -> logits, feature maps.

    The logits are [N, classes], the feature maps of the last relu [N, 1024, 7, 7]: what
    torchvision's `DenseNet.forward` computes, with the maps not thrown away.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.features = network.get_submodule("features")
        self.classifier = network.get_submodule("classifier")

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and feature maps."""
        features: torch.Tensor = self.features(images).relu()
        return self.classifier(features.mean(dim=(2, 3))), features


def normalize(pixels: Pixels) -> torch.Tensor:
    """Return float32 [N, 3, 224, 224], normalized, for uint8 [N, 224, 224, 3] RGB, 0-255."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    return (images - mean) / torch.tensor(STANDARD_DEVIATION).view(1, 3, 1, 1)


def load_network(path: Path) -> nn.Module:
    """Return DenseNet-121 in evaluation mode, float32, with as many outputs as the file has.

    The network takes float32 [N, 3, 224, 224], normalized, and gives logits [N, classes].
    """
    state = _read_state(path)
    classes = state[_CLASSIFIER].shape[0]
    # On the meta device nothing is allocated or initialized only to be overwritten.
    with torch.device("meta"):
        network: nn.Module = densenet121(weights=None, num_classes=classes)
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1:2] or [str(error)]
        message = f"{path}: not a state_dict of DenseNet-121: {reason[0].strip()}"
        raise WeightsError(message) from error
    return network.eval().requires_grad_(requires_grad=False)


def class_weights(network: nn.Module) -> torch.Tensor:
    """Return the last layer's weights, float32 [classes, 1024]."""
    return network.get_parameter(_CLASSIFIER)


def count_classes(network: nn.Module) -> int:
    """Return the number of outputs of a network that `load_network` gave."""
    return class_weights(network).shape[0]


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    # Its unpickler reads any file as instructions and raises what they lead to, from EOFError
    # and IndexError to struct.error.
    except Exception as error:
        message = f"{path}: not a file of weights that torch.load reads with weights_only=True"
        raise WeightsError(message) from error
    tensors = isinstance(state, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    )
    if not tensors or _CLASSIFIER not in state or state[_CLASSIFIER].dim() != 2:
        message = (
            f"{path}: not a state_dict of DenseNet-121 (no matrix {_CLASSIFIER!r}); "
            "write it with torch.save(model.state_dict(), path)"
        )
        raise WeightsError(message)
    state_dict = {_OLD_KEY.sub(r"\1\2", key): _as_float32(value) for key, value in state.items()}
    if not all(bool(torch.isfinite(value).all()) for value in state_dict.values()):
        message = f"{path}: some weights are not finite numbers"
        raise WeightsError(message)
    return state_dict


def _as_float32(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value

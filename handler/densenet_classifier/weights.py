"""Weights: what is known about the official ones, and a network from any DenseNet-121 file.

`IMAGENET1K_V1` owns every fact about torchvision's file; nothing repeats a number from it.
`load_network` reads a state_dict without running code from it and raises `WeightsError` for
whatever is not one of DenseNet-121.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import densenet121


class WeightsError(ValueError):
    """The file is no state_dict of a DenseNet-121, or not the file it should be."""


@dataclass(frozen=True)
class WeightsRecord:
    """A published weights file. Accuracy in percent on the ImageNet-1k validation set."""

    name: str
    url: str
    sha256_prefix: str
    classes: int
    parameters: int
    top1_percent: float
    top5_percent: float

    @property
    def file_name(self) -> str:
        """Name of the file at `url`, the one it also has in the model store."""
        return self.url.rsplit("/", 1)[-1]


# Source: torchvision.models.DenseNet121_Weights.IMAGENET1K_V1 (a test compares each value).
IMAGENET1K_V1 = WeightsRecord(
    name="imagenet1k-v1",
    url="https://download.pytorch.org/models/densenet121-a639ec97.pth",
    sha256_prefix="a639ec97",
    classes=1000,
    parameters=7_978_856,
    top1_percent=74.434,
    top5_percent=91.972,
)

# torchvision's file was written when a dense layer's parts were called `norm.1`, `conv.2` ...
_OLD_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")
_CLASSIFIER = "classifier.weight"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def count_classes(network: nn.Module) -> int:
    """Return the number of outputs of a network that `load_network` gave."""
    return network.get_parameter(_CLASSIFIER).shape[0]


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

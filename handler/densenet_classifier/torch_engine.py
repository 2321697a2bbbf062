"""DenseNet-121 in PyTorch: the engine on a GPU, and the reference on a CPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from densenet_classifier.engine import Outputs, require_precision
from densenet_classifier.images import Pixels
from densenet_classifier.network import LogitsAndFeatures, load_network, normalize

_TYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "float16": torch.float16}


class TorchEngine:
    """The network in eager mode, channels_last, on one device."""

    name = "torch"
    batch = 32  # fills a GPU, and costs 20 MB

    def __init__(self, network: nn.Module, precision: str = "float32", device: str = "cpu") -> None:
        self.precision = precision
        self.device = device
        # channels_last is the layout the pixels already have, and 1.8 times as fast on a CPU.
        self._network = LogitsAndFeatures(network.to(memory_format=torch.channels_last)).to(
            device, _TYPES[precision]
        )

    @classmethod
    def load(cls, weights: Path, precision: str, device: str) -> "TorchEngine":
        """Load a file of weights; `auto` is half precision on a GPU and float32 on a CPU."""
        if device == "mps" and not torch.backends.mps.is_available():
            device = "cpu"
        # Of the two halves float16 has the finer steps; the network's values are within its range.
        available = ["float32", "bf16"] if device == "cpu" else ["float16", "bf16", "float32"]
        chosen = available[0] if precision == "auto" else precision
        require_precision(cls.name, chosen, available)
        return cls(load_network(weights), chosen, device)

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        """Run 1 to `batch` images, uint8 [224, 224, 3] RGB."""
        with torch.inference_mode():
            inputs = normalize(np.stack(images)).to(self.device, _TYPES[self.precision])
            logits, maps = self._network(inputs)
            return Outputs(
                logits.float().cpu().numpy(), maps.float().cpu().numpy() if features else None
            )

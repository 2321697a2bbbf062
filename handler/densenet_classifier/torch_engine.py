"""DenseNet-121 in PyTorch: the engine on a GPU, and the reference on a CPU."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from densenet_classifier.cores import Cores
from densenet_classifier.engine import Outputs, require_precision
from densenet_classifier.images import CROP, Pixels
from densenet_classifier.network import LogitsAndFeatures, load_network, normalize

logger = logging.getLogger(__name__)

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
    def load(
        cls, weights: Path, precision: str, device: str, cores: Cores | None = None
    ) -> "TorchEngine":
        """Load a file of weights and run it once, on a CPU with this worker's share of `cores`.

        `auto` is half precision on a GPU and float32 on a CPU.
        """
        # Of the two halves float16 has the finer steps; the network's values are within its range.
        available = ["float32", "bf16"] if device == "cpu" else ["float16", "bf16", "float32"]
        chosen = available[0] if precision == "auto" else precision
        require_precision(cls.name, chosen, available)
        if device == "cpu" and cores is not None:
            torch.set_num_threads(min(cores.counts()))
        engine = cls(load_network(weights), chosen, device)
        engine.run([np.zeros((CROP, CROP, 3), np.uint8)], features=True)
        return engine

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        """Run 1 to `batch` images, uint8 [224, 224, 3] RGB."""
        with torch.inference_mode():
            inputs = normalize(np.stack(images)).to(self.device, _TYPES[self.precision])
            logits, maps = self._network(inputs)
            return Outputs(
                logits.float().cpu().numpy(), maps.float().cpu().numpy() if features else None
            )


def usable_device(gpu: int | None) -> str:
    """Return the GPU, TorchServe's number of it or Apple's, or the CPU where torch has none."""
    if gpu is not None and torch.cuda.is_available():
        return f"cuda:{gpu}"
    if torch.backends.mps.is_available():
        return "mps"
    if gpu is not None:
        logger.warning("TorchServe sees a GPU that this torch cannot use; using the CPU")
    return "cpu"

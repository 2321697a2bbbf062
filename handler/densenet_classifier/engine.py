"""What runs the network: images in, logits and feature maps out; two engines, one interface.

OpenVINO on a CPU, PyTorch on a GPU and as the reference. `load_engine` takes the one that the
settings name, or for `auto` the one that suits the machine, and imports nothing of the other.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from densenet_classifier.cores import Cores
from densenet_classifier.images import Pixels
from densenet_classifier.settings import Settings, SettingsError

WEIGHTS_FILE = "weights.pth"
MODEL_FILE = "network.xml"
INT8_MODEL_FILE = "network-int8.xml"

Array = npt.NDArray[np.float32]


class Outputs(NamedTuple):
    """Logits, float32 [N, classes], and where they were asked for features [N, 1024, 7, 7]."""

    logits: Array
    features: Array | None


class Engine(Protocol):
    """A loaded network. `batch` is how many images it takes at a time."""

    name: str
    precision: str
    device: str
    batch: int

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        """Run 1 to `batch` images, uint8 [224, 224, 3] RGB."""


def load_engine(folder: Path, settings: Settings, cores: Cores, gpu: int | None) -> Engine:
    """Return the engine for the unpacked archive in `folder`.

    `gpu` is the number of the GPU that TorchServe gave to this worker. Raises `SettingsError`
    where the settings ask for what cannot be had here.
    """
    # TorchServe counts no Apple GPU.
    gpu_expected = gpu is not None or sys.platform == "darwin"
    if settings.engine == "torch" or (settings.engine == "auto" and gpu_expected):
        # Importing torch costs half a gigabyte.
        from densenet_classifier.torch_engine import TorchEngine, usable_device  # noqa: PLC0415

        device = usable_device(gpu)
        if settings.engine == "torch" or device != "cpu":
            return TorchEngine.load(folder / WEIGHTS_FILE, settings.precision, device, cores)
    from densenet_classifier.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine.load(folder, settings.precision, cores)


def require_precision(engine: str, precision: str, available: Sequence[str]) -> None:
    """Raise `SettingsError` unless the engine has the precision here."""
    if precision not in available:
        message = (
            f"handler: the engine {engine} does not have precision {precision} here, with this "
            f"archive and machine; it has {', '.join(available)}"
        )
        raise SettingsError(message)

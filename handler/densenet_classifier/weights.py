"""Weights: what is known about the official ones, and the hash that tells files apart.

`IMAGENET1K_V1` owns every fact about torchvision's file; nothing repeats a number from it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path


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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What every server must answer: PyTorch in float32 with the transform of PyTorch's tutorial.

The tutorial ("Deploying PyTorch in Python via a REST API with Flask") resizes the shorter side to
255 and cuts the central 224 x 224.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms

from archive_builder.command import CommandError
from benchmarks.labels import class_names
from densenet_classifier.network import MEAN, STANDARD_DEVIATION, load_network

# Classes whose probabilities differ by less have no order that arithmetic could tell: the demo
# weights give all classes that they do not know the same.
_TIE = 1e-6
_BATCH = 8
TUTORIAL_TRANSFORM = transforms.Compose(
    [
        transforms.Resize(255),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STANDARD_DEVIATION),
    ]
)


@dataclass(frozen=True)
class Agreement:
    """How many of the photographs were answered with the reference's top-1 class."""

    equal: int
    total: int

    @property
    def good_enough(self) -> bool:
        """At most one of 32 may differ: bf16 changes 0.4 % of top-1 answers."""
        return self.total - self.equal <= max(1, self.total // 32)

    def __str__(self) -> str:
        return f"{self.equal}/{self.total}"


class Reference:
    """For each photograph the names that are right: one, or those that tie."""

    def __init__(self, weights: Path, photographs: Sequence[bytes]) -> None:
        names = class_names()
        self._names: list[set[str]] = []
        self._photographs = photographs
        # channels_last: the same sums, in half the time.
        network = load_network(weights).to(memory_format=torch.channels_last)
        for at in range(0, len(photographs), _BATCH):
            pixels = torch.stack([_tensor(content) for content in photographs[at : at + _BATCH]])
            with torch.inference_mode():
                rows = network(pixels).softmax(dim=1)
            for probabilities in rows:
                right = (probabilities >= probabilities.max() - _TIE).nonzero().flatten()
                self._names.append({names[int(index)] for index in right})

    def compare(self, ask: Callable[[bytes], str]) -> Agreement:
        """Ask for every photograph and count the right names."""
        answers = [ask(content) for content in self._photographs]
        pairs = zip(answers, self._names, strict=True)
        return Agreement(sum(answer in right for answer, right in pairs), len(answers))


def _tensor(content: bytes) -> torch.Tensor:
    """Return float32 [3, 224, 224], normalized."""
    with Image.open(io.BytesIO(content)) as image:
        tensor: torch.Tensor = TUTORIAL_TRANSFORM(image.convert("RGB"))
    return tensor


def require_agreement(row: str, agreement: Agreement) -> None:
    """Raise `CommandError` when a row answers something else than the reference."""
    if not agreement.good_enough:
        message = (
            f"{row} gives the reference's answer for only {agreement} photographs: "
            "what it answers wrong, it may answer fast"
        )
        raise CommandError(message)

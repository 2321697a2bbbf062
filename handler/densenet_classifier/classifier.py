"""The unpacked archive in, a classifier out: pixels of N images -> one label each.

`Classifier.load` reads the three files that the archive holds beside the code and checks them
against each other, so that a damaged or mixed-up archive fails at load with a clear error:
`archive.json` (what the archive was built from), `weights.pth` and `index_to_name.json`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densenet_classifier import __version__
from densenet_classifier.images import Pixels
from densenet_classifier.labels import Label, load_labels
from densenet_classifier.network import Probabilities, TorchEngine
from densenet_classifier.weights import WeightsError, count_classes, load_network, sha256_of

ARCHIVE_FILE = "archive.json"
WEIGHTS_FILE = "weights.pth"
LABELS_FILE = "index_to_name.json"


@dataclass(frozen=True)
class Classifier:
    """A network with its labels.

    `weights` is `demo`, `imagenet1k-v1`, or `custom:` and the first 12 digits of the SHA-256.
    """

    engine: TorchEngine
    labels: tuple[Label, ...]
    weights: str
    weights_sha256: str

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load the unpacked archive in `folder`.

        Raises `WeightsError` or `LabelsError` for files that do not belong together.
        """
        identity = json.loads((folder / ARCHIVE_FILE).read_text(encoding="utf-8"))["weights"]
        found = sha256_of(folder / WEIGHTS_FILE)
        if found != identity["sha256"]:
            message = f"{WEIGHTS_FILE} has SHA-256 {found}, the archive says {identity['sha256']}"
            raise WeightsError(message)
        network = load_network(folder / WEIGHTS_FILE)
        labels = load_labels(folder / LABELS_FILE, count_classes(network))
        return cls(TorchEngine(network), labels, identity["name"], found)

    def probabilities(self, images: list[Pixels]) -> list[Probabilities]:
        """Return one row of probabilities [classes] for each uint8 [224, 224, 3] image."""
        return list(self.engine.probabilities(np.stack(images))) if images else []

    def label(self, probabilities: Probabilities) -> Label:
        """Return the label of the most probable class; `probabilities` is [classes]."""
        return self.labels[int(probabilities.argmax())]

    def describe(self) -> dict[str, Any]:
        """Return what is served: version, weights, engine, precision, number of classes."""
        return {
            "version": __version__,
            "weights": {"name": self.weights, "sha256": self.weights_sha256},
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "classes": len(self.labels),
        }

"""The unpacked archive in, a classifier out: pixels of N images -> one entry of the answer each.

`Classifier.load` reads the three files that the archive holds beside the code and checks them
against each other, so that a damaged or mixed-up archive fails at load with a clear error:
`archive.json` (what the archive was built from), `weights.pth` and `index_to_name.json`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from densenet_classifier import __version__
from densenet_classifier.errors import InvalidOptionError
from densenet_classifier.gradcam import FeatureMaps, GradCam, HeatMap
from densenet_classifier.images import Pixels
from densenet_classifier.labels import Label, load_labels
from densenet_classifier.network import Probabilities, TorchEngine, in_batches
from densenet_classifier.weights import WeightsError, count_classes, load_network, sha256_of

ARCHIVE_FILE = "archive.json"
WEIGHTS_FILE = "weights.pth"
LABELS_FILE = "index_to_name.json"


@dataclass(frozen=True)
class Classifier:
    """A network with its labels.

    `weights` is `demo`, `imagenet1k-v1`, or `custom:` and the first 12 digits of the SHA-256.
    """

    folder: Path
    model_name: str
    engine: TorchEngine
    labels: tuple[Label, ...]
    weights: str
    weights_sha256: str

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load the unpacked archive in `folder`.

        Raises `WeightsError` or `LabelsError` for files that do not belong together.
        """
        record = json.loads((folder / ARCHIVE_FILE).read_text(encoding="utf-8"))
        identity = record["weights"]
        found = sha256_of(folder / WEIGHTS_FILE)
        if found != identity["sha256"]:
            message = f"{WEIGHTS_FILE} has SHA-256 {found}, the archive says {identity['sha256']}"
            raise WeightsError(message)
        network = load_network(folder / WEIGHTS_FILE)
        labels = load_labels(folder / LABELS_FILE, count_classes(network))
        engine = TorchEngine(network)
        return cls(folder, record["model_name"], engine, labels, identity["name"], found)

    def probabilities(self, images: Sequence[Pixels]) -> list[Probabilities]:
        """Return one row of probabilities [classes] for each uint8 [224, 224, 3] image."""
        return [row for batch in in_batches(images) for row in self.engine.probabilities(batch)]

    def features(self, images: Sequence[Pixels]) -> list[FeatureMaps]:
        """Return what `heat_map` needs of each uint8 [224, 224, 3] image."""
        return self._grad_cam.features(images)

    def heat_map(self, features: FeatureMaps, index: int) -> HeatMap:
        """Return where an image speaks for a class, float32 [224, 224] in 0-1."""
        return self._grad_cam.heat_map(features, index)

    def most_probable(self, probabilities: Probabilities, count: int) -> list[int]:
        """Return the indices of the `count` most probable classes, all where there are fewer."""
        return [int(index) for index in np.argsort(-probabilities, kind="stable")[:count]]

    def index_of(self, class_id: str) -> int:
        """Return the index of a class; raise `InvalidOptionError` where there is none."""
        if class_id not in self._indices:
            raise InvalidOptionError(f"target: this model has no class {class_id[:40]!r}.")
        return self._indices[class_id]

    @cached_property
    def _grad_cam(self) -> GradCam:
        # Loaded when the first explanation is asked for: most servers never explain.
        return GradCam(load_network(self.folder / WEIGHTS_FILE))

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {label.class_id: index for index, label in enumerate(self.labels)}

    def describe(self) -> dict[str, Any]:
        """Return what is served: version, weights, engine, precision, number of classes."""
        return {
            "version": __version__,
            "weights": {"name": self.weights, "sha256": self.weights_sha256},
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "classes": len(self.labels),
        }

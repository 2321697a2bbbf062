"""The unpacked archive in, a classifier out: pixels of N images -> what the network says of each.

`Classifier.load` reads what the archive holds beside the code and checks it against
`archive.json`, the record of what it was built from, so that a damaged or mixed-up archive fails
at load with a clear error.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densenet_classifier import __version__
from densenet_classifier.cores import Cores
from densenet_classifier.engine import WEIGHTS_FILE, Engine, load_engine
from densenet_classifier.errors import InvalidOptionError
from densenet_classifier.gradcam import FeatureMaps, HeatMap, heat_map
from densenet_classifier.images import Pixels
from densenet_classifier.labels import Label, load_labels
from densenet_classifier.settings import Settings
from densenet_classifier.weights import WeightsError, sha256_of

ARCHIVE_FILE = "archive.json"
LABELS_FILE = "index_to_name.json"
NETWORK_FILE = "network.json"  # SHA-256 of what was made from the weights
CLASS_WEIGHTS_FILE = "classifier.npy"  # the last layer's, float32 [classes, 1024]

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Finding:
    """What the network says about one image: `pixels` is uint8 [224, 224, 3].

    `probabilities` is float32 [classes]; `features` is None where nothing is to be explained.
    """

    pixels: Pixels
    probabilities: Probabilities
    features: FeatureMaps | None


@dataclass(frozen=True)
class Classifier:
    """A network with its labels.

    `weights` is `demo`, `imagenet1k-v1`, or `custom:` and the first 12 digits of the SHA-256.
    """

    model_name: str
    engine: Engine
    labels: tuple[Label, ...]
    class_weights: npt.NDArray[np.float32]
    weights: str
    weights_sha256: str

    @classmethod
    def load(
        cls,
        folder: Path,
        settings: Settings | None = None,
        cores: Cores | None = None,
        gpu: int | None = None,
    ) -> "Classifier":
        """Load the unpacked archive in `folder`.

        Raises `WeightsError` or `LabelsError` for files that do not belong together, and
        `SettingsError` for an engine or a precision that cannot be had.
        """
        record = json.loads((folder / ARCHIVE_FILE).read_text(encoding="utf-8"))
        identity = record["weights"]
        _require(folder / WEIGHTS_FILE, identity["sha256"])
        made = json.loads((folder / NETWORK_FILE).read_text(encoding="utf-8"))
        if made["weights"] != identity["sha256"]:
            message = f"{NETWORK_FILE} is of the weights {made['weights']}, not of the archive's"
            raise WeightsError(message)
        for name, sha256 in made["files"].items():
            _require(folder / name, sha256)
        class_weights = np.load(folder / CLASS_WEIGHTS_FILE, mmap_mode="r")
        labels = load_labels(folder / LABELS_FILE, len(class_weights))
        engine = load_engine(folder, settings or Settings(), cores or Cores(folder), gpu)
        return cls(
            record["model_name"],
            engine,
            labels,
            class_weights,
            identity["name"],
            identity["sha256"],
        )

    def classify(self, images: Sequence[Pixels], explain: Sequence[bool]) -> list[Finding]:
        """Return the findings about at most `engine.batch` images, uint8 [224, 224, 3].

        `explain` says of each whether `heat_map` will be asked for.
        """
        logits, features = self.engine.run(images, features=any(explain))
        return [
            Finding(
                image, row, features[index] if features is not None and explain[index] else None
            )
            for index, (image, row) in enumerate(zip(images, softmax(logits), strict=True))
        ]

    def heat_map(self, finding: Finding, index: int) -> HeatMap:
        """Return where an image speaks for a class, float32 [224, 224] in 0-1."""
        if finding.features is None:
            raise ValueError("the image was classified without explanation")
        return heat_map(finding.features, self.class_weights[index])

    def most_probable(self, probabilities: Probabilities, count: int) -> list[int]:
        """Return the indices of the `count` most probable classes, all where there are fewer."""
        return [int(index) for index in np.argsort(-probabilities, kind="stable")[:count]]

    def index_of(self, class_id: str) -> int:
        """Return the index of a class; raise `InvalidOptionError` where there is none."""
        if class_id not in self._indices:
            raise InvalidOptionError(f"target: this model has no class {class_id[:40]!r}.")
        return self._indices[class_id]

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
            "device": self.engine.device,
            "classes": len(self.labels),
        }


def softmax(logits: npt.NDArray[np.float32]) -> Probabilities:
    """Return probabilities, float32 [N, classes], for logits of the same shape."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return result


def _require(path: Path, sha256: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        message = f"{path.name} has SHA-256 {found}, the archive says {sha256}"
        raise WeightsError(message)

"""The handler as a worker has it, with a network that costs nothing in the place of DenseNet-121.

Everything a request passes through is the service's own; only the run of the network, 10 ms of
100, is a matrix of 147 x 1000: a different answer to every picture, the same to equal ones. With
an archive the real network runs.
"""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from archive_builder import LABELS, MODEL_NAME
from archive_builder.model_configuration import model_configuration
from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
from densenet_classifier.cores import Cores
from densenet_classifier.engine import Array, Outputs
from densenet_classifier.images import Pixels
from densenet_classifier.labels import load_labels
from densenet_classifier.openapi import openapi_document
from densenet_classifier.page import render
from densenet_classifier.settings import Settings
from evaluation.archives import unpacked
from torchserve_telemetry import Telemetry

_CLASSES = 1000
_FEATURES = 1024
_GRID = 7  # feature maps are 7 x 7


class StandIn:
    """An engine whose logits are a fixed mixture of the picture's colours."""

    name = "stand-in"
    precision = "float32"
    device = "cpu"
    batch = 4

    def __init__(self) -> None:
        mixer = np.random.default_rng(121)
        inputs = _GRID * _GRID * 3
        self._weights = mixer.normal(0, 0.05, (inputs, _CLASSES)).astype(np.float32)

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        """Run as many images as are given, uint8 [224, 224, 3] RGB."""
        # Each by itself: what is beside it must not show in its last digit.
        grids = [_grid(image) for image in images]
        logits = np.stack([grid.reshape(-1) @ self._weights for grid in grids])
        return Outputs(logits, np.stack([_maps(grid) for grid in grids]) if features else None)


def _grid(image: Pixels) -> Array:
    some = image[::4, ::4]
    side = some.shape[0] // _GRID
    cells = some.reshape(_GRID, side, _GRID, side, 3).mean(axis=(1, 3))
    result: Array = cells.astype(np.float32)
    return result


def _maps(grid: Array) -> Array:
    maps = np.zeros((_FEATURES, _GRID, _GRID), np.float32)
    maps[:3] = grid.transpose(2, 0, 1)
    return maps


def context_of(folder: Path, configuration: Any = None) -> Any:  # noqa: ANN401
    """Return TorchServe's context of a worker that serves the archive unpacked in the folder."""
    with warnings.catch_warnings():
        # `ts/version.py` leaves a file open.
        warnings.simplefilter("ignore", ResourceWarning)
        torchserve: ModuleType = importlib.import_module("ts.context")
    return torchserve.Context(
        MODEL_NAME, str(folder), {}, 8, None, "", model_yaml_config=configuration or {}
    )


def stand_in_handler(folder: Path) -> DenseNet121Handler:
    """Return a handler with the stand-in; `folder` is one of its own for its locks."""
    handler = DenseNet121Handler()
    handler.settings = Settings()
    handler.time_s = float(model_configuration()["responseTimeout"])
    handler.cores = Cores(folder, total=1)
    weights = np.random.default_rng(7).normal(0, 1, (_CLASSES, _FEATURES)).astype(np.float32)
    labels = load_labels(LABELS, _CLASSES)
    handler.classifier = Classifier(MODEL_NAME, StandIn(), labels, weights, "demo", "0" * 64)
    handler.page = render(MODEL_NAME, "demo")
    handler.openapi = openapi_document(MODEL_NAME)
    handler.telemetry = Telemetry(context_of(folder))
    return handler


@contextmanager
def handler_of(archive: Path | None, folder: Path) -> Iterator[DenseNet121Handler]:
    """Yield the handler of an archive, or where there is none that with the stand-in."""
    if archive is None:
        yield stand_in_handler(folder)
        return
    with unpacked(archive) as files:
        # As many workers as cores: each has one thread.
        handler = DenseNet121Handler()
        handler.initialize(context_of(files, model_configuration()))
        yield handler

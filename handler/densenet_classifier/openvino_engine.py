"""DenseNet-121 in OpenVINO, for CPUs: the archive's own models, compiled when a worker starts.

The models take uint8 [N, 224, 224, 3] RGB; scaling and layout are part of them. Every size of
batch that is used, and every number of threads, is compiled and run once before the worker is
READY, so that no request waits for it. Throughput hardly depends on the size of the batch
(docs/PERFORMANCE.md), so there are two; the rest of a batch goes one by one.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from densenet_classifier.cores import Cores
from densenet_classifier.engine import (
    INT8_MODEL_FILE,
    MODEL_FILE,
    Outputs,
    require_precision,
)
from densenet_classifier.images import CROP, Pixels
from densenet_classifier.openvino_runtime import openvino

_SIZES = (1, 4)

logger = logging.getLogger(__name__)

Requests = dict[int, openvino.InferRequest]  # by size of batch


class OpenVinoEngine:
    """One model, compiled for each number of threads that it may be given."""

    name = "openvino"
    device = "cpu"
    batch = max(_SIZES)

    def __init__(self, model: Path, precision: str, cores: Cores) -> None:
        self.precision = precision
        self._model = model
        self._cores = cores
        self._compiled: dict[int, Requests] = {}  # by number of threads
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._asked: set[int] = set()
        self._compile()

    @classmethod
    def load(cls, folder: Path, precision: str, cores: Cores) -> "OpenVinoEngine":
        """Load what the unpacked archive in `folder` holds, in `precision` or the fastest."""
        available = available_precisions(folder)
        chosen = available[0] if precision == "auto" else precision
        require_precision(cls.name, chosen, available)
        name = INT8_MODEL_FILE if chosen == "int8" else MODEL_FILE
        return cls(folder / name, chosen, cores)

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        """Run 1 to `batch` images, uint8 [224, 224, 3] RGB."""
        requests = self._requests(self._cores.now())
        size = len(images) if len(images) in requests else 1
        runs = [
            _infer(requests[size], np.stack(images[at : at + size]), features=features)
            for at in range(0, len(images), size)
        ]
        maps = [each.features for each in runs if each.features is not None]
        return Outputs(
            np.concatenate([each.logits for each in runs]), np.concatenate(maps) if maps else None
        )

    def _requests(self, threads: int) -> Requests:
        compiled = self._compiled
        if threads not in compiled and threads not in self._asked:
            # Workers came or went. Until this is done, the next smaller number has to do.
            self._asked.add(threads)
            self._compiler.submit(self._compile_or_log)
        fewer = [count for count in compiled if count <= threads]
        return compiled[max(fewer) if fewer else min(compiled)]

    def _compile_or_log(self) -> None:
        try:
            self._compile()
        # Nobody waits for this thread: without the new models the old ones go on.
        except Exception:
            logger.exception("Compiling for another number of threads failed")
            self._asked = set(self._compiled)

    def _compile(self) -> None:
        counts = self._cores.counts()
        new = {count: self._compiled.get(count) or self._compile_for(count) for count in counts}
        self._compiled = new
        self._asked = set(counts)

    def _compile_for(self, threads: int) -> Requests:
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": hint_of(self.precision),
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Every worker would take the first cores for its own.
            "ENABLE_CPU_PINNING": False,
        }
        requests = {}
        for size in _SIZES:
            model = core.read_model(self._model)
            model.reshape([size, CROP, CROP, 3])
            requests[size] = core.compile_model(model, "CPU", options).create_infer_request()
            _infer(requests[size], np.zeros((size, CROP, CROP, 3), np.uint8), features=True)
        return requests


def available_precisions(folder: Path) -> list[str]:
    """Return what this CPU can run of the unpacked archive in `folder`, the fastest first."""
    precisions = ["bf16", "float32"] if _has_bf16() else ["float32"]
    return ["int8", *precisions] if (folder / INT8_MODEL_FILE).exists() else precisions


def hint_of(precision: str) -> str:
    """Return OpenVINO's precision hint; what an int8 model leaves in float runs in the fastest."""
    return "bf16" if precision == "bf16" or (precision == "int8" and _has_bf16()) else "f32"


def _has_bf16() -> bool:
    # The hint is accepted by CPUs that only imitate bf16, slowly; the capability is not theirs.
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _infer(request: openvino.InferRequest, pixels: Pixels, *, features: bool) -> Outputs:
    # The outputs lie in the request's own memory, which its next run overwrites.
    logits, maps = request.infer([pixels], share_inputs=True, share_outputs=True).values()
    return Outputs(logits.copy(), maps.copy() if features else None)

"""The rival that an expert would write: LitServe with our own OpenVINO model and decoder.

`POST /predict` with the photograph as the body. One worker a core, one thread each; every batch
size has a compiled network of its own, as a dynamic one is slower.
"""

import argparse
from pathlib import Path
from typing import Annotated, Any

import litserve
import numpy as np
import numpy.typing as npt
from fastapi import Body

from benchmarks.labels import class_names
from benchmarks.raw import compile_network
from densenet_classifier.images import Pixels, decode
from densenet_classifier.openvino_runtime import openvino
from densenet_classifier.settings import Settings


class Api(litserve.LitAPI):  # type: ignore[misc]  # no types
    """Decode, classify, name."""

    def __init__(self, network: Path, precision: str, batch: int, timeout_s: float) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=timeout_s)
        self._path = network
        self._precision = precision

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's interface
        """Compile and warm the network for every batch size."""
        core = openvino.Core()
        self._networks = {
            size: compile_network(
                core, self._path, self._precision, size, streams=1, threads=1, pinned=False
            )
            for size in range(1, self.max_batch_size + 1)
        }
        for size, network in self._networks.items():
            network(np.zeros((size, 224, 224, 3), np.uint8))
        self._names = class_names()
        self._settings = Settings()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> Pixels:
        """Decode one photograph: uint8 [224, 224, 3]."""
        return decode(request, self._settings)

    def batch(self, inputs: list[Pixels]) -> Pixels:
        """Stack to uint8 [N, 224, 224, 3]."""
        return np.stack(inputs)

    def predict(self, x: Pixels) -> npt.NDArray[np.intp] | int:
        """Return the index of the best class, of each of a batch or of the one image."""
        pixels = x if x.ndim == 4 else x[None]
        best = self._networks[len(pixels)](pixels)[0].argmax(axis=1)
        return best if x.ndim == 4 else int(best[0])

    def unbatch(self, output: npt.NDArray[np.intp]) -> list[int]:
        """Return the indices one by one."""
        return [int(index) for index in output]

    def encode_response(self, output: int) -> dict[str, Any]:
        """Answer `{"class_name": ...}`."""
        return {"class_name": self._names[output]}


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--timeout-s", type=float, required=True)
    options = parser.parse_args()
    api = Api(options.network, options.precision, options.batch, options.timeout_s)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=options.workers, timeout=60
    )
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()

"""What an image's probabilities owe to its neighbours, its place among them and the threads."""

from pathlib import Path

import numpy as np
import pytest

from densenet_classifier.classifier import Probabilities, softmax
from densenet_classifier.cores import Cores
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_engine import OpenVinoEngine, available_precisions

# Of a probability. On the CPUs that were measured it is 0; the kernels of others may add up one
# image of four in another order than one alone.
TOLERANCE = 0.0001


class Run:
    """An engine of one of two workers that share two cores."""

    def __init__(self, folder: Path, precision: str, shared: Path) -> None:
        self._cores = Cores(shared, workers=2, total=2)
        self._engine = OpenVinoEngine.load(folder, precision, self._cores)

    def __call__(self, images: list[Pixels], threads: int) -> Probabilities:
        with self._cores.at_work(1 if threads == 2 else 2):
            assert self._cores.now() == threads
            return softmax(self._engine.run(images, features=False).logits)


@pytest.fixture(scope="module", params=["float32", "bf16"])
def run(
    request: pytest.FixtureRequest, unpacked: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    if request.param not in available_precisions(unpacked):
        pytest.skip(f"this CPU has no {request.param}")
    return Run(unpacked, request.param, tmp_path_factory.mktemp("cores"))


def test_the_answer_is_the_same_in_any_company(run: Run, pixels: list[Pixels]) -> None:
    alone = [run([image], threads=2)[0] for image in pixels]
    for threads in (1, 2):
        for count in range(1, 5):
            for first in range(len(pixels)):
                places = [(first + place) % len(pixels) for place in range(count)]
                together = run([pixels[place] for place in places], threads)
                for place, found in zip(places, together, strict=True):
                    assert np.abs(found - alone[place]).max() <= TOLERANCE


def test_the_same_run_ends_in_the_same_digits(run: Run, pixels: list[Pixels]) -> None:
    for count in (1, 4):
        first = run(pixels[:count], threads=2)
        run(pixels[-count:], threads=2)
        assert np.array_equal(run(pixels[:count], threads=2), first)

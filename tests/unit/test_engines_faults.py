"""What an engine does when compiling for another number of threads fails beside the requests."""

import time
from pathlib import Path

import pytest

from densenet_classifier import openvino_engine
from densenet_classifier.cores import Cores
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_engine import OpenVinoEngine

pytestmark = pytest.mark.usefixtures("one_thread")
TIMEOUT_S = 60


def test_a_failed_compilation_costs_no_request_and_is_tried_again(
    unpacked: Path,
    tmp_path: Path,
    pixels: list[Pixels],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cores = Cores(tmp_path, total=2)
    engine = OpenVinoEngine.load(unpacked, "float32", cores)
    genuine = engine._compile_for
    deadline = time.monotonic() + TIMEOUT_S

    def fail(_: int) -> openvino_engine.Requests:
        raise RuntimeError("no memory")

    def run() -> None:
        assert len(engine.run(pixels[:1], features=False).logits) == 1
        assert time.monotonic() < deadline
        time.sleep(0.01)

    # A sibling has come and is at work: half of the cores are left.
    with Cores(tmp_path, total=2).at_work(1), cores.at_work(1):
        monkeypatch.setattr(engine, "_compile_for", fail)
        while "no memory" not in caplog.text:
            run()
        assert set(engine._compiled) == {2}
        monkeypatch.setattr(engine, "_compile_for", genuine)
        while set(engine._compiled) != {1, 2}:
            run()

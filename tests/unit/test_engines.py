"""Both engines, and which of them is chosen."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from archive_builder import ROOT
from densenet_classifier import openvino_engine
from densenet_classifier.cores import Cores
from densenet_classifier.engine import Engine, load_engine
from densenet_classifier.images import Pixels
from densenet_classifier.network import LogitsAndFeatures, load_network, normalize
from densenet_classifier.openvino_engine import OpenVinoEngine, available_precisions, hint_of
from densenet_classifier.settings import Settings, SettingsError
from densenet_classifier.torch_engine import TorchEngine

pytestmark = pytest.mark.usefixtures("one_thread")

Load = Callable[..., Engine]


@pytest.fixture(scope="module")
def load(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function `load(engine, precision, gpu=None)`."""

    def _load(engine: str, precision: str, gpu: int | None = None) -> Engine:
        cores = Cores(tmp_path_factory.mktemp("cores"), total=1)
        return load_engine(unpacked, Settings(engine=engine, precision=precision), cores, gpu)

    return _load


@pytest.fixture(scope="module", params=["openvino", "torch"])
def engine(request: pytest.FixtureRequest, load: Load) -> Engine:
    return load(request.param, "float32")


@pytest.fixture(scope="module")
def images(pixels: list[Pixels]) -> list[Pixels]:
    """Eight pictures, five that are known and three of noise."""
    noise = np.random.default_rng(5).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    return [*pixels, *noise]


@pytest.fixture(scope="module")
def reference(network_file: Path, images: list[Pixels]) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        network = LogitsAndFeatures(load_network(network_file))
        logits, features = network(normalize(np.stack(images)))
        return logits, features


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_outputs_are_those_of_pytorch(
    count: int, engine: Engine, images: list[Pixels], reference: tuple[torch.Tensor, torch.Tensor]
) -> None:
    outputs = engine.run(images[-count:], features=True)
    assert outputs.features is not None
    for found, expected in zip(outputs, reference, strict=True):
        assert found is not None
        assert found.dtype == np.float32
        assert np.abs(found - expected[-count:].numpy()).max() < 1e-3


def test_features_are_given_only_when_they_are_asked_for(
    engine: Engine, images: list[Pixels]
) -> None:
    assert engine.run(images[:1], features=False).features is None


def test_outputs_outlive_the_next_run(engine: Engine, images: list[Pixels]) -> None:
    first = engine.run(images[:1], features=True)
    assert first.features is not None
    before = first.logits.copy(), first.features.copy()
    engine.run(images[1:2], features=True)
    assert np.array_equal(first.logits, before[0])
    assert np.array_equal(first.features, before[1])


def test_the_pixels_are_left_as_they_were(engine: Engine, images: list[Pixels]) -> None:
    before = np.stack(images[:2])
    engine.run(images[:2], features=True)
    assert np.array_equal(np.stack(images[:2]), before)


@pytest.mark.parametrize(("name", "precision"), [("openvino", "bf16"), ("torch", "bf16")])
def test_bf16_is_close_to_float32(
    name: str,
    precision: str,
    load: Load,
    unpacked: Path,
    pixels: list[Pixels],
    reference: tuple[torch.Tensor, torch.Tensor],
) -> None:
    if name == "openvino" and precision not in available_precisions(unpacked):
        pytest.skip("this CPU has no bf16")
    engine = load(name, precision)
    logits = np.concatenate([engine.run([image], features=False).logits for image in pixels])
    expected = reference[0][: len(pixels)].numpy()
    assert engine.precision == precision
    assert np.array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
    assert 0 < np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()


# Which one.


def test_on_a_cpu_it_is_openvino_with_the_fastest_precision(load: Load, unpacked: Path) -> None:
    engine = load("auto", "auto")
    assert (engine.name, engine.device) == ("openvino", "cpu")
    assert engine.precision == available_precisions(unpacked)[0]


@pytest.mark.parametrize(
    ("capabilities", "int8", "expected"),
    [
        (["FP32", "BF16", "INT8"], False, ["bf16", "float32"]),
        (["FP32", "INT8"], False, ["float32"]),
        (["FP32", "BF16"], True, ["int8", "bf16", "float32"]),
        (["FP32"], True, ["int8", "float32"]),
    ],
)
def test_precisions_are_those_of_archive_and_cpu(
    capabilities: list[str],
    int8: bool,  # noqa: FBT001
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Core:
        def get_property(self, device: str, _: str) -> list[str]:
            assert device == "CPU"
            return capabilities

    monkeypatch.setattr("densenet_classifier.openvino_engine.openvino.Core", Core)
    if int8:
        (tmp_path / "network-int8.xml").touch()
    assert available_precisions(tmp_path) == expected
    # Some CPUs accept the hint and imitate bf16 slowly.
    assert hint_of("int8") == ("bf16" if "BF16" in capabilities else "f32")
    assert (hint_of("bf16"), hint_of("float32")) == ("bf16", "f32")


@pytest.mark.parametrize(
    ("asked", "model", "precision"),
    [
        ("auto", "network-int8.xml", "int8"),
        ("int8", "network-int8.xml", "int8"),
        ("bf16", "network.xml", "bf16"),
        ("float32", "network.xml", "float32"),
    ],
)
def test_each_precision_has_its_model(
    asked: str, model: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "network-int8.xml").touch()
    monkeypatch.setattr(openvino_engine, "_has_bf16", lambda: True)
    made: list[tuple[object, ...]] = []
    monkeypatch.setattr(OpenVinoEngine, "__init__", lambda _, *given: made.append(given))
    cores = Cores(tmp_path, total=1)
    OpenVinoEngine.load(tmp_path, asked, cores)
    assert made == [(tmp_path / model, precision, cores)]


def test_a_model_keeps_to_its_threads_on_whatever_core_is_free(
    unpacked: Path, tmp_path: Path
) -> None:
    engine = OpenVinoEngine.load(unpacked, "float32", Cores(tmp_path, workers=2, total=2))
    for threads, requests in engine._compiled.items():
        for size, request in requests.items():
            model = request.get_compiled_model()
            assert model.input(0).shape == [size, 224, 224, 3]
            options = {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "ENABLE_CPU_PINNING": False,
            }
            assert {name: model.get_property(name) for name in options} == options
            precision = model.get_property("INFERENCE_PRECISION_HINT")
            assert precision.get_type_name() == "f32"


def test_on_a_gpu_it_is_torch(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(TorchEngine, "load", lambda *arguments: asked.append(arguments[1:3]))
    load("auto", "auto", gpu=1)
    load("torch", "bf16", gpu=0)
    assert asked == [("auto", "cuda:1"), ("bf16", "cuda:0")]


def test_openvino_can_be_asked_for_on_a_gpus_machine(load: Load) -> None:
    assert load("openvino", "float32", gpu=0).name == "openvino"


def test_a_gpu_that_torch_cannot_use_does_not_keep_a_worker_from_loading(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (load("auto", "auto", gpu=0).name, load("torch", "auto", gpu=0).device) == (
        "openvino",
        "cpu",
    )
    assert "cannot use" in caplog.text


@pytest.mark.parametrize(("usable", "expected"), [(True, "mps"), (False, None)])
def test_apples_gpu_is_used_where_torch_has_it(
    usable: bool,  # noqa: FBT001
    expected: str | None,
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("densenet_classifier.engine.sys.platform", "darwin")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: usable)
    monkeypatch.setattr(TorchEngine, "load", lambda *arguments: asked.append(arguments[2]))
    engine = load("auto", "auto")
    assert asked == ([expected] if expected else [])
    assert usable or engine.name == "openvino"


def test_on_a_cpu_torch_keeps_to_the_workers_share(unpacked: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    cores = Cores(tmp_path, workers=4, total=8)
    try:
        load_engine(unpacked, Settings(engine="torch", precision="float32"), cores, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_a_gpu_runs_in_half_precision(
    device: str, network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []
    warm_ups = []
    monkeypatch.setattr(TorchEngine, "__init__", lambda _, __, *rest: chosen.append(rest))
    monkeypatch.setattr(TorchEngine, "run", lambda *_, features: warm_ups.append(features))
    for precision in ("auto", "float32", "bf16"):
        TorchEngine.load(network_file, precision, device)
    assert chosen == [("float16", device), ("float32", device), ("bf16", device)]
    assert warm_ups == [True] * 3  # so that the first explanation is as fast as the next


def test_on_a_cpu_torch_has_no_float16(network_file: Path) -> None:
    assert TorchEngine.load(network_file, "auto", "cpu").precision == "float32"
    with pytest.raises(SettingsError, match="does not have precision float16"):
        TorchEngine.load(network_file, "float16", "cpu")


def test_the_network_goes_where_it_is_told(network_file: Path) -> None:
    network = load_network(network_file)
    here = TorchEngine(network)
    assert (here.precision, here.device) == ("float32", "cpu")
    there = TorchEngine(network, "bf16", "meta")  # a device that holds nothing
    found = {(each.device.type, each.dtype) for each in there._network.parameters()}
    assert found == {("meta", torch.bfloat16)}


def test_the_pictures_go_where_the_network_is(network_file: Path, images: list[Pixels]) -> None:
    engine = TorchEngine(load_network(network_file), "bf16", "meta")
    seen = []

    def network(inputs: torch.Tensor) -> torch.Tensor:
        seen.append((inputs.device.type, inputs.dtype))
        raise RuntimeError("there is nothing on this device")

    engine._network = network  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="nothing on this device"):
        engine.run(images[:1], features=False)
    assert seen == [("meta", torch.bfloat16)]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_a_precision_that_cannot_be_had_is_named(engine: str, load: Load) -> None:
    with pytest.raises(SettingsError, match=f"engine {engine} does not have precision int8"):
        load(engine, "int8")


# Nothing is compiled while requests wait.


def test_every_size_and_number_of_threads_is_compiled_at_load(
    unpacked: Path, tmp_path: Path, images: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = Cores(tmp_path, workers=2, total=2)
    engine = OpenVinoEngine.load(unpacked, "float32", cores)
    assert set(engine._compiled) == {1, 2}
    monkeypatch.setattr(engine, "_compile_for", None)
    for requests in (1, 2):
        with cores.at_work(requests):
            for count in range(1, engine.batch + 1):
                assert len(engine.run(images[:count], features=False).logits) == count


def test_after_scaling_the_new_share_is_compiled_beside_the_requests(
    unpacked: Path, tmp_path: Path, images: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = Cores(tmp_path, total=2)
    engine = OpenVinoEngine.load(unpacked, "float32", cores)
    assert set(engine._compiled) == {2}
    go, genuine = threading.Event(), engine._compile_for

    def slow(threads: int) -> openvino_engine.Requests:
        assert go.wait(timeout=60)
        return genuine(threads)

    monkeypatch.setattr(engine, "_compile_for", slow)
    sibling = Cores(tmp_path, total=2)
    with sibling.at_work(1), cores.at_work(1):
        engine.run(images[:1], features=False)  # with what there is
        assert set(engine._compiled) == {2}
        go.set()
        deadline = time.monotonic() + 60
        while set(engine._compiled) != {1, 2}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert engine._requests(cores.now()) is engine._compiled[1]


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [4])], ids=str
)
def test_a_batch_runs_whole_where_it_was_compiled_so(
    count: int, sizes: list[int], load: Load, images: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load("openvino", "float32")
    genuine, seen = openvino_engine._infer, []

    def infer(request: object, pixels: Pixels, *, features: bool) -> object:
        seen.append(len(pixels))
        return genuine(request, pixels, features=features)

    monkeypatch.setattr(openvino_engine, "_infer", infer)
    engine.run(images[:count], features=False)
    assert seen == sizes


class Compiler:
    """Notes what it is to do, and never does it."""

    def __init__(self) -> None:
        self.submitted = 0

    def submit(self, _: object) -> None:
        self.submitted += 1


def test_until_it_is_compiled_the_next_smaller_number_of_threads_has_to_do(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = {count: {1: object()} for count in (2, 4, 8)}
    monkeypatch.setattr(OpenVinoEngine, "_compile", lambda _: None)
    engine = OpenVinoEngine.load(unpacked, "float32", Cores(tmp_path, total=8))
    engine._compiled, engine._asked = compiled, set(compiled)
    engine._compiler = compiler = Compiler()  # type: ignore[assignment]
    for threads, requests in compiled.items():
        assert engine._requests(threads) is requests
    assert compiler.submitted == 0
    assert engine._requests(6) is compiled[4]
    assert engine._requests(16) is compiled[8]
    assert engine._requests(1) is compiled[2], "there is no smaller one"
    assert engine._requests(6) is compiled[4]
    assert compiler.submitted == 3, "each is asked for once"


def test_one_thread_compiles_beside_the_requests(unpacked: Path, tmp_path: Path) -> None:
    engine = OpenVinoEngine.load(unpacked, "float32", Cores(tmp_path, total=1))
    go = threading.Event()
    engine._compiler.submit(go.wait, 60)
    second = engine._compiler.submit(go.is_set)
    with pytest.raises(TimeoutError):
        second.result(timeout=0.2)
    go.set()
    assert second.result(timeout=60)


def test_with_openvino_torch_is_not_even_imported(unpacked: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
from densenet_classifier.settings import Settings
Classifier.load(Path({str(unpacked)!r}), Settings(engine="openvino"))
assert "torch" not in sys.modules and "torchvision" not in sys.modules
assert "openvino_telemetry.main" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "handler")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)

"""On a DenseNet-121 that tells five pictures apart, and on a few copies of them with noise."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import densenet121

from archive_builder.agreement import logits_of
from archive_builder.command import CommandError
from archive_builder.convert import convert
from densenet_classifier.engine import Array
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_runtime import openvino

pytest.importorskip("nncf", reason="nncf is not installed: requirements-int8.txt")

from archive_builder import quantize as module
from archive_builder.quantize import Limits, Quantized, quantize

FEW = 40  # photographs: enough for five pictures
# Untrained layers, 120 deep: far more is lost than with weights that know a thousand classes.
LENIENT = Limits(min_agreement=0.8, max_top1_loss=0.2)


@pytest.fixture(scope="module")
def photographs(pixels: list[Pixels]) -> list[Pixels]:
    """Picture i, i + 5, i + 10 ... are of class i."""
    generator = np.random.default_rng(0)
    noise = generator.integers(-2, 3, (FEW, 224, 224, 3))
    return [
        (pixels[index % 5] + each).clip(0, 255).astype(np.uint8) for index, each in enumerate(noise)
    ]


@pytest.fixture(scope="module")
def network(network_state: dict[str, torch.Tensor]) -> openvino.Model:
    torch_network = densenet121(weights=None, num_classes=5)
    torch_network.load_state_dict(network_state)
    return convert(torch_network)


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MIN_PHOTOGRAPHS", FEW)
        yield


@pytest.fixture(scope="module")
def quantized(network: openvino.Model, photographs: list[Pixels], few: None) -> Quantized:
    del few
    return quantize(network, photographs, [index % 5 for index in range(FEW)], LENIENT)


def test_the_int8_model_has_the_same_inputs_and_outputs(
    quantized: Quantized, network: openvino.Model, photographs: list[Pixels]
) -> None:
    assert quantized.model.input(0).get_element_type() == openvino.Type.u8
    logits, features = _run(quantized.model, photographs[:2])
    expected_logits, expected_features = _run(network, photographs[:2])
    assert logits.shape == expected_logits.shape == (2, 5)
    assert features.shape == expected_features.shape == (2, 1024, 7, 7)
    assert np.corrcoef(features.ravel(), expected_features.ravel())[0, 1] > 0.7


def test_every_convolution_is_int8(quantized: Quantized) -> None:
    counts = [node.get_type_name() for node in quantized.model.get_ops()]
    stored = [node for node in quantized.model.get_ops() if _is_int8(node)]

    assert quantized.quantizers == counts.count("FakeQuantize") == 120
    assert len(stored) == counts.count("Convolution") == 120


def test_its_answers_are_those_of_float32(
    quantized: Quantized, network: openvino.Model, photographs: list[Pixels]
) -> None:
    assert quantized.calibrated_on + quantized.measured_on == FEW
    assert quantized.labelled == quantized.measured_on == FEW * 3 // 4
    assert quantized.agreement >= LENIENT.min_agreement
    assert quantized.reverted == ()
    float32 = logits_of(network, photographs, "f32").argmax(axis=1)
    int8 = logits_of(quantized.model, photographs, "bf16").argmax(axis=1)
    assert (float32 == int8).mean() >= LENIENT.min_agreement


def test_equal_photographs_give_equal_models_whatever_their_order(
    quantized: Quantized,
    network: openvino.Model,
    photographs: list[Pixels],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    again = quantize(network, [*reversed(photographs), photographs[3]], limits=LENIENT)

    assert _weights(again.model, tmp_path) == _weights(quantized.model, tmp_path)
    assert again.record() == quantized.record() | {
        "labelled": 0,
        "top1_loss": None,
        "top1_error": 0.0,
    }
    written = capfd.readouterr()
    assert written.out == ""  # stdout is for the command's results
    assert len(written.err.splitlines()) == 1


def test_what_is_measured_was_used_for_nothing_else(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del few
    photographs = [np.full((2, 2, 3), index, np.uint8) for index in range(FEW)]
    used: set[int] = set()
    measured: list[list[int]] = []

    def use(_: object, seen: Sequence[Pixels], *_more: object) -> tuple[str, list[str]]:
        used.update(int(each[0, 0, 0]) for each in seen)
        return "model", []

    def measure(_: object, seen: Sequence[Pixels], _hint: str) -> Array:
        measured.append([int(each[0, 0, 0]) for each in seen])
        return np.zeros((len(seen), 5), np.float32)

    monkeypatch.setattr(module, "_post_training", use)
    monkeypatch.setattr(module, "revert_until", use)
    monkeypatch.setattr(module, "quantizer_names", lambda _: [])
    monkeypatch.setattr(module, "logits_of", measure)
    quantize(None, photographs)

    assert len(used) == FEW // 4
    *_, float32, int8 = measured
    assert float32 == int8
    assert set(int8) == set(range(FEW)) - used


def test_the_parts_are_disjoint_and_do_not_depend_on_the_order(few: None) -> None:
    del few
    photographs = [np.full((2, 2, 3), index, np.uint8) for index in range(FEW + 5)]
    labels = list(range(FEW + 5))

    parts = module._split([*photographs, photographs[0]], [*labels, None])
    again = module._split(photographs[::-1], labels[::-1])

    for part, other in zip(parts, again, strict=True):
        assert [sample.label for sample in part] == [sample.label for sample in other]
    found = [sample.label for part in parts for sample in part]
    assert sorted(label for label in found if label is not None) == labels
    assert all(sample.pixels[0, 0, 0] == sample.label for part in parts for sample in part)
    assert [len(part) for part in parts] == [11, 34]


def test_too_few_photographs_are_refused(few: None) -> None:
    del few
    same = [np.zeros((224, 224, 3), np.uint8)] * FEW

    with pytest.raises(CommandError, match=rf"at least {FEW} different .* got 1;"):
        quantize(None, same)


def good(**changes: object) -> Quantized:
    result = Quantized(
        model=None,
        calibrated_on=100,
        measured_on=1000,
        labelled=1000,
        agreement=0.99,
        divergence=0.003,
        top1_loss=0.0,
        top1_error=0.002,
        quantizers=120,
        reverted=(),
    )
    return dataclasses.replace(result, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "result",
    [
        good(),
        good(agreement=0.97),
        good(top1_loss=0.005),
        good(top1_loss=0.02, top1_error=0.014),  # two of a hundred: chance
        good(top1_loss=None, labelled=0),
        good(top1_loss=-0.02),
    ],
)
def test_within_the_limits(result: Quantized) -> None:
    module._require(result, Limits())


@pytest.mark.parametrize(
    ("result", "limits", "expected"),
    [
        (good(agreement=0.969), Limits(), r"96\.9% of 1000 photographs, and at least 97\.0%"),
        (good(top1_loss=0.0101), Limits(), r"1\.0% .* on 1000 labelled photographs, and 0\.5%"),
        (good(agreement=0.99), Limits(min_agreement=0.995), r"at least 99\.5% are required"),
        (good(top1_loss=0.0101), Limits(max_top1_loss=0.004), r"and 0\.4% are allowed"),
    ],
)
def test_a_model_that_loses_too_much_is_refused(
    result: Quantized, limits: Limits, expected: str
) -> None:
    with pytest.raises(CommandError, match=expected) as caught:
        module._require(result, limits)
    assert "use bf16" in str(caught.value)


def test_answers_lost_and_found() -> None:
    samples = [module._Sample("", np.zeros(0, np.uint8), label) for label in (0, 0, 1, 1, None)]
    reference = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 0]]
    logits = np.eye(2, dtype=np.float32)[[0, 1, 1, 1, 1]]

    changes = module._changes(samples, reference, logits)

    assert changes == [0, 1, -1, 0]
    assert module._standard_error(changes) == pytest.approx(np.std(changes) / 2)
    assert module._standard_error([]) == 0


def _run(model: openvino.Model, photographs: Sequence[Pixels]) -> tuple[Array, Array]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    logits, features = compiled(np.stack(photographs)).values()
    return logits, features


def _is_int8(node: openvino.Node) -> bool:
    return bool(node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.i8)


def _weights(model: openvino.Model, folder: Path) -> bytes:
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return (folder / "model.bin").read_bytes()

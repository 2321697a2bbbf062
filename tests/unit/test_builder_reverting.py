"""On a network of one subtraction and four quantizers, of which all but the named are harmless."""

from collections.abc import Sequence

import numpy as np
import pytest

from archive_builder.agreement import agreement, divergence, logits_of
from archive_builder.reverting import quantizer_names, revert_until, without
from densenet_classifier.engine import Array
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_runtime import openvino

FINE, COARSE = 256, 2  # levels of a quantizer


def network(levels: Sequence[int]) -> openvino.Model:
    """Uint8 [N, 2, 2, 3] in; mean of red, green, blue as logits out, quantized so many times."""
    op = openvino.opset13
    pixels = op.parameter([-1, 2, 2, 3], np.uint8)
    node = op.convert(pixels, "f32")
    low, high = (op.constant(np.float32(value)) for value in (0, 255))
    for index, count in enumerate(levels):
        # Two in a row would be one to the runtime.
        node = op.multiply(node, op.constant(np.ones((1, 1, 1, 3), np.float32)))
        node = op.fake_quantize(node, low, high, low, high, count)
        node.set_friendly_name(f"quantizer {index}")
    mean = op.reduce_mean(node, op.constant(np.array([1, 2])), keep_dims=False)
    return openvino.Model([mean], [pixels], "network")


@pytest.fixture(scope="module")
def photographs() -> list[Pixels]:
    generator = np.random.default_rng(0)
    return list(generator.integers(0, 128, (40, 2, 2, 3), np.uint8))


@pytest.fixture(scope="module")
def reference(photographs: list[Pixels]) -> Array:
    result: Array = np.stack(photographs).mean(axis=(1, 2)).astype(np.float32)
    return result


def test_logits_are_those_of_each_photograph(photographs: list[Pixels], reference: Array) -> None:
    np.testing.assert_allclose(logits_of(network([]), photographs, "f32"), reference, rtol=1e-5)


def test_agreement_is_the_share_of_equal_answers() -> None:
    one = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    other = np.array([[9, 8], [1, 0], [0, 1], [1, 0]], np.float32)

    assert agreement(one, other) == 0.75


def test_divergence_is_that_of_kullback_and_leibler() -> None:
    one, other = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])

    expected = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert divergence(one, other) == pytest.approx(expected)
    assert divergence(one, one + 3000) == pytest.approx(0)  # of probabilities, not of logits


def test_a_model_that_agrees_is_left_alone(photographs: list[Pixels], reference: Array) -> None:
    model = network([FINE] * 4)

    result, reverted = revert_until(model, photographs, reference, 0.9)

    assert result is model
    assert reverted == []


@pytest.mark.parametrize("worst", [0, 2, 3])
def test_what_does_harm_is_reverted_and_nothing_else(
    worst: int,
    photographs: list[Pixels],
    reference: Array,
) -> None:
    model = network([COARSE if index == worst else FINE for index in range(4)])
    assert agreement(reference, logits_of(model, photographs, "bf16")) < 0.9

    result, reverted = revert_until(model, photographs, reference, 0.9)

    assert reverted == [f"quantizer {worst}"]
    assert agreement(reference, logits_of(result, photographs, "bf16")) >= 0.9
    assert len(quantizer_names(result)) == 3


def test_no_more_than_half_is_reverted(photographs: list[Pixels], reference: Array) -> None:
    model = network([COARSE] * 4)

    result, reverted = revert_until(model, photographs, reference, 0.9)

    assert len(reverted) == len(quantizer_names(result)) == 2


def test_without_leaves_the_model_as_it_was() -> None:
    model = network([FINE] * 2)

    assert quantizer_names(without(model, ["quantizer 0"])) == ["quantizer 1"]
    assert quantizer_names(model) == ["quantizer 0", "quantizer 1"]

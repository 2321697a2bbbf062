"""Accuracy control of an int8 model: the operations that do it most harm go back to float.

NNCF's own `quantize_with_accuracy_control` reverts operation by operation and measures all
photographs each time. Here every quantizer of activations is judged once, by the divergence that
is left without it, and the worst are removed in steps of twice as many. A convolution without a
quantizer before it runs in bf16, with its weights still of 8 bits.
"""

from collections.abc import Sequence

from archive_builder.agreement import agreement, divergence, logits_of
from archive_builder.command import say
from densenet_classifier.engine import Array
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_runtime import openvino

_RANKED_ON = 32  # photographs; divergence needs fewer than agreement
# Of all quantizers. Beyond that the model is hardly faster than one of bf16, which is exact.
_MOST_REVERTED = 0.5


def revert_until(
    model: openvino.Model, photographs: Sequence[Pixels], reference: Array, min_agreement: float
) -> tuple[openvino.Model, list[str]]:
    """Return a model that agrees with `reference`, and the quantizers that it had to lose.

    `reference` are the float32 network's logits, [N, classes], for the photographs. Where half of
    the quantizers are not enough, that model is returned: measuring and refusing is the caller's.
    """
    if agreement(reference, logits_of(model, photographs, "int8")) >= min_agreement:
        return model, []
    say("Too many answers change with int8; looking for the operations that do harm")
    ranked = _by_harm(model, photographs[:_RANKED_ON], reference[:_RANKED_ON])
    most = int(len(ranked) * _MOST_REVERTED)
    count = min(1, most)
    while True:
        lighter = without(model, ranked[:count])
        found = agreement(reference, logits_of(lighter, photographs, "int8"))
        if found >= min_agreement or count == most:
            return lighter, ranked[:count]
        count = min(2 * count, most)


def without(model: openvino.Model, names: Sequence[str]) -> openvino.Model:
    """Return a copy of the model that lacks the quantizers with these names."""
    copy = model.clone()
    for node in _quantizers(copy):
        if node.get_friendly_name() in names:
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(node.input_value(0))
    copy.validate_nodes_and_infer_types()
    return copy


def quantizer_names(model: openvino.Model) -> list[str]:
    """Return the names of the model's quantizers of activations, from input to output."""
    return [node.get_friendly_name() for node in _quantizers(model)]


def _by_harm(model: openvino.Model, photographs: Sequence[Pixels], reference: Array) -> list[str]:
    """Return the names of all quantizers, first the one whose absence helps most."""
    left = {
        name: divergence(reference, logits_of(without(model, [name]), photographs, "int8"))
        for name in quantizer_names(model)
    }
    return sorted(left, key=lambda name: left[name])


def _quantizers(model: openvino.Model) -> list[openvino.Node]:
    # Weights are stored as int8; a FakeQuantize is all that quantizes activations.
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]

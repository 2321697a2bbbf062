"""How far two models give the same answers on the same photographs.

Models are OpenVINO's, with uint8 [N, 224, 224, 3] RGB in and logits [N, classes] as the first
output.
"""

from collections.abc import Sequence

import numpy as np

from densenet_classifier.engine import Array
from densenet_classifier.images import Pixels
from densenet_classifier.openvino_engine import hint_of
from densenet_classifier.openvino_runtime import openvino

_BATCH = 8  # images; more take memory and are no faster


def logits_of(model: openvino.Model, photographs: Sequence[Pixels], precision: str) -> Array:
    """Return logits, float32 [N, classes], of a float32 or an int8 model as it is served."""
    options = {"INFERENCE_PRECISION_HINT": hint_of(precision)}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    batches = [photographs[at : at + _BATCH] for at in range(0, len(photographs), _BATCH)]
    return np.concatenate([request.infer([np.stack(batch)])[0] for batch in batches])


def agreement(reference: Array, logits: Array) -> float:
    """Return the share, 0 to 1, of images with the same most probable class."""
    return float((reference.argmax(axis=1) == logits.argmax(axis=1)).mean())


def divergence(reference: Array, logits: Array) -> float:
    """Return the mean Kullback-Leibler divergence from the reference's probabilities, in nats.

    It sees each small drift of a probability, and so tells two models apart on fewer photographs
    than `agreement`, which sees only those that change an answer.
    """
    expected, found = _log_softmax(reference), _log_softmax(logits)
    return float((np.exp(expected) * (expected - found)).sum(axis=1).mean())


def _log_softmax(logits: Array) -> Array:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result

"""A float32 model and photographs in, an int8 model out, measured on photographs it never saw.

Post-training quantization by NNCF, with three departures from its defaults, each of which pays
(agreement with float32 and speed are in docs/PERFORMANCE.md):

- ranges of activations are those seen, not averages of each photograph's: after a relu it is the
  rare great values that name the class, and averages cut them off;
- where no convolution gains by it, nothing is quantized: the feature maps that DenseNet
  concatenates are read by all layers that follow, each with a scale of its own;
- the last layer and the mean before it stay in float; they are a thousandth of the work.

Needs requirements-int8.txt. `quantize` raises `CommandError` rather than return a model that
answers worse than `Limits` allow.
"""

import contextlib
import hashlib
import io
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from archive_builder.agreement import agreement, divergence, logits_of
from archive_builder.command import CommandError, say
from archive_builder.reverting import quantizer_names, revert_until
from densenet_classifier.engine import Array
from densenet_classifier.images import Pixels

# Before nncf, which imports openvino in its own way: see there.
from densenet_classifier.openvino_runtime import openvino  # isort: split

# What importing it says is of the graphics card that quantizing does without.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)

import nncf  # noqa: E402
from nncf.common.logging.logger import stdout_handler  # noqa: E402
from nncf.quantization.range_estimator import RangeEstimatorParametersSet  # noqa: E402

# Ranges need few photographs (20, 50, 100 and 155 were as good as each other), measuring needs
# many. Of 150 measured ones a model that agrees with float32 on 99 % of all photographs is refused
# by chance once in 50 times, at 97 % allowed; one that agrees on 95 % gets by once in 8 times.
MIN_PHOTOGRAPHS = 200
_CALIBRATED = 1 / 4
_MOST_CALIBRATED = 100

_CERTAIN = 2  # standard errors; more are chance in one of 40 cases
_IN_FLOAT = ("AvgPool", "MaxPool", "Concat", "ReduceMean", "MatMul")


@dataclass(frozen=True)
class Limits:
    """What an int8 model may lose, as shares of the measured photographs, 0 to 1.

    min_agreement: share of photographs on which it gives the most probable class of float32.
    max_top1_loss: by how much its share of right answers may be smaller, once the difference is
        more than chance.
    """

    min_agreement: float = 0.97
    max_top1_loss: float = 0.005


@dataclass(frozen=True)
class Quantized:
    """An int8 model with the inputs and outputs of the float32 one, and how it was measured.

    calibrated_on, measured_on, labelled: photographs, all different; `labelled` of the measured
        ones had a label. agreement: share with the same top-1 as float32. divergence: mean
        Kullback-Leibler divergence of the probabilities, nats. top1_loss: share of right answers
        that float32 has more, None without labels; top1_error: its standard error. quantizers:
        how many activations are int8. reverted: names of those that were put back to float.
    """

    model: openvino.Model
    calibrated_on: int
    measured_on: int
    labelled: int
    agreement: float
    divergence: float
    top1_loss: float | None
    top1_error: float
    quantizers: int
    reverted: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the figures, for the archive."""
        return {
            "calibrated_on": self.calibrated_on,
            "measured_on": self.measured_on,
            "labelled": self.labelled,
            "agreement": round(self.agreement, 4),
            "divergence": round(self.divergence, 5),
            "top1_loss": None if self.top1_loss is None else round(self.top1_loss, 4),
            "top1_error": round(self.top1_error, 4),
            "quantizers": self.quantizers,
            "reverted": list(self.reverted),
            "nncf": version("nncf"),
        }


@dataclass(frozen=True)
class _Sample:
    digest: str
    pixels: Pixels
    label: int | None


def quantize(
    network: openvino.Model,
    photographs: Sequence[Pixels],
    labels: Sequence[int | None] | None = None,
    limits: Limits = Limits(),
) -> Quantized:
    """Return the int8 model of `network`; `CommandError` when it loses more than is allowed.

    `network` takes uint8 [N, 224, 224, 3] RGB and gives logits and feature maps. `labels` are the
    right classes as numbers, or None where unknown. Equal photographs count once, and their order
    does not matter: equal photographs and networks give equal models.
    """
    calibration, measuring = _split(photographs, labels or [None] * len(photographs))
    seen = [sample.pixels for sample in calibration]
    say(f"Quantizing to int8 with {len(seen)} photographs; takes half a minute or longer")
    model = _post_training(network, seen)
    before = len(quantizer_names(model))
    model, reverted = revert_until(
        model, seen, logits_of(network, seen, "float32"), limits.min_agreement
    )
    unseen = [sample.pixels for sample in measuring]
    reference, logits = logits_of(network, unseen, "float32"), logits_of(model, unseen, "int8")
    changes = _changes(measuring, reference, logits)
    result = Quantized(
        model=model,
        calibrated_on=len(calibration),
        measured_on=len(measuring),
        labelled=len(changes),
        agreement=agreement(reference, logits),
        divergence=divergence(reference, logits),
        top1_loss=sum(changes) / len(changes) if changes else None,
        top1_error=_standard_error(changes),
        quantizers=before - len(reverted),
        reverted=tuple(reverted),
    )
    _require(result, limits)
    return result


def _split(
    photographs: Sequence[Pixels], labels: Sequence[int | None]
) -> tuple[list[_Sample], list[_Sample]]:
    """Return the photographs to calibrate on, and all others; which, their content decides."""
    samples: dict[str, _Sample] = {}
    for pixels, label in zip(photographs, labels, strict=True):
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        samples.setdefault(digest, _Sample(digest, pixels, label))
    if len(samples) < MIN_PHOTOGRAPHS:
        message = (
            f"int8 needs at least {MIN_PHOTOGRAPHS} different photographs, a quarter of them to "
            f"calibrate on and the others to measure, and got {len(samples)}; add photographs like "
            "those that will be classified"
        )
        raise CommandError(message)
    # A hash is as good as a draw of lots, and comes out the same each time.
    ordered = [samples[digest] for digest in sorted(samples)]
    count = min(int(len(ordered) * _CALIBRATED), _MOST_CALIBRATED)
    return ordered[:count], ordered[count:]


def _post_training(network: openvino.Model, photographs: Sequence[Pixels]) -> openvino.Model:
    with _quiet():
        return nncf.quantize(
            network,
            nncf.Dataset(photographs, lambda pixels: pixels[None]),
            subset_size=len(photographs),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            ignored_scope=nncf.IgnoredScope(types=list(_IN_FLOAT)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars to ourselves, and send warnings to stderr: stdout is for results."""
    nncf.set_log_level(logging.WARNING)
    stdout = stdout_handler.setStream(sys.stderr)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        stdout_handler.setStream(stdout)


def _changes(samples: Sequence[_Sample], reference: Array, logits: Array) -> list[int]:
    """Return for each labelled sample 1 when int8 lost the right answer, -1 when it found it."""
    answers = zip(samples, reference.argmax(axis=1), logits.argmax(axis=1), strict=True)
    return [
        int(float32 == sample.label) - int(int8 == sample.label)
        for sample, float32, int8 in answers
        if sample.label is not None
    ]


def _standard_error(changes: Sequence[int]) -> float:
    """Return that of the mean of `changes`, a share 0 to 1."""
    if not changes:
        return 0.0
    mean = sum(changes) / len(changes)
    return math.sqrt(sum((change - mean) ** 2 for change in changes)) / len(changes)


def _require(result: Quantized, limits: Limits) -> None:
    """Raise `CommandError` when `result` is worse than `limits` allow."""
    instead = "use bf16, or calibrate on more photographs like those that will be classified"
    if result.agreement < limits.min_agreement:
        message = (
            f"int8 gives the same answer as float32 on {result.agreement:.1%} of "
            f"{result.measured_on} photographs, and at least {limits.min_agreement:.1%} are "
            f"required: {instead}"
        )
        raise CommandError(message)
    # One photograph of a hundred is more than the limit, and bf16 loses as many by chance.
    loss = result.top1_loss
    if loss is not None and loss - _CERTAIN * result.top1_error > limits.max_top1_loss:
        message = (
            f"int8 has {loss:.1%} (give or take {result.top1_error:.1%}) fewer right answers than "
            f"float32 on {result.labelled} labelled photographs, and {limits.max_top1_loss:.1%} "
            f"are allowed: {instead}"
        )
        raise CommandError(message)

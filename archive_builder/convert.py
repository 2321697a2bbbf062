"""A network of PyTorch in, the same network as an OpenVINO model out, proved to be the same.

The model takes what a decoder gives, uint8 [N, 224, 224, 3] RGB: normalization and layout become
part of it. Outputs: logits, float32 [N, classes], and the last feature maps [N, 1024, 7, 7].
"""

import numpy as np
import torch
from torch import nn

from archive_builder.command import CommandError
from densenet_classifier.images import CROP, Pixels
from densenet_classifier.network import MEAN, STANDARD_DEVIATION, LogitsAndFeatures, normalize
from densenet_classifier.openvino_runtime import openvino

NAMES = ("pixels", "logits", "features")
_WHITE = 255
_PROBES = 4  # images of noise that both networks are asked about
# Of the greatest output: float32 sums in another order. Measured with ImageNet's weights: 2e-6.
_TOLERANCE = 1e-4


def convert(network: nn.Module) -> openvino.Model:
    """Return the model; `CommandError` when its outputs are not those of the network."""
    exported = torch.export.export(
        LogitsAndFeatures(network).eval(),
        (torch.zeros(2, 3, CROP, CROP),),
        dynamic_shapes=({0: torch.export.Dim("images")},),
    )
    model = _with_preprocessing(openvino.convert_model(exported))
    _require_equal(model, network)
    return model


def _with_preprocessing(model: openvino.Model) -> openvino.Model:
    steps = openvino.preprocess.PrePostProcessor(model)
    pixels = steps.input()
    pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pixels.model().set_layout(openvino.Layout("NCHW"))
    scaled = pixels.preprocess().convert_element_type(openvino.Type.f32)
    scaled.mean([_WHITE * each for each in MEAN])
    scaled.scale([_WHITE * each for each in STANDARD_DEVIATION])
    fused = steps.build()
    fused.reshape([-1, CROP, CROP, len(MEAN)])
    for port, name in zip([*fused.inputs, *fused.outputs], NAMES, strict=True):
        port.get_tensor().set_names({name})
    return fused


def _require_equal(model: openvino.Model, network: nn.Module) -> None:
    pixels = _noise()
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.inference_mode():
        expected = LogitsAndFeatures(network)(normalize(pixels))
    for name, output, reference in zip(
        ("logits", "feature maps"), compiled(pixels).values(), expected, strict=True
    ):
        greatest = float(reference.abs().max())
        difference = float(np.abs(output - reference.numpy()).max()) / greatest
        if not difference <= _TOLERANCE:
            message = (
                f"the converted network's {name} differ from PyTorch's by {difference:.1e} of the "
                f"greatest, more than {_TOLERANCE:.0e}; the archive was not built"
            )
            raise CommandError(message)


def _noise() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (_PROBES, CROP, CROP, 3), np.uint8)

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archive_builder import convert as convert_module
from archive_builder.command import CommandError
from archive_builder.convert import convert
from densenet_classifier.network import load_network, normalize
from densenet_classifier.openvino_runtime import openvino

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network(network_file: Path) -> nn.Module:
    return load_network(network_file)


@pytest.fixture(scope="module")
def model(network: nn.Module) -> openvino.Model:
    return convert(network)


def test_the_model_takes_pixels_as_they_are_decoded(model: openvino.Model) -> None:
    (pixels,) = model.inputs
    assert pixels.element_type == openvino.Type.u8
    assert pixels.partial_shape == openvino.PartialShape([-1, 224, 224, 3])


def test_its_outputs_are_logits_and_feature_maps(model: openvino.Model) -> None:
    shapes = {each.any_name: each.partial_shape for each in model.outputs}
    assert shapes == {
        "logits": openvino.PartialShape([-1, 5]),
        "features": openvino.PartialShape([-1, 1024, 7, 7]),
    }


def test_the_logits_are_those_of_pytorch(model: openvino.Model, network: nn.Module) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.inference_mode():
        expected = network(normalize(pixels)).numpy()
    assert np.abs(compiled(pixels)[0] - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("shift", [1e-3, float("nan")])
def test_a_model_that_answers_otherwise_is_refused(
    shift: float, model: openvino.Model, network_file: Path
) -> None:
    other = load_network(network_file)
    with torch.no_grad():
        other.get_parameter("classifier.weight").mul_(1 + shift)
    with pytest.raises(CommandError, match="logits differ from PyTorch's by"):
        convert_module._require_equal(model, other)

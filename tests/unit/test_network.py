from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.models import DenseNet121_Weights, densenet121

from densenet_classifier.images import Pixels
from densenet_classifier.network import (
    MEAN,
    STANDARD_DEVIATION,
    LogitsAndFeatures,
    load_network,
    normalize,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network(network_file: Path) -> LogitsAndFeatures:
    return LogitsAndFeatures(load_network(network_file)).eval()


@pytest.fixture(scope="module")
def reference(network_state: dict[str, torch.Tensor]) -> nn.Module:
    """Torchvision's own network with the same weights."""
    result: nn.Module = densenet121(weights=None, num_classes=5)
    result.load_state_dict(network_state)
    return result.eval()


@pytest.fixture(scope="module")
def noise() -> Pixels:
    generator = np.random.default_rng(5)
    return generator.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def batch(pixels: list[Pixels], noise: Pixels) -> Pixels:
    return np.concatenate([np.stack(pixels), noise])


def reference_inputs(batch: Pixels) -> torch.Tensor:
    """The tutorial's ToTensor and Normalize, image by image."""
    steps = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    return torch.stack([steps(image) for image in batch])


def test_the_constants_are_those_the_weights_were_trained_with() -> None:
    recipe = DenseNet121_Weights.IMAGENET1K_V1.transforms()
    assert (list(MEAN), list(STANDARD_DEVIATION)) == (recipe.mean, recipe.std)


def test_normalization_is_that_of_torchvision(batch: Pixels) -> None:
    torch.testing.assert_close(normalize(batch), reference_inputs(batch), atol=1e-5, rtol=0)


def test_normalized_images_are_float32_with_the_channels_first(batch: Pixels) -> None:
    assert normalize(batch).shape == (8, 3, 224, 224)
    assert normalize(batch).dtype == torch.float32


def test_normalization_leaves_the_pixels_as_they_were(noise: Pixels) -> None:
    before = noise.copy()
    normalize(noise)
    assert np.array_equal(noise, before)


def test_logits_are_those_of_torchvisions_network(
    network: LogitsAndFeatures, reference: nn.Module, batch: Pixels
) -> None:
    with torch.inference_mode():
        logits, _ = network(normalize(batch))
        expected = reference(reference_inputs(batch))
    assert (logits.shape, logits.dtype) == ((8, 5), torch.float32)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_features_are_those_behind_the_last_relu(
    network: LogitsAndFeatures, reference: nn.Module, batch: Pixels
) -> None:
    with torch.inference_mode():
        _, features = network(normalize(batch))
        expected = reference.get_submodule("features")(normalize(batch)).relu()
    assert (features.shape, features.dtype) == ((8, 1024, 7, 7), torch.float32)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)

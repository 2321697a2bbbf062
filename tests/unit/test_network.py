from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import transforms
from torchvision.models import DenseNet121_Weights, densenet121

from densenet_classifier.images import Pixels
from densenet_classifier.network import MEAN, STANDARD_DEVIATION, TorchEngine, normalize
from densenet_classifier.weights import load_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def engine(network_file: Path) -> TorchEngine:
    return TorchEngine(load_network(network_file))


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


def test_probabilities_are_a_row_of_float32_for_each_image(
    engine: TorchEngine, batch: Pixels
) -> None:
    probabilities = engine.probabilities(batch)
    assert probabilities.shape == (8, 5)
    assert probabilities.dtype == np.float32


def test_probabilities_sum_to_one(engine: TorchEngine, batch: Pixels) -> None:
    probabilities = engine.probabilities(batch)
    assert probabilities.min() >= 0
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def test_probabilities_are_those_of_torchvisions_network(
    engine: TorchEngine, batch: Pixels, network_state: dict[str, torch.Tensor]
) -> None:
    network = densenet121(weights=None, num_classes=5)
    network.load_state_dict(network_state)
    with torch.inference_mode():
        expected = network.eval()(reference_inputs(batch)).softmax(dim=1).numpy()
    assert np.abs(engine.probabilities(batch) - expected).max() < 1e-5


def test_an_image_is_answered_alone_as_among_others(engine: TorchEngine, batch: Pixels) -> None:
    alone = np.concatenate([engine.probabilities(image[np.newaxis]) for image in batch])
    assert np.abs(engine.probabilities(batch) - alone).max() < 1e-5


def test_the_order_of_the_images_is_kept(engine: TorchEngine, batch: Pixels) -> None:
    turned = engine.probabilities(batch[::-1].copy())[::-1]
    assert np.abs(engine.probabilities(batch) - turned).max() < 1e-5


def test_the_pixels_are_left_as_they_were(engine: TorchEngine, noise: Pixels) -> None:
    before = noise.copy()
    engine.probabilities(noise)
    assert np.array_equal(noise, before)


def test_the_engine_says_what_it_is() -> None:
    assert (TorchEngine.name, TorchEngine.precision) == ("torch", "float32")

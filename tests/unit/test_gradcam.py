from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torchvision.models import densenet121

from densenet_classifier.classifier import Classifier
from densenet_classifier.gradcam import heat_map
from densenet_classifier.images import Pixels
from densenet_classifier.network import normalize
from densenet_classifier.settings import Settings

pytestmark = pytest.mark.usefixtures("one_thread")

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def weights(network_state: dict[str, torch.Tensor]) -> Array:
    result: Array = network_state["classifier.weight"].numpy()
    return result


@pytest.fixture(scope="module")
def reference(network_state: dict[str, torch.Tensor]) -> nn.Module:
    """Torchvision's own network, whose gradients can be taken."""
    network: nn.Module = densenet121(weights=None, num_classes=5)
    network.load_state_dict(network_state)
    return network.eval()


@pytest.fixture(scope="module")
def maps(reference: nn.Module, pixels: list[Pixels]) -> torch.Tensor:
    """Return the last feature maps of the pictures, [5, 1024, 7, 7]."""
    with torch.no_grad():
        found: torch.Tensor = reference.get_submodule("features")(normalize(np.stack(pixels)))
    return found.relu()


def logits(network: nn.Module, maps: torch.Tensor) -> torch.Tensor:
    """Return what the rest of the network makes of the maps."""
    pooled = nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1)
    result: torch.Tensor = network.get_submodule("classifier")(pooled)
    return result


def grad_cam_of_the_paper(network: nn.Module, maps: torch.Tensor, index: int) -> Array:
    """Return the coarse map [7, 7] in 0-1 by equations 1 and 2, with gradients of autograd."""
    maps = maps[None].requires_grad_()
    (gradient,) = torch.autograd.grad(logits(network, maps)[0, index], maps)
    alpha = gradient.mean(dim=(2, 3), keepdim=True)
    coarse = (alpha * maps).sum(dim=1)[0].relu()
    scaled: Array = (coarse / coarse.max().clamp(min=1e-12)).detach().numpy()
    return scaled


def enlarged(coarse: Array) -> npt.NDArray[np.float64]:
    """Return [7, 7] as [224, 224], linear between the middles of the cells, one axis at a time."""
    places = (np.arange(224) + 0.5) * 7 / 224 - 0.5
    rows = np.array([np.interp(places, range(7), row) for row in coarse])
    return np.array([np.interp(places, range(7), column) for column in rows.T]).T


@pytest.fixture(scope="module", params=["openvino", "torch"])
def features(request: pytest.FixtureRequest, unpacked: Path, pixels: list[Pixels]) -> list[Array]:
    """Return the feature maps of the pictures as each engine gives them."""
    classifier = Classifier.load(unpacked, Settings(engine=request.param, precision="float32"))
    findings = [classifier.classify([each], [True])[0] for each in pixels]
    return [each.features for each in findings if each.features is not None]


def test_the_gradients_are_those_of_the_networks_own_logits(
    reference: nn.Module, maps: torch.Tensor, pixels: list[Pixels]
) -> None:
    with torch.no_grad():
        expected = reference(normalize(np.stack(pixels)))
    assert torch.allclose(logits(reference, maps), expected, atol=1e-4)


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("picture", range(5))
def test_the_map_is_that_of_gradients(
    picture: int,
    index: int,
    weights: Array,
    reference: nn.Module,
    maps: torch.Tensor,
    features: list[Array],
) -> None:
    heat = heat_map(features[picture], weights[index])
    expected = enlarged(grad_cam_of_the_paper(reference, maps[picture], index))
    assert np.abs(heat - expected).max() < 1e-4


def test_the_maps_of_the_classes_differ(weights: Array, features: list[Array]) -> None:
    first, other = (heat_map(features[0], weights[index]) for index in (0, 3))
    assert not np.allclose(first, other, atol=0.1)


def test_a_map_is_of_the_networks_input_in_zero_to_one(
    weights: Array, features: list[Array]
) -> None:
    heat = heat_map(features[0], weights[0])
    assert heat.shape == (224, 224)
    assert heat.dtype == np.float32
    assert 0 <= heat.min() < 0.01
    assert 0.9 < heat.max() <= 1.00001


def test_features_are_those_behind_the_last_relu(features: list[Array], maps: torch.Tensor) -> None:
    assert [each.shape for each in features] == [(1024, 7, 7)] * 5
    assert {each.dtype for each in features} == {np.dtype(np.float32)}
    # Of the greatest value: engines sum float32 in another order.
    assert np.abs(np.stack(features) - maps.numpy()).max() < 1e-4 * float(maps.max())


def test_where_nothing_speaks_for_the_class_the_map_is_zero() -> None:
    features = np.random.default_rng(1).random((1024, 7, 7), np.float32)
    heat = heat_map(features, np.full(1024, -1, np.float32))
    assert heat.shape == (224, 224)
    assert not heat.any()


def test_what_speaks_for_the_class_is_where_its_features_are() -> None:
    features = np.zeros((1024, 7, 7), np.float32)
    features[3, 6, 0] = 5
    weights = np.zeros(1024, np.float32)
    weights[3] = 0.1
    heat = heat_map(features, weights)
    assert heat[-16:, :16].min() == 1  # the middle of the cell and what lies below and left of it
    assert not heat[:160].any()
    assert not heat[:, 64:].any()


def test_the_features_are_left_as_they_are(weights: Array, features: list[Array]) -> None:
    before = features[0].copy()
    heat_map(features[0], weights[0])
    assert np.array_equal(features[0], before)

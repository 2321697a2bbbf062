from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torchvision.models import densenet121

from densenet_classifier import network as network_module
from densenet_classifier.gradcam import GradCam
from densenet_classifier.images import Pixels
from densenet_classifier.network import normalize
from densenet_classifier.weights import load_network

pytestmark = pytest.mark.usefixtures("one_thread")

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def cam(network_file: Path) -> GradCam:
    return GradCam(load_network(network_file))


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


@pytest.fixture(scope="module")
def features(cam: GradCam, pixels: list[Pixels]) -> list[Array]:
    return cam.features(pixels)


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
    cam: GradCam,
    reference: nn.Module,
    maps: torch.Tensor,
    features: list[Array],
) -> None:
    heat = cam.heat_map(features[picture], index)
    expected = enlarged(grad_cam_of_the_paper(reference, maps[picture], index))
    assert np.abs(heat - expected).max() < 1e-4


def test_the_maps_of_the_classes_differ(cam: GradCam, features: list[Array]) -> None:
    assert not np.allclose(cam.heat_map(features[0], 0), cam.heat_map(features[0], 3), atol=0.1)


def test_a_map_is_of_the_networks_input_in_zero_to_one(cam: GradCam, features: list[Array]) -> None:
    heat = cam.heat_map(features[0], 0)
    assert heat.shape == (224, 224)
    assert heat.dtype == np.float32
    assert 0 <= heat.min() < 0.01
    assert 0.9 < heat.max() <= 1.00001


def test_features_are_those_behind_the_last_relu(features: list[Array], maps: torch.Tensor) -> None:
    assert [each.shape for each in features] == [(1024, 7, 7)] * 5
    assert {each.dtype for each in features} == {np.dtype(np.float32)}
    assert np.abs(np.stack(features) - maps.numpy()).max() < 1e-4


def test_features_of_many_images_are_those_of_each(
    cam: GradCam, pixels: list[Pixels], features: list[Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "BATCH", 2)
    in_pairs = cam.features(pixels)
    assert len(in_pairs) == 5
    assert np.allclose(in_pairs, features, atol=1e-4)


def test_where_nothing_speaks_for_the_class_the_map_is_zero(network_file: Path) -> None:
    network = load_network(network_file)
    network.get_parameter("classifier.weight").fill_(-1)
    features = np.random.default_rng(1).random((1024, 7, 7), np.float32)
    assert not GradCam(network).heat_map(features, 2).any()


def test_the_features_are_left_as_they_are(cam: GradCam, features: list[Array]) -> None:
    before = features[0].copy()
    cam.heat_map(features[0], 0)
    assert np.array_equal(features[0], before)

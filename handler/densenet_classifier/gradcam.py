"""What the network looked at: Grad-CAM of the last feature maps, uint8 pixels in, heat maps out.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks", ICCV 2017. DenseNet ends in
relu, global average and one linear layer, so that the gradient of a class's logit with respect
to a feature map is that class's weight, divided by the map's size: no backward pass is needed,
and Grad-CAM is CAM (Zhou et al., CVPR 2016; shown in section 3.1 of the former). A test compares
it with gradients taken by autograd.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from densenet_classifier.images import CROP, Pixels
from densenet_classifier.network import in_batches, normalize

FeatureMaps = npt.NDArray[np.float32]
HeatMap = npt.NDArray[np.float32]


class GradCam:
    """Heat maps of a DenseNet-121 as `load_network` gives it."""

    def __init__(self, network: nn.Module) -> None:
        network = network.to(memory_format=torch.channels_last)
        self._features = network.get_submodule("features")
        self._weight = network.get_parameter("classifier.weight").numpy()

    def features(self, images: Sequence[Pixels]) -> list[FeatureMaps]:
        """Return the last feature maps, float32 [1024, 7, 7], of each uint8 [224, 224, 3]."""
        with torch.inference_mode():
            batches = [self._features(normalize(pixels)).relu() for pixels in in_batches(images)]
        return [maps for batch in batches for maps in batch.numpy()]

    def heat_map(self, features: FeatureMaps, index: int) -> HeatMap:
        """Return the map of one class, float32 [224, 224] in 0-1, from `features` of an image.

        1 is the place that speaks most for the class; where nothing does, the map is 0.
        """
        coarse = np.einsum("c,chw->hw", self._weight[index], features).clip(min=0)
        if coarse.max() > 0:
            coarse /= coarse.max()
        fine = nn.functional.interpolate(
            torch.from_numpy(coarse)[None, None], (CROP, CROP), mode="bilinear"
        )
        result: HeatMap = fine[0, 0].numpy()
        return result

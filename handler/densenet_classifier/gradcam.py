"""What the network looked at: Grad-CAM of the last feature maps, feature maps in, heat maps out.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks", ICCV 2017. DenseNet ends in
relu, global average and one linear layer, so that the gradient of a class's logit with respect
to a feature map is that class's weight, divided by the map's size: no backward pass is needed,
and Grad-CAM is CAM (Zhou et al., CVPR 2016; shown in section 3.1 of the former). A test compares
it with gradients taken by autograd.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from densenet_classifier.images import CROP

FeatureMaps = npt.NDArray[np.float32]
HeatMap = npt.NDArray[np.float32]


def heat_map(features: FeatureMaps, weights: npt.NDArray[np.float32]) -> HeatMap:
    """Return the map of one class, float32 [224, 224] in 0-1.

    `features` are the last feature maps of an image, float32 [1024, 7, 7], `weights` those of
    the class in the last layer, float32 [1024]. 1 is the place that speaks most for the class;
    where nothing does, the map is 0.
    """
    coarse = np.einsum("c,chw->hw", weights, features).clip(min=0)
    if coarse.max() > 0:
        coarse /= coarse.max()
    fine = Image.fromarray(coarse).resize((CROP, CROP), Image.Resampling.BILINEAR)
    return np.asarray(fine)

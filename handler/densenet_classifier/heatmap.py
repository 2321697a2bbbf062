"""Heat maps in, PNG pictures out: the map by itself, or laid over the picture that it is of."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from densenet_classifier.gradcam import HeatMap
from densenet_classifier.images import Pixels

# Cold to hot, in equal steps: RGB in 0-255 of the colour map "turbo" (A. Mikhailov, 2019, Apache
# License 2.0), which is read as easily as the usual "jet" and has no false edges.
_COLOURS = np.array(
    [(48, 18, 59), (70, 134, 251), (27, 229, 181), (164, 252, 60), (251, 185, 56), (227, 68, 10),
     (122, 4, 3)]
)  # fmt: skip
_OPACITY = (0.3, 0.6)  # of the coldest and of the hottest place


def heat_map_png(heat: HeatMap) -> bytes:
    """Return float32 [224, 224] in 0-1 as a greyscale PNG whose values are 255 times as great."""
    return _png(np.rint(heat * 255).astype(np.uint8))


def overlay_png(pixels: Pixels, heats: Sequence[HeatMap]) -> bytes:
    """Return uint8 [224, 224, 3] with each map laid over it, side by side, as a PNG."""
    return _png(np.concatenate([_overlay(pixels, heat) for heat in heats], axis=1))


def _overlay(pixels: Pixels, heat: HeatMap) -> Pixels:
    steps = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(heat, steps, channel) for channel in _COLOURS.T], axis=-1)
    opacity = np.interp(heat, (0, 1), _OPACITY)[..., None]
    blended: Pixels = np.rint(pixels * (1 - opacity) + colours * opacity).astype(np.uint8)
    return blended


def _png(samples: Pixels) -> bytes:
    buffer = BytesIO()
    # Half the time of zlib's default level, for a fifth more bytes.
    Image.fromarray(samples).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()

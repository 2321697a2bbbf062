"""When the most probable class counts as recognised, and when the answer is "none of mine".

A softmax always names a class. Three signs tell that it means nothing:

- the picture has one colour, so that it shows nothing;
- its greatest probability is below `min_probability`;
- its perplexity exp(-sum p log p), the number of classes between which the network hesitates, is
  above `max_perplexity`. Noise and gradients give it away better than the greatest probability
  does (entropy as in Hendrycks and Gimpel, "A baseline for detecting misclassified and
  out-of-distribution examples", ICLR 2017).

A request that brings a `min_probability` of its own is judged by that alone. docs/REQUESTS.md
tells what the defaults reject, as measured.
"""

import numpy as np

from densenet_classifier.classifier import Probabilities
from densenet_classifier.images import Pixels
from densenet_classifier.settings import Settings

_ONE_COLOUR = 8  # of 255, between the least and the greatest sample: what JPEG adds to one colour
_STRIDE = 16  # pixels


def is_recognised(
    pixels: Pixels, probabilities: Probabilities, settings: Settings, least: float | None
) -> bool:
    """Judge one picture, uint8 [224, 224, 3], by its probabilities [classes].

    `least` is the request's own `min_probability`, None where it has none.
    """
    if least is not None:
        return bool(probabilities.max() >= least)
    if settings.min_probability == 0:
        return True
    return bool(
        probabilities.max() >= settings.min_probability
        and perplexity(probabilities) <= settings.max_perplexity
        and not has_one_colour(pixels)
    )


def perplexity(probabilities: Probabilities) -> float:
    """Return exp(entropy) of probabilities [classes]: 1 for certainty, `classes` for none."""
    present = probabilities[probabilities > 0].astype(np.float64)
    return float(np.exp(-(present * np.log(present)).sum()))


def has_one_colour(pixels: Pixels) -> bool:
    """Tell whether a picture, uint8 [224, 224, 3], is of one colour, as far as JPEG can tell."""
    # Most pictures show it at the few places that are looked at first.
    return all(
        bool(np.ptp(part, axis=(0, 1)).max() <= _ONE_COLOUR)
        for part in (pixels[::_STRIDE, ::_STRIDE], pixels)
    )

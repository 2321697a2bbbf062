"""What the network found about one image in, the image's entry of the answer out."""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from densenet_classifier.answers import Entry, png_text
from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.heatmap import heat_map_png, overlay_png
from densenet_classifier.recognition import is_recognised
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

_DIGITS = 6  # of a probability: what float32 carries


@dataclass(frozen=True)
class Narrator:
    """Tells the findings of one request."""

    request: Request
    classifier: Classifier
    settings: Settings

    def entry(self, finding: Finding) -> Entry:
        """Return the class, and what else the request asks for."""
        options, probabilities = self.request.options, finding.probabilities
        explanation = cache(partial(self._explanation, finding))
        index = self._subject(finding)
        least = options.min_probability
        # Who names a class wants to hear about that one.
        named = self.request.explain and options.target
        if named or is_recognised(finding.pixels, probabilities, self.settings, least):
            entry: Entry = self.classifier.labels[index]._asdict()
        else:
            entry = {"class_id": None, "class_name": None}
        if options.top_k or self.request.explain or self.request.form.tells_probability:
            entry["probability"] = _rounded(probabilities[index])
        if options.top_k:
            entry["predictions"] = [
                self._candidate(finding, each) | explanation(each)
                for each in self.classifier.most_probable(probabilities, options.top_k)
            ]
        return entry | explanation(index)

    def picture(self, finding: Finding) -> bytes:
        """Return the image with its heat map laid over it, as a PNG; with `top_k` one a class."""
        indices = [self._subject(finding)]
        if top_k := self.request.options.top_k:
            indices += self.classifier.most_probable(finding.probabilities, top_k)
        heats = [self.classifier.heat_map(finding, index) for index in dict.fromkeys(indices)]
        return overlay_png(finding.pixels, heats)

    def _subject(self, finding: Finding) -> int:
        target = self.request.options.target
        if target and self.request.explain:
            return self.classifier.index_of(target)
        return int(finding.probabilities.argmax())

    def _candidate(self, finding: Finding, index: int) -> dict[str, Any]:
        return {
            **self.classifier.labels[index]._asdict(),
            "probability": _rounded(finding.probabilities[index]),
        }

    def _explanation(self, finding: Finding, index: int) -> dict[str, str]:
        if not self.request.explain:
            return {}
        return {"heatmap": png_text(heat_map_png(self.classifier.heat_map(finding, index)))}


def _rounded(probability: float) -> float:
    return round(float(probability), _DIGITS)

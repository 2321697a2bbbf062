"""One prediction through the whole path, before a worker counts as ready.

The engine has run its network by then, but nobody has decoded a picture, read a label or written
an answer. A fault that would meet every request meets this one, and keeps the worker from READY.
"""

from io import BytesIO

from PIL import Image

from densenet_classifier.answers import SingleForm
from densenet_classifier.classifier import Classifier
from densenet_classifier.documents import Part
from densenet_classifier.entries import Narrator
from densenet_classifier.errors import RequestError
from densenet_classifier.pipeline import Budget, classify, outcomes, prepare
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings

_SIZE = (320, 240)  # above 224 x 224, so that it is scaled as a photograph is


class WarmUpError(RuntimeError):
    """The first prediction failed; the log has the cause before it."""


def warm_up(classifier: Classifier) -> None:
    """Classify a picture and tell its class. Raises `WarmUpError`."""
    # Not the operator's limits: they may be stricter than any picture of ours.
    settings, budget = Settings(), Budget()
    request = Request(SingleForm(), [Part(_picture())])
    (classified,) = classify(prepare([request], settings, budget), classifier, budget)
    told = outcomes(classified, Narrator(request, classifier, settings).entry, budget)
    status, body = request.form.answer(told)
    if isinstance(told[0], RequestError):
        raise WarmUpError(f"the first prediction was answered with {int(status)}: {body}")


def _picture() -> bytes:
    file = BytesIO()
    Image.linear_gradient("L").resize(_SIZE).convert("RGB").save(file, "JPEG")
    return file.getvalue()

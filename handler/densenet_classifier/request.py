"""One request as plain values: what a server's adapter reads from it, and what can be refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from densenet_classifier.answers import Form
from densenet_classifier.documents import Part
from densenet_classifier.errors import (
    InvalidOptionError,
    RequestError,
    SeveralImagesError,
    TooManyImagesError,
)
from densenet_classifier.options import MAX_HEAT_MAPS, MAX_HEAT_MAPS_OF_REQUEST, NO_OPTIONS, Options
from densenet_classifier.settings import Settings


@dataclass(frozen=True)
class Request:
    """One request: the form of its answer, and its images or why it is refused.

    `explain` asks for heat maps; `as_picture` asks for them as a picture instead of JSON.
    """

    form: Form
    parts: Sequence[Part] = ()
    options: Options = NO_OPTIONS
    error: RequestError | None = None
    explain: bool = False
    as_picture: bool = False


def check(request: Request, settings: Settings) -> None:
    """Raise the `RequestError` of a request that asks for more than is given."""
    images, most = len(request.parts), settings.max_images_per_request
    if images > most:
        raise TooManyImagesError(f"{images} images arrived; at most {most} are accepted.")
    if request.as_picture and images > 1:
        message = f"{images} images arrived, and a picture explains one. Ask for application/json."
        raise SeveralImagesError(message)
    if request.explain and (request.options.top_k or 0) > MAX_HEAT_MAPS:
        message = f"top_k of an explanation must be a whole number from 1 to {MAX_HEAT_MAPS}."
        raise InvalidOptionError(message)
    if request.explain and 1 < (request.options.top_k or 1) > MAX_HEAT_MAPS_OF_REQUEST // images:
        message = (
            f"{images} images with top_k {request.options.top_k}: an explanation has at most "
            f"{MAX_HEAT_MAPS_OF_REQUEST} heat maps together."
        )
        raise InvalidOptionError(message)

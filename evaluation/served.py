"""Answers of a running server, several at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import requests

from archive_builder.command import CommandError
from densenet_classifier import errors
from densenet_client import Client, PredictionError
from densenet_client.ordered import in_order
from densenet_client.transport import proxies_for
from evaluation.outcomes import TOP, Answered, Skipped

# What a server answers for the photograph's own sake; anything else it would answer to all.
_REFUSALS = {
    kind.__name__
    for kind in (
        errors.NoImageError,
        errors.ImageTooLargeError,
        errors.UnsupportedImageError,
        errors.UndecodableImageError,
        errors.TooManyPixelsError,
        errors.InternalError,
    )
}
_TOO_LARGE = 413  # TorchServe's own, which has no type: more than max_request_size
_TIMEOUT_S = 10


def answers(
    client: Client, paths: Iterable[Path], concurrency: int
) -> Iterator[Answered | Skipped]:
    """Yield the answer to each photograph, in order.

    `CommandError` when there is no server, or when it fails: to go on would measure the failure.
    """

    def answer(path: Path) -> Answered | Skipped:
        try:
            content = client.read(path)
        except PredictionError as error:
            return Skipped(path, str(error))
        try:
            prediction = client.predict(content, top_k=TOP, min_probability=0)
        except PredictionError as error:
            if error.type in _REFUSALS or error.status == _TOO_LARGE:
                return Skipped(path, str(error))
            raise CommandError(f"{path}: {error}") from error
        if not prediction.predictions:
            raise CommandError(f"{client.url} does not answer with classes when asked for top_k")
        return Answered(path, prediction.predictions)

    return in_order(answer, paths, concurrency)


def description(model_url: str) -> dict[str, Any] | None:
    """Return what the management API says about the model; None where it does not say it.

    It may ask for a token of its own, or not be reachable at all.
    """
    try:
        (model,) = requests.get(
            model_url,
            params={"customized": "true"},
            timeout=_TIMEOUT_S,
            proxies=proxies_for(model_url),
        ).json()
        described = model["customizedMetadata"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return None
    return described if isinstance(described, dict) else None

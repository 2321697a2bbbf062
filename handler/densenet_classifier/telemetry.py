"""What is observed about a batch, as plain values: a line of the log a request, and metrics.

`Seen` is what one request was and became; `Batch` is all of them with their times. The log line
is a JSON object without anything of a client's content: no file names, no bytes, no tokens.
docs/METRICS.md has every metric with its unit.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from densenet_classifier.answers import Outcome
from densenet_classifier.classifier import Finding
from densenet_classifier.errors import RequestError

_CLIENTS_ID = 64  # characters: a UUID has 36, a W3C traceparent 55
# What ids are made of. Anything else could forge fields where a log is read as text.
_UNSAFE = re.compile(r"[^A-Za-z0-9._:/+=@-]")
_DIGITS = 6  # of seconds, and of a probability: what is beyond is noise


class Observation(NamedTuple):
    """One value of a metric; `reason` is the class name of an error."""

    metric: str
    value: float
    reason: str | None = None


@dataclass(frozen=True)
class Seen:
    """What one request was and became.

    `images` is how many arrived, `errors` the class names of what was refused, the request or
    single images; `probabilities` those of the most probable class of each image that was
    answered, of which `unrecognised` were answered with no class.
    """

    images: int = 0
    errors: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    unrecognised: int = 0

    @classmethod
    def refused(cls, error: RequestError, images: int = 0) -> "Seen":
        """Return a request that was refused as a whole."""
        return cls(images, (type(error).__name__,))

    @classmethod
    def answered(
        cls,
        findings: Sequence[Finding | RequestError],
        outcomes: Sequence[Outcome | bytes | RequestError],
    ) -> "Seen":
        """Return a request whose images have these findings and outcomes, one each."""
        errors = [each for each in outcomes if isinstance(each, RequestError)]
        told = [
            finding
            for finding, outcome in zip(findings, outcomes, strict=True)
            if isinstance(finding, Finding) and not isinstance(outcome, RequestError)
        ]
        return cls(
            len(outcomes),
            tuple(type(error).__name__ for error in errors),
            tuple(round(float(each.probabilities.max()), _DIGITS) for each in told),
            sum(isinstance(each, dict) and each["class_id"] is None for each in outcomes),
        )


NOTHING_SEEN = Seen()


class Seconds(NamedTuple):
    """How long the steps of a batch took; `total` is all of it."""

    decode: float
    inference: float
    total: float


@dataclass(frozen=True)
class Served:
    """One request of a batch: its ids, TorchServe's and the client's own, and its status."""

    seen: Seen
    status: HTTPStatus
    request_id: str | None = None
    clients_id: str = ""


@dataclass(frozen=True)
class Batch:
    """The requests that were answered together."""

    requests: Sequence[Served]
    seconds: Seconds

    @property
    def images(self) -> int:
        """Return how many images all requests brought together."""
        return sum(each.seen.images for each in self.requests)

    def lines(self, **identity: str | int) -> Iterator[str]:
        """Yield a line of the log for each request; `identity` tells who answered."""
        now = f"{datetime.now(UTC):%FT%T.%f}"[:-3] + "Z"  # in milliseconds, as log4j2.xml has it
        for each in self.requests:
            fields = {
                "time": now,
                "level": "WARN" if each.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "INFO",
                "event": "request",
                "request_id": each.request_id,
                "client_request_id": _UNSAFE.sub("_", each.clients_id[:_CLIENTS_ID]) or None,
                "status": int(each.status),
                "images": each.seen.images,
                "errors": each.seen.errors,
                "batch_size": len(self.requests),
                "images_in_batch": self.images,
                "decode_s": round(self.seconds.decode, _DIGITS),
                "inference_s": round(self.seconds.inference, _DIGITS),
                "total_s": round(self.seconds.total, _DIGITS),
                **identity,
            }
            yield json.dumps({name: value for name, value in fields.items() if value is not None})

    def observations(self) -> Iterator[Observation]:
        """Yield what the metrics are told.

        Times are told of batches that answered an image: others took none worth the name, and
        would make the rest look fast.
        """
        seen = [each.seen for each in self.requests]
        for each in seen:
            if each.images:
                yield Observation("densenet121_request_images", each.images)
            for probability in each.probabilities:
                yield Observation("densenet121_top_probability", probability)
        if answered := sum(len(each.probabilities) for each in seen):
            yield Observation("densenet121_batch_decode_seconds", self.seconds.decode)
            yield Observation("densenet121_batch_inference_seconds", self.seconds.inference)
            yield Observation("densenet121_batch_seconds", self.seconds.total)
            yield Observation("densenet121_batch_requests", len(seen))
            yield Observation("densenet121_images_answered_total", answered)
            # 0 too: there is no rate of a counter that is not there before it first rises.
            unrecognised = sum(each.unrecognised for each in seen)
            yield Observation("densenet121_images_unrecognised_total", unrecognised)
        for reason, count in sorted(Counter(name for each in seen for name in each.errors).items()):
            yield Observation("densenet121_rejections_total", count, reason)

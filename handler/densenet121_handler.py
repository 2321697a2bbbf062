"""Entry point of the archive: TorchServe's batches <-> the package, in three steps.

Every request gets an answer of its own: one that fails is answered with its own status and leaves
the rest of the batch alone, because TorchServe fails all requests of a batch when `handle` raises.
Nothing of a request is kept on the handler.

TorchServe takes the one class of this module; relative imports fail here.
"""

import logging
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from densenet_classifier.answers import SingleForm
from densenet_classifier.classifier import Classifier
from densenet_classifier.cores import Cores
from densenet_classifier.entries import Narrator
from densenet_classifier.errors import DrainingError, InternalError, RequestError
from densenet_classifier.openapi import openapi_document
from densenet_classifier.page import render
from densenet_classifier.pipeline import Budget, Classified, Prepared, classify, outcomes, prepare
from densenet_classifier.request import Request, check
from densenet_classifier.settings import Settings
from densenet_classifier.telemetry import Batch, Seconds, Seen, Served
from densenet_classifier.warm_up import warm_up
from torchserve_messages import (
    Headers,
    Row,
    asks_for_description,
    asks_for_document,
    header,
    read_request,
)
from torchserve_responses import JSON, PNG, Response
from torchserve_telemetry import Telemetry

logger = logging.getLogger(__name__)

HTML = "text/html"
RESPONSE_TIMEOUT_S = 120  # TorchServe's own default
# The registered name and the one that was usual before.
OPENAPI = ("application/openapi+json", "application/vnd.oai.openapi+json")


class DenseNet121Handler:
    """What TorchServe calls: `initialize` once in each worker, then `handle` for each batch."""

    def initialize(self, context: Any) -> None:  # noqa: ANN401
        """Load the unpacked archive. An exception here keeps the worker from becoming READY."""
        # What Pillow warns about a damaged file is answered by status; the log need not have it.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        config = context.model_yaml_config
        self.settings = Settings.from_mapping(config.get("handler"))
        self.time_s = float(config.get("responseTimeout", RESPONSE_TIMEOUT_S))
        folder = Path(context.system_properties["model_dir"])
        self.cores = Cores(folder, workers=int(config.get("minWorkers", 1)))
        gpu = context.system_properties["gpu_id"]
        self.classifier = Classifier.load(folder, self.settings, self.cores, gpu)
        self.page = render(self.classifier.model_name, self.classifier.weights)
        self.openapi = openapi_document(self.classifier.model_name)
        self.telemetry = Telemetry(context)
        warm_up(self.classifier)
        logger.info("Serving %s", self.classifier.describe())

    def handle(self, rows: Sequence[Row], context: Any) -> list[str | bytes]:  # noqa: ANN401
        """Answer each row; its status and headers are set in the context."""
        budget = Budget(self.time_s)
        with self.cores.at_work(len(rows)):
            marks = [time.monotonic()]
            prepared = self.preprocess(rows, context, budget)
            marks.append(time.monotonic())
            classified = self.inference(prepared, budget)
            marks.append(time.monotonic())
            responses = self.postprocess(classified, budget)
            marks.append(time.monotonic())
        start, decoded, inferred, end = marks
        self._tell(responses, Seconds(decoded - start, inferred - decoded, end - start), context)
        weights = {"X-Model-Weights": self.classifier.weights}
        return [
            replace(response, headers={**response.headers, **weights}).send(context, index)
            for index, response in enumerate(responses)
        ]

    def preprocess(
        self,
        rows: Sequence[Row],
        context: Any,  # noqa: ANN401
        budget: Budget,
    ) -> list[Prepared | Response]:
        """Decode the images of each row, or answer it at once where it has none to classify."""
        headers = [context.get_all_request_header(index) for index in range(len(rows))]
        refusing = self.cores.refusing()
        batch = [
            self._read(row, each, refusing=refusing)
            for row, each in zip(rows, headers, strict=True)
        ]
        requests = [each for each in batch if isinstance(each, Request)]
        threads = self.cores.now()
        with ThreadPoolExecutor(threads) as decoders:
            each = decoders.map if threads > 1 else map
            prepared = iter(prepare(requests, self.settings, budget, each))
        return [next(prepared) if isinstance(each, Request) else each for each in batch]

    def inference(
        self, batch: Sequence[Prepared | Response], budget: Budget
    ) -> list[Classified | Response]:
        """Classify the images of all rows together."""
        prepared = [each for each in batch if isinstance(each, Prepared)]
        classified = iter(classify(prepared, self.classifier, budget))
        return [next(classified) if isinstance(each, Prepared) else each for each in batch]

    def postprocess(self, batch: Sequence[Classified | Response], budget: Budget) -> list[Response]:
        """Answer each row in the form that it asks for."""
        return [
            each if isinstance(each, Response) else self._response(each, budget) for each in batch
        ]

    def _tell(self, responses: Sequence[Response], seconds: Seconds, context: Any) -> None:  # noqa: ANN401
        # The answers are there; what is only told about them must not cost them.
        try:
            served = [
                Served(
                    response.seen,
                    response.status,
                    context.get_request_id(index),
                    header(context.get_all_request_header(index), "x-request-id"),
                )
                for index, response in enumerate(responses)
            ]
            self.telemetry.tell(Batch(served, seconds))
        except Exception:
            logger.exception("Telling about a batch failed")

    def _read(self, row: Row, headers: Headers, *, refusing: bool) -> Request | Response:
        # The last barrier: an unforeseen fault costs this request, not its neighbours.
        try:
            document = self._document(row, headers)
            return document or self._images(row, headers, refusing=refusing)
        except Exception:
            logger.exception("Reading the request failed")
            return Response.refused(SingleForm(), InternalError())

    def _document(self, row: Row, headers: Headers) -> Response | None:
        """Return what is answered to a request that is not about images."""
        if asks_for_description(row, headers):
            return Response.of((HTTPStatus.OK, self.classifier.describe()))
        asked = asks_for_document(row, headers, (JSON, HTML, *OPENAPI))
        if asked == HTML:
            return Response(
                HTTPStatus.OK, self.page.html, f"{HTML}; charset=utf-8", self.page.headers
            )
        if asked in OPENAPI:
            return Response(HTTPStatus.OK, self.openapi, asked, {"Vary": "Accept"})
        return None

    def _images(self, row: Row, headers: Headers, *, refusing: bool) -> Request | Response:
        request = read_request(row, headers, self.classifier.model_name)
        try:
            if request.error:
                raise request.error
            if refusing:
                raise DrainingError
            check(request, self.settings)
            if request.options.target:
                self.classifier.index_of(request.options.target)
        except RequestError as error:
            return Response.refused(request.form, error, len(request.parts))
        return request

    def _response(self, classified: Classified, budget: Budget) -> Response:
        request = classified.request
        narrator = Narrator(request, self.classifier, self.settings)
        if not request.as_picture:
            told = outcomes(classified, narrator.entry, budget)
            return Response.of(request.form.answer(told), Seen.answered(classified.findings, told))
        (picture,) = outcomes(classified, narrator.picture, budget)
        if isinstance(picture, RequestError):
            return Response.refused(request.form, picture, images=1)
        seen = Seen.answered(classified.findings, [picture])
        return Response(HTTPStatus.OK, picture, PNG, seen=seen)

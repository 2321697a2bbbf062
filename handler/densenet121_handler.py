"""Entry point of the archive: TorchServe's rows and context <-> plain values of the package.

A row is what TorchServe made of one request. Every row gets an answer of its own: an item that
fails is answered with its own status and leaves the rest of the batch alone, because TorchServe
fails all requests of a batch when `handle` raises. Nothing of a request is kept on the handler.

TorchServe takes the one class of this module; relative imports fail here.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import torch

from densenet_classifier.classifier import Classifier
from densenet_classifier.errors import (
    InternalError,
    NoImageError,
    RequestError,
    SeveralImagesError,
    UnsupportedImageError,
)
from densenet_classifier.formats import format_of
from densenet_classifier.images import Pixels, decode
from densenet_classifier.network import Probabilities
from densenet_classifier.settings import Settings

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]
Headers = Mapping[str, Any]

RAW_BODY = "body"  # the name under which TorchServe passes a body that is no form
# The tutorial's name of the form field, and TorchServe's.
IMAGE_FIELDS = ("file", "data")
DESCRIBE = "describe"  # stands in the place of an image for "describe the model"

Item = Pixels | RequestError | str
Result = Probabilities | RequestError | str
Answer = tuple[HTTPStatus, dict[str, Any]]


class DenseNet121Handler:
    """What TorchServe calls: `initialize` once in each worker, then `handle` for each batch."""

    def initialize(self, context: Any) -> None:  # noqa: ANN401
        """Load the unpacked archive. An exception here keeps the worker from becoming READY."""
        # What Pillow warns about a damaged file is answered by status; the log need not have it.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        config = context.model_yaml_config
        self.settings = Settings.from_mapping(config.get("handler"))
        # Every worker would use all cores; together they would use them several times over.
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // int(config.get("maxWorkers", 1))))
        self.classifier = Classifier.load(Path(context.system_properties["model_dir"]))
        logger.info("Serving %s", self.classifier.describe())

    def handle(self, rows: Sequence[Row], context: Any) -> list[str]:  # noqa: ANN401
        """Answer each row with a JSON text; its status and headers are set in the context."""
        answers = self.postprocess(self.inference(self.preprocess(rows, context)))
        for index, (status, _) in enumerate(answers):
            context.set_response_status(int(status), status.phrase, index)
            context.set_response_content_type(index, "application/json")
            context.set_response_header(index, "X-Model-Weights", self.classifier.weights)
        return [json.dumps(body) for _, body in answers]

    def preprocess(self, rows: Sequence[Row], context: Any) -> list[Item]:  # noqa: ANN401
        """Turn each row into uint8 [224, 224, 3], or what is wrong with it, or `DESCRIBE`."""
        items: list[Item] = []
        for index, row in enumerate(rows):
            headers = context.get_all_request_header(index)
            try:
                if asks_for_description(row, headers):
                    items.append(DESCRIBE)
                else:
                    items.append(decode(find_image(row, headers), self.settings))
            except RequestError as error:
                items.append(error)
            # The last barrier: an unforeseen fault costs this request, not its neighbours.
            except Exception:
                logger.exception("Preprocessing failed")
                items.append(InternalError())
        return items

    def inference(self, items: Sequence[Item]) -> list[Result]:
        """Replace the pixels by probabilities [classes], all images in one run of the network."""
        images = [item for item in items if not isinstance(item, RequestError | str)]
        results: Iterator[Result]
        try:
            results = iter(self.classifier.probabilities(images))
        except Exception:
            logger.exception("Inference failed")
            results = iter([InternalError() for _ in images])
        return [item if isinstance(item, RequestError | str) else next(results) for item in items]

    def postprocess(self, results: Sequence[Result]) -> list[Answer]:
        """Turn each result into the status and the body of its answer."""
        return [self._answer(result) for result in results]

    def _answer(self, result: Result) -> Answer:
        if isinstance(result, RequestError):
            return result.status, result.body()
        if isinstance(result, str):
            return HTTPStatus.OK, self.classifier.describe()
        return HTTPStatus.OK, self.classifier.label(result)._asdict()


def asks_for_description(row: Row, headers: Headers) -> bool:
    """Tell whether this is TorchServe's own `GET /models/{name}?customized=true`.

    TorchServe marks it with the header `describe` and an empty row. Where a client sends the
    header with its request, the row has a body, and the body is answered.
    """
    return not row and headers.get("describe") == "True"


def find_image(row: Row, headers: Headers) -> bytes | bytearray:
    """Return the bytes of the one image of a request.

    That is the raw body, or the one file part of a form under any name; other fields are
    ignored. Raises `NoImageError`, `SeveralImagesError`, or `UnsupportedImageError` for a JSON
    document.
    """
    # A file part always declares a type: TorchServe supplies one where the client did not.
    files = [name for name in row if _declares_type(headers.get(name))]
    # Except where a header of the request is called like the part, and hides its type.
    files = files or [name for name in row if name in IMAGE_FIELDS or _is_image(row[name])]
    # A browser sends a part for a file input that was left empty.
    files = [name for name in files if row[name]] or files[:1]
    if not files and RAW_BODY in row:
        return _as_bytes(row[RAW_BODY])
    if len(files) > 1:
        message = f"{len(files)} files arrived ({_shown(files)}); send one image in a request."
        raise SeveralImagesError(message)
    if not files:
        arrived = f"the form fields {_shown(list(row))}" if row else "no form field"
        message = f"No image in the request: {arrived} arrived. Send a file as form field 'file'."
        raise NoImageError(message)
    return _as_bytes(row[files[0]])


def _shown(names: Sequence[str]) -> str:
    """Return names that a client chose, as many and as long as a message can bear."""
    shown = [name[:40] for name in names[:8]]
    return ", ".join(shown if len(names) <= len(shown) else [*shown, "..."])


def _declares_type(header: object) -> bool:
    # TorchServe lists a part's content type under the part's name; a plain field has none.
    return isinstance(header, Mapping) and bool(header.get("content-type"))


def _is_image(value: object) -> bool:
    return isinstance(value, bytes | bytearray) and format_of(value) is not None


def _as_bytes(value: object) -> bytes | bytearray:
    if isinstance(value, bytes | bytearray):
        return value
    if isinstance(value, str):  # TorchServe decodes what is declared text/* and is valid UTF-8
        return value.encode()
    message = "A JSON document arrived; send the image itself, as the body or as form field 'file'."
    raise UnsupportedImageError(message)

"""What the tests ask the handler, as TorchServe would, and what they get."""

import base64
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple, Protocol

from PIL import Image

Row = Mapping[str, Any]
Headers = Mapping[str, Any]

PLAIN_TYPE = {"content-type": "application/octet-stream"}
NO_TYPE = {"content-type": ""}
EXPLAIN = {"explain": "True"}  # TorchServe's mark of a request to /explanations
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


class Reply(NamedTuple):
    status: int
    phrase: str
    headers: dict[str, str]
    content: str | bytes

    @property
    def text(self) -> str:
        assert isinstance(self.content, str)
        return self.content

    @property
    def body(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.text)
        return result

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["type"]

    @property
    def entries(self) -> list[dict[str, Any]]:
        assert list(self.body) == ["predictions"]
        result: list[dict[str, Any]] = self.body["predictions"]
        return result

    @property
    def tensors(self) -> dict[str, list[Any]]:
        """The data of each output of the Open Inference Protocol by its name."""
        return {output["name"]: output["data"] for output in self.body["outputs"]}


class Ask(Protocol):
    def __call__(self, rows: list[Row], headers: list[Headers] | None = None) -> list[Reply]: ...


class AskOne(Protocol):
    def __call__(self, row: Row, headers: Headers | None = None) -> Reply: ...


def form(files: Row, fields: Row | None = None) -> tuple[Row, Headers]:
    """Return row and headers of a form; a file declares a type, a plain field none."""
    types = dict.fromkeys(files, PLAIN_TYPE) | dict.fromkeys(fields or {}, NO_TYPE)
    return {**files, **(fields or {})}, types


def entry(index: int) -> dict[str, str]:
    """Return what is answered to the picture of a class."""
    return {"class_id": f"n0000000{index}", "class_name": f"class {index}"}


def base64_text(content: bytes | bytearray) -> str:
    return base64.b64encode(content).decode()


def tensor_request(texts: list[Any], **more: Any) -> dict[str, Any]:
    """Return a request of the Open Inference Protocol."""
    tensor = {"name": "image", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [tensor], **more}


def read_png(content: str | bytes) -> Image.Image:
    """Return the picture of a PNG, also of one in base64."""
    image = Image.open(BytesIO(base64.b64decode(content) if isinstance(content, str) else content))
    assert image.format == "PNG"
    image.load()
    return image

"""The description of what is served, OpenAPI 3.1: the document beside this module, as JSON."""

import json
from pathlib import Path
from typing import Any

import yaml

from densenet_classifier import __version__

_DOCUMENT = Path(__file__).with_name("openapi.yaml")
_MODEL_NAME = "densenet121"  # wherever the document speaks of the model as it is served


def openapi_document(model_name: str) -> str:
    """Return the document of the model that is served under this name."""
    # TorchServe's names are letters, digits, `_`, `-` and `.`, as they stand in JSON and in a path.
    text = _DOCUMENT.read_text(encoding="utf-8").replace(_MODEL_NAME, model_name)
    document: dict[str, Any] = yaml.safe_load(text)
    document["info"]["version"] = __version__
    return json.dumps(document)

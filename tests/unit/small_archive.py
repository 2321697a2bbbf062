"""An archive like ours in some hundred bytes: each file is there, with no network in any."""

import hashlib
import json
from typing import Any

from archive_builder.contents import MANIFEST, manifest_model

FILES = {
    "densenet121_handler.py": b"class Handler: pass\n",
    "densenet_classifier/__init__.py": b'"""Package."""\n\n__version__ = "0.3.0"\n',
    "model-config.yaml": b"minWorkers: 2\n",
}
MADE = {"network.xml": b"<net/>", "network.bin": b"floats", "classifier.npy": b"more floats"}
WEIGHTS = b"the network's weights"
LABELS = b'{"0": ["a", "ant"]}'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record(**changes: Any) -> dict[str, Any]:
    return {
        "model_name": "model",
        "model_version": "0.3.0",
        "version": "0.3.0",
        "weights": {"name": "custom:123", "sha256": sha256(WEIGHTS)},
        "labels": {"sha256": sha256(LABELS)},
        "sources": {name: sha256(content) for name, content in FILES.items()},
        "built_with": {},
        **changes,
    }


def contents(**changes: Any) -> dict[str, bytes]:
    """Return the files by name; `changes` are those of `archive.json`."""
    network = {
        "weights": sha256(WEIGHTS),
        "files": {name: sha256(content) for name, content in MADE.items()},
    }
    archive = record(**changes)
    return {
        **FILES,
        **MADE,
        "weights.pth": WEIGHTS,
        "index_to_name.json": LABELS,
        "archive.json": json.dumps(archive).encode(),
        "network.json": json.dumps(network).encode(),
        MANIFEST: json.dumps({"model": manifest_model(archive)}).encode(),
    }

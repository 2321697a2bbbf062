"""What an archive holds besides the sources, by name, and what TorchServe is told about it."""

import zipfile
from pathlib import Path
from typing import Any

from densenet_classifier.engine import INT8_MODEL_FILE, WEIGHTS_FILE

Record = dict[str, Any]

ENTRY = "densenet121_handler.py"
CONFIGURATION = "model-config.yaml"
MANIFEST = "MAR-INF/MANIFEST.json"


def manifest_model(record: Record) -> dict[str, str]:
    """Return what the section `model` of TorchServe's manifest says of an archive of ours."""
    return {
        "modelName": record["model_name"],
        "modelVersion": record["model_version"],
        "handler": ENTRY,
        "serializedFile": WEIGHTS_FILE,
        "configFile": CONFIGURATION,
    }


def has_int8(archive: Path) -> bool:
    """Tell whether an archive holds an int8 model; False when it cannot be read."""
    try:
        with zipfile.ZipFile(archive) as file:
            return INT8_MODEL_FILE in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False

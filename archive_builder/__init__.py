"""From weights, labels and `handler/` to a reproducible model archive in `model_store/`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL_STORE = ROOT / "model_store"
HANDLER = ROOT / "handler"
SAMPLES = ROOT / "samples"
LABELS = ROOT / "index_to_name.json"
MODEL_NAME = "densenet121"

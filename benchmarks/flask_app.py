"""The rival that tutorials show: DenseNet-121 in eager PyTorch behind Flask's development server.

Written after PyTorch's tutorial "Deploying PyTorch in Python via a REST API with Flask":
`POST /predict` with the photograph in the form's field `file`. `BENCHMARK_WEIGHTS` names the
weights.
"""

import io
import json
import os
from pathlib import Path

import torch
from flask import Flask, Response, jsonify, request
from PIL import Image

from archive_builder import LABELS
from benchmarks.reference import TUTORIAL_TRANSFORM
from densenet_classifier.network import load_network

app = Flask(__name__)
_labels: dict[str, list[str]] = json.loads(LABELS.read_text(encoding="utf-8"))
_model = load_network(Path(os.environ["BENCHMARK_WEIGHTS"]))


def get_prediction(content: bytes) -> list[str]:
    """Return WordNet id and name of the most probable class."""
    image = Image.open(io.BytesIO(content))
    tensor = TUTORIAL_TRANSFORM(image).unsqueeze(0)
    with torch.no_grad():
        _, index = _model(tensor).max(1)
    return _labels[str(index.item())]


@app.post("/predict")
def predict() -> Response:
    """Answer `{"class_id": ..., "class_name": ...}`."""
    class_id, class_name = get_prediction(request.files["file"].read())
    return jsonify({"class_id": class_id, "class_name": class_name})

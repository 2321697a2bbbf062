"""Heat maps over HTTP, alone and in one batch with predictions."""

import base64
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from archive_builder import SAMPLES
from tests.server.harness import Server

TIMEOUT_S = 60
MAZE = (SAMPLES / "maze.png").read_bytes()
MAZE_ID = "n03733281"


def explain(server: Server, path: str = "explanations/densenet121", **options: Any) -> Any:
    url = f"{server.configuration.values['inference_address']}/{path}"
    return requests.post(url, timeout=TIMEOUT_S, **options)


def opened(heatmap: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(heatmap)), formats=["PNG"])


@pytest.mark.parametrize("path", ["explanations/densenet121", "v1/models/densenet121:explain"])
def test_the_heat_map_is_a_grey_picture(any_server: Server, path: str) -> None:
    answer = explain(any_server, path, data=MAZE).json()
    assert list(answer) == ["class_id", "class_name", "probability", "heatmap"]
    assert answer["class_id"] == MAZE_ID
    heat = opened(answer["heatmap"])
    assert (heat.mode, heat.size) == ("L", (224, 224))
    assert np.ptp(np.asarray(heat)) > 0


def test_several_classes_and_a_class_by_name(demo_server: Server) -> None:
    options = {"top_k": "3", "target": "n04507155"}
    answer = explain(demo_server, files={"file": MAZE}, data=options).json()
    assert answer["class_id"] == "n04507155"
    assert answer["predictions"][0]["class_id"] == MAZE_ID
    assert len({each["heatmap"] for each in answer["predictions"]}) == 3


@pytest.mark.parametrize("top_k", [None, "3"])
def test_as_a_picture(demo_server: Server, top_k: str | None) -> None:
    response = explain(
        demo_server,
        files={"file": MAZE},
        data={"top_k": top_k} if top_k else {},
        headers={"Accept": "image/png"},
    )
    assert response.headers["Content-Type"] == "image/png"
    picture = Image.open(BytesIO(response.content))
    assert (picture.mode, picture.size) == ("RGB", (224 * int(top_k or 1), 224))
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100


def test_errors_of_a_picture_are_json(demo_server: Server) -> None:
    headers = {"Accept": "image/png"}
    refused = explain(demo_server, data=MAZE[:5000], headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (422, "UndecodableImageError")
    several = explain(demo_server, files={"a": MAZE, "b": MAZE}, headers=headers)
    assert (several.status_code, several.json()["type"]) == (400, "SeveralImagesError")


@pytest.mark.parametrize(
    "options", [{"target": "n00000000"}, {"top_k": "11"}], ids=["class", "too many maps"]
)
def test_wrong_options(demo_server: Server, options: dict[str, str]) -> None:
    response = explain(demo_server, files={"file": MAZE}, data=options)
    assert (response.status_code, response.json()["type"]) == (400, "InvalidOptionError")


def test_explanations_and_predictions_share_a_batch(batching_server: Server) -> None:
    def ask(number: int) -> Any:
        kind = "explanations" if number % 2 else "predictions"
        return explain(batching_server, f"{kind}/{batching_server.model_name}", data=MAZE).json()

    before = batching_server.count_batches()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert all(answer["class_id"] == MAZE_ID for answer in answers)
    assert ["heatmap" in answer for answer in answers] == [False, True] * 8
    assert batching_server.count_batches() - before <= 8, "no real batches were formed"

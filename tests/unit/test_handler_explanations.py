from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.engine import Outputs
from densenet_classifier.gradcam import HeatMap, heat_map
from densenet_classifier.heatmap import overlay_png
from densenet_classifier.images import Pixels
from tests.unit.asking import (
    EXPLAIN,
    PDF,
    Ask,
    AskOne,
    Headers,
    Row,
    base64_text,
    entry,
    form,
    read_png,
    tensor_request,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PICTURE: Headers = EXPLAIN | {"accept": "image/png"}

# Between two heat maps of one image, of 255: runs of other sizes round otherwise, and bf16 keeps
# 8 bits of each value on its way through the network.
ROUNDING = 8


@pytest.fixture
def outputs(handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch) -> list[Outputs]:
    """What the engine gives in the test."""
    seen: list[Outputs] = []
    genuine = handler.classifier.engine.run

    def run(images: Sequence[Pixels], *, features: bool) -> Outputs:
        seen.append(genuine(images, features=features))
        return seen[-1]

    monkeypatch.setattr(handler.classifier.engine, "run", run)
    return seen


def heat_of(outputs: list[Outputs], index: int, handler: DenseNet121Handler) -> HeatMap:
    """Return the heat map of a class for the only image of the only run."""
    (run,) = outputs
    assert run.features is not None
    return heat_map(run.features[0], handler.classifier.class_weights[index])


def explained(ask_one: AskOne, row: Row) -> dict[str, Any]:
    reply = ask_one(row, EXPLAIN)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return reply.body


def distance(one: str, other: str) -> int:
    """Return the greatest difference of two heat maps."""
    grey = [np.asarray(read_png(each)).astype(int) for each in (one, other)]
    return int(np.abs(grey[0] - grey[1]).max())


class TestAsJson:
    def test_the_class_its_probability_and_its_heat_map(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        body = explained(ask_one, {"body": image})
        assert list(body) == ["class_id", "class_name", "probability", "heatmap"]
        assert (body["class_id"], body["class_name"]) == tuple(entry(2).values())
        assert 0.9 < body["probability"] < 1

    def test_the_heat_map_is_a_greyscale_png_of_the_networks_input(
        self,
        ask_one: AskOne,
        image: bytearray,
        handler: DenseNet121Handler,
        outputs: list[Outputs],
    ) -> None:
        heat = read_png(explained(ask_one, {"body": image})["heatmap"])
        expected = np.rint(heat_of(outputs, 2, handler) * 255)
        assert (heat.mode, heat.size) == ("L", (224, 224))
        assert np.abs(np.asarray(heat) - expected).max() <= 1

    def test_each_of_top_k_has_its_own(self, ask_one: AskOne, images: list[bytearray]) -> None:
        body = explained(ask_one, {"body": images[0], "top_k": "2"})
        first, second = body["predictions"]
        assert list(first) == ["class_id", "class_name", "probability", "heatmap"]
        assert first["heatmap"] == body["heatmap"] != second["heatmap"]

    @pytest.mark.parametrize(("top_k", "status"), [("10", 200), ("11", 400), ("1000", 400)])
    def test_there_are_at_most_ten(
        self, top_k: str, status: int, ask_one: AskOne, image: bytearray
    ) -> None:
        assert ask_one({"body": image, "top_k": top_k}, EXPLAIN).status == status

    def test_more_are_refused_with_the_range(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": image, "top_k": "11"}, EXPLAIN)
        assert reply.error == (400, "InvalidOptionError")
        assert "from 1 to 10" in reply.body["message"]

    def test_of_a_target_is_about_that_class(self, ask_one: AskOne, image: bytearray) -> None:
        every = explained(ask_one, {"body": image, "top_k": "5"})["predictions"]
        body = explained(ask_one, {"body": image, "target": "n00000003"})
        (expected,) = (each for each in every if each["class_id"] == "n00000003")
        assert body == expected

    @pytest.mark.parametrize("target", ["n99999999", "class 3", "3"])
    def test_of_an_unknown_target_is_refused(
        self, target: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image, "target": target}, EXPLAIN)
        assert reply.error == (400, "InvalidOptionError")
        assert target in reply.body["message"]

    def test_of_what_was_not_recognised(self, ask_one: AskOne, flat: bytearray) -> None:
        body = explained(ask_one, {"body": flat})
        assert (body["class_id"], body["class_name"]) == (None, None)
        assert read_png(body["heatmap"]).size == (224, 224)

    def test_of_several_images(
        self, ask_one: AskOne, images: list[bytearray], truncated: bytearray
    ) -> None:
        row, types = form({"a": images[0], "b": truncated, "c": images[1]})
        entries = ask_one(row, {**types, **EXPLAIN}).entries
        assert [list(each) for each in entries] == [
            ["name", "class_id", "class_name", "probability", "heatmap"],
            ["name", "error"],
            ["name", "class_id", "class_name", "probability", "heatmap"],
        ]
        alone = [explained(ask_one, {"body": image})["heatmap"] for image in images[:2]]
        assert distance(entries[0]["heatmap"], alone[0]) <= ROUNDING
        assert distance(entries[2]["heatmap"], alone[1]) <= ROUNDING
        assert distance(entries[0]["heatmap"], alone[1]) > 2 * ROUNDING

    def test_among_predictions_is_that_of_the_image_alone(
        self, ask: Ask, ask_one: AskOne, images: list[bytearray]
    ) -> None:
        rows: list[Row] = [{"body": image} for image in images]
        replies = ask(rows, [{}, {}, {}, EXPLAIN, {}])
        assert ["heatmap" in reply.body for reply in replies] == [False] * 3 + [True, False]
        alone = explained(ask_one, {"body": images[3]})
        assert distance(replies[3].body["heatmap"], alone["heatmap"]) <= ROUNDING

    def test_as_tensors(self, ask_one: AskOne, images: list[bytearray]) -> None:
        texts = [base64_text(image) for image in images[:2]]
        request = tensor_request(texts, parameters={"top_k": 2})
        tensors = ask_one({"body": request}, EXPLAIN).tensors
        assert len(tensors["heatmap"]) == 2
        assert tensors["top_k_heatmap"][0::2] == tensors["heatmap"]

    def test_a_prediction_has_none(self, ask_one: AskOne, image: bytearray) -> None:
        assert ask_one({"body": image}).body == entry(2)

    def test_a_target_says_nothing_to_a_prediction(self, ask_one: AskOne, flat: bytearray) -> None:
        reply = ask_one({"body": flat, "target": "n00000003"})
        assert reply.body == {"class_id": None, "class_name": None}


class TestAsPicture:
    @pytest.mark.parametrize(
        ("options", "panels"),
        [({}, 1), ({"top_k": "1"}, 1), ({"top_k": "3"}, 3), ({"top_k": "10"}, 5)],
        ids=["alone", "1", "3", "more than there are"],
    )
    def test_has_a_panel_a_class(
        self, options: Row, panels: int, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image, **options}, PICTURE)
        assert isinstance(reply.content, bytes)
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        picture = read_png(reply.content)
        assert (picture.mode, picture.size) == ("RGB", (224 * panels, 224))

    @pytest.mark.parametrize(("target", "index"), [({}, 2), ({"target": "n00000003"}, 3)])
    def test_shows_the_image_below_the_heat_map(
        self,
        target: Row,
        index: int,
        ask_one: AskOne,
        image: bytearray,
        handler: DenseNet121Handler,
        pixels: list[Pixels],
        outputs: list[Outputs],
    ) -> None:
        reply = ask_one({"body": image, **target}, PICTURE)
        assert reply.content == overlay_png(pixels[2], [heat_of(outputs, index, handler)])

    @pytest.mark.parametrize("accept", ["image/*", "image/png;q=0.9, application/json;q=0.1"])
    def test_is_negotiated(self, accept: str, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": image}, EXPLAIN | {"Accept": accept})
        assert reply.headers["content-type"] == "image/png"

    @pytest.mark.parametrize(
        "accept", ["", "*/*", "application/json", "image/jpeg", "image/png;q=0"]
    )
    def test_is_only_sent_where_it_is_asked_for(
        self, accept: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image}, EXPLAIN | {"Accept": accept})
        assert reply.headers["content-type"] == "application/json"

    def test_of_several_images_is_refused(self, ask_one: AskOne, images: list[bytearray]) -> None:
        reply = ask_one({"body": [base64_text(image) for image in images[:2]]}, PICTURE)
        assert reply.error == (400, "SeveralImagesError")
        assert reply.headers["content-type"] == "application/json"
        assert "2 images arrived" in reply.body["message"]

    def test_of_a_list_of_one_is_sent(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": [base64_text(image)]}, PICTURE)
        assert reply.headers["content-type"] == "image/png"

    @pytest.mark.parametrize("wrap", [lambda text: {"b64": text}, lambda text: [text]])
    def test_of_a_bad_image_is_its_error(self, wrap: Any, ask_one: AskOne) -> None:
        reply = ask_one({"body": wrap(base64_text(PDF))}, PICTURE)
        assert reply.error == (415, "UnsupportedImageError")
        assert reply.headers["content-type"] == "application/json"

    def test_names_the_weights(self, ask_one: AskOne, image: bytearray) -> None:
        assert ask_one({"body": image}, PICTURE).headers["X-Model-Weights"] == "custom:test"


class TestLimits:
    @pytest.mark.parametrize(("count", "status"), [(6, 200), (7, 400)])
    def test_the_heat_maps_of_all_images(
        self, count: int, status: int, ask_one: AskOne, image: bytearray
    ) -> None:
        row = {"body": {"instances": [base64_text(image)] * count, "top_k": 10}}
        assert ask_one(row, EXPLAIN).status == status
        assert ask_one(row).status == 200

    def test_one_map_of_each_of_many_images(self, ask_one: AskOne, image: bytearray) -> None:
        reply = ask_one({"body": [base64_text(image)] * 32}, EXPLAIN)
        assert ["heatmap" in each for each in reply.entries] == [True] * 32


def test_a_picture_shows_the_target_before_the_most_probable(
    ask_one: AskOne, image: bytearray
) -> None:
    def picture(options: Row) -> Pixels:
        return np.asarray(read_png(ask_one({"body": image, **options}, PICTURE).content))

    target = picture({"target": "n00000004"})
    best = picture({"top_k": "2"})
    both = picture({"target": "n00000004", "top_k": "2"})
    assert np.array_equal(both, np.concatenate([target, best], axis=1))

import base64
import json
from http import HTTPStatus
from typing import Any

import pytest

from densenet_classifier.answers import Entry, Form, ListForm, SingleForm, TensorForm, png_text
from densenet_classifier.errors import InternalError, RequestError, UndecodableImageError
from densenet_classifier.options import Options
from densenet_classifier.tensors import TensorRequest

ERROR = UndecodableImageError("it is truncated")
ERROR_BODY = {"code": 422, "type": "UndecodableImageError", "message": "it is truncated"}
BRIEF: Entry = {"class_id": "n1", "class_name": "name 1"}
NOTHING: Entry = {"class_id": None, "class_name": None}


def candidate(index: int, probability: float) -> Entry:
    return {"class_id": f"n{index}", "class_name": f"name {index}", "probability": probability}


FULL: Entry = candidate(1, 0.5) | {"predictions": [candidate(1, 0.5), candidate(2, 0.3125)]}


class TestSingleForm:
    def test_the_answer_is_the_entry(self) -> None:
        assert SingleForm().answer([BRIEF]) == (HTTPStatus.OK, BRIEF)

    def test_an_error_is_answered_with_its_status(self) -> None:
        assert SingleForm().answer([ERROR]) == (422, ERROR_BODY)

    def test_a_refusal_is_the_error(self) -> None:
        assert SingleForm().refusal(ERROR) == (422, ERROR_BODY)

    @pytest.mark.parametrize("count", [0, 2])
    def test_another_number_of_images_is_a_fault(self, count: int) -> None:
        with pytest.raises(ValueError, match="unpack"):
            SingleForm().answer([BRIEF] * count)


class TestListForm:
    def test_the_order_is_kept(self) -> None:
        entries = [candidate(index, 0.5) for index in (2, 0, 1)]
        assert ListForm((None,) * 3).answer(entries) == (200, {"predictions": entries})

    def test_one_image_is_a_list_of_one(self) -> None:
        assert ListForm((None,)).answer([BRIEF]) == (200, {"predictions": [BRIEF]})

    def test_an_image_with_a_name_has_it_first(self) -> None:
        _, body = ListForm(("a.png", None)).answer([BRIEF, BRIEF])
        named, nameless = body["predictions"]
        assert list(named.items()) == [("name", "a.png"), *BRIEF.items()]
        assert nameless == BRIEF

    def test_an_empty_name_is_one_too(self) -> None:
        _, body = ListForm(("",)).answer([BRIEF])
        assert body["predictions"] == [{"name": "", **BRIEF}]

    def test_an_error_stands_in_its_place(self) -> None:
        status, body = ListForm((None, "bad", None)).answer([BRIEF, ERROR, BRIEF])
        assert status == HTTPStatus.OK
        assert body["predictions"] == [BRIEF, {"name": "bad", "error": ERROR_BODY}, BRIEF]

    def test_errors_alone_are_answered_too(self) -> None:
        status, body = ListForm((None,)).answer([ERROR])
        assert (status, body) == (200, {"predictions": [{"error": ERROR_BODY}]})

    def test_a_refusal_is_the_error(self) -> None:
        assert ListForm(("a", "b")).refusal(ERROR) == (422, ERROR_BODY)

    @pytest.mark.parametrize("count", [1, 3])
    def test_another_number_of_images_is_a_fault(self, count: int) -> None:
        with pytest.raises(ValueError, match="zip"):
            ListForm((None, None)).answer([BRIEF] * count)


class TestTensorForm:
    @staticmethod
    def answer(
        *outcomes: Entry | RequestError,
        outputs: tuple[str, ...] = (),
        request_id: str | None = None,
    ) -> dict[str, Any]:
        request = TensorRequest((), Options(), request_id, outputs)
        status, body = TensorForm("flowers", request).answer(outcomes)
        assert status == HTTPStatus.OK
        return body

    def test_an_output_for_each_value(self) -> None:
        body = self.answer(candidate(1, 0.5), candidate(2, 0.25))
        assert body == {
            "model_name": "flowers",
            "outputs": [
                {"name": "class_id", "shape": [2], "datatype": "BYTES", "data": ["n1", "n2"]},
                {"name": "class_name", "shape": [2], "datatype": "BYTES",
                 "data": ["name 1", "name 2"]},
                {"name": "probability", "shape": [2], "datatype": "FP32", "data": [0.5, 0.25]},
            ],
        }  # fmt: skip

    @pytest.mark.parametrize("request_id", ["", "42"])
    def test_the_id_is_repeated(self, request_id: str) -> None:
        assert self.answer(FULL, request_id=request_id)["id"] == request_id

    def test_candidates_are_a_row_an_image(self) -> None:
        body = self.answer(FULL, FULL, FULL)
        found = {each["name"]: each for each in body["outputs"]}
        assert found["top_k_class_id"]["shape"] == [3, 2]
        assert found["top_k_class_id"]["data"] == ["n1", "n2"] * 3
        assert found["top_k_class_name"]["data"] == ["name 1", "name 2"] * 3
        assert found["top_k_probability"]["data"] == [0.5, 0.3125] * 3
        assert found["top_k_probability"]["datatype"] == "FP32"

    def test_heat_maps_are_outputs(self) -> None:
        candidates = [candidate(1, 0.5) | {"heatmap": "A"}, candidate(2, 0.25) | {"heatmap": "B"}]
        body = self.answer(candidate(1, 0.5) | {"heatmap": "A", "predictions": candidates})
        found = {each["name"]: each for each in body["outputs"]}
        assert (found["heatmap"]["shape"], found["heatmap"]["data"]) == ([1], ["A"])
        assert (found["top_k_heatmap"]["shape"], found["top_k_heatmap"]["data"]) == (
            [1, 2],
            ["A", "B"],
        )

    def test_what_was_not_recognised_is_empty(self) -> None:
        body = self.answer(NOTHING | {"probability": 0.1})
        assert [each["data"] for each in body["outputs"]] == [[""], [""], [0.1]]

    def test_an_error_among_others_is_an_output_and_leaves_its_place_empty(self) -> None:
        body = self.answer(FULL, ERROR, FULL)
        found = {each["name"]: each["data"] for each in body["outputs"]}
        assert found["error"] == ["", "it is truncated", ""]
        assert found["class_id"] == ["n1", "", "n1"]
        assert found["probability"] == [0.5, 0.0, 0.5]
        assert found["top_k_class_id"] == ["n1", "n2", "", "", "n1", "n2"]
        assert found["top_k_probability"] == [0.5, 0.3125, 0.0, 0.0, 0.5, 0.3125]

    def test_several_errors_are_outputs(self) -> None:
        body = self.answer(ERROR, ERROR)
        assert body["outputs"][-1]["data"] == ["it is truncated"] * 2

    def test_the_error_of_the_only_image_is_the_answers(self) -> None:
        request = TensorRequest((), Options(), None, ())
        status, body = TensorForm("flowers", request).answer([ERROR])
        assert (status, body) == (422, {**ERROR_BODY, "error": "it is truncated"})

    def test_a_refusal_has_both_forms(self) -> None:
        status, body = TensorForm("flowers").refusal(ERROR)
        assert (status, body) == (422, {**ERROR_BODY, "error": "it is truncated"})

    def test_outputs_are_those_that_are_named(self) -> None:
        body = self.answer(FULL, outputs=("probability", "class_id"))
        assert [each["name"] for each in body["outputs"]] == ["probability", "class_id"]

    @pytest.mark.parametrize(
        ("name", "shape", "data"),
        [
            ("error", [2], ["", ""]),
            ("heatmap", [2], ["", ""]),
            ("top_k_class_id", [2, 0], []),
            ("top_k_probability", [2, 0], []),
        ],
    )
    def test_an_output_without_values_has_its_shape(
        self, name: str, shape: list[int], data: list[object]
    ) -> None:
        (found,) = self.answer(BRIEF, BRIEF, outputs=(name,))["outputs"]
        assert (found["shape"], found["data"]) == (shape, data)

    def test_no_answer_to_a_request_that_was_not_read(self) -> None:
        with pytest.raises(ValueError, match="not read"):
            TensorForm("flowers").answer([BRIEF])


@pytest.mark.parametrize(
    "form",
    [ListForm((None,) * 3), TensorForm("m", TensorRequest((), Options(), None, ()))],
    ids=["list", "tensor"],
)
def test_every_answer_can_be_written_as_json(form: Form) -> None:
    _, body = form.answer([FULL, NOTHING, InternalError()])
    assert json.loads(json.dumps(body, allow_nan=False)) == body


def test_a_png_is_standard_base64() -> None:
    content = bytes(range(256))
    assert png_text(content) == base64.standard_b64encode(content).decode("ascii")

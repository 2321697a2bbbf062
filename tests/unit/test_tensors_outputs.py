from contextlib import nullcontext
from typing import Any

import pytest

from densenet_classifier.errors import InvalidDocumentError
from densenet_classifier.tensors import read_tensors
from tests.unit.asking import tensor_request


def tensor() -> dict[str, Any]:
    return tensor_request(["QUJD"])


class TestIdAndOutputs:
    @pytest.mark.parametrize(("given", "kept"), [("42", "42"), ("", ""), (42, None), (None, None)])
    def test_the_id_is_a_text(self, given: object, kept: str | None) -> None:
        assert read_tensors(tensor() | {"id": given}).request_id == kept

    @pytest.mark.parametrize(("length", "refused"), [(255, False), (256, True)])
    def test_a_long_id_is_refused(self, length: int, *, refused: bool) -> None:
        expected = pytest.raises(InvalidDocumentError, match="id may") if refused else nullcontext()
        with expected:
            read_tensors(tensor() | {"id": "ä" * length})

    def test_there_need_be_none(self) -> None:
        assert read_tensors(tensor()).request_id is None

    @pytest.mark.parametrize("outputs", [None, []], ids=repr)
    def test_no_outputs_mean_all(self, outputs: object) -> None:
        assert read_tensors(tensor() | {"outputs": outputs}).outputs == ()

    def test_outputs_are_kept_in_order_and_once(self) -> None:
        names = ["probability", "class_id", "probability", "top_k_class_id"]
        found = read_tensors(tensor() | {"outputs": [{"name": name} for name in names]}).outputs
        assert found == ("probability", "class_id", "top_k_class_id")

    @pytest.mark.parametrize(
        "outputs",
        [
            5, "class_id", {}, {"name": "class_id"}, ["class_id"], [None], [{}], [{"name": None}],
            [{"name": ["class_id"]}], [{"name": {"class_id": 1}}], [{"name": "logits"}],
            [{"name": "class_id"}, {"name": "logits"}],
        ],
        ids=repr,
    )  # fmt: skip
    def test_outputs_that_there_are_not_are_refused(self, outputs: object) -> None:
        with pytest.raises(InvalidDocumentError, match="'outputs' must name some of class_id, "):
            read_tensors(tensor() | {"outputs": outputs})

from typing import Any
from unittest.mock import sentinel

import numpy as np
import pytest

from densenet_classifier.answers import Entry, Form, SingleForm, TensorForm
from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.entries import Narrator
from densenet_classifier.labels import Label
from densenet_classifier.options import Options
from densenet_classifier.request import Request
from densenet_classifier.settings import Settings
from tests.unit.asking import read_png

LABELS = tuple(Label(f"n{index}", f"name {index}") for index in range(4))
PROBABILITIES = np.array([0.0625, 0.5, 0.3125, 0.125], np.float32)
BRIEF: Entry = {"class_id": "n1", "class_name": "name 1"}
NOTHING: Entry = {"class_id": None, "class_name": None}


def candidate(index: int, probability: float) -> Entry:
    return {"class_id": f"n{index}", "class_name": f"name {index}", "probability": probability}


FULL: Entry = candidate(1, 0.5) | {"predictions": [candidate(1, 0.5), candidate(2, 0.3125)]}


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> Classifier:
    """A classifier whose heat map of class i is of the grey i."""

    def heat_map(_: Classifier, __: object, index: int) -> object:
        return np.full((224, 224), index / 255, np.float32)

    monkeypatch.setattr(Classifier, "heat_map", heat_map)
    return Classifier(
        "flowers", sentinel.engine, LABELS, np.zeros((4, 1024), np.float32), "demo", "0" * 64
    )


@pytest.fixture
def finding() -> Finding:
    pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    return Finding(pixels, PROBABILITIES, np.zeros((1024, 7, 7), np.float32))


@pytest.fixture
def narrator(classifier: Classifier) -> Any:
    def _narrator(
        form: Form | None = None, *, explain: bool = False, least: float = 0.4, **options: Any
    ) -> Narrator:
        request = Request(form or SingleForm(), options=Options(**options), explain=explain)
        return Narrator(request, classifier, Settings(min_probability=least))

    return _narrator


def test_the_entry_is_brief_without_options(narrator: Any, finding: Finding) -> None:
    assert narrator().entry(finding) == BRIEF


def test_the_entry_is_nothing_where_nothing_is_recognised(narrator: Any, finding: Finding) -> None:
    assert narrator(least=0.6).entry(finding) == NOTHING


@pytest.mark.parametrize("wanted", [0.0, 0.5])
def test_the_request_may_ask_for_less(wanted: float, narrator: Any, finding: Finding) -> None:
    assert narrator(least=0.6, min_probability=wanted).entry(finding) == BRIEF


def test_the_request_may_ask_for_more(narrator: Any, finding: Finding) -> None:
    assert narrator(min_probability=0.51).entry(finding) == NOTHING


def test_with_top_k_the_entry_has_probability_and_predictions(
    narrator: Any, finding: Finding
) -> None:
    entry = narrator(top_k=2).entry(finding)
    assert entry == FULL
    assert list(entry) == ["class_id", "class_name", "probability", "predictions"]


def test_with_top_k_the_entry_also_tells_what_was_not_recognised(
    narrator: Any, finding: Finding
) -> None:
    assert narrator(top_k=2, least=0.6).entry(finding) == FULL | NOTHING


@pytest.mark.parametrize("top_k", [4, 5, 1000])
def test_the_entry_has_all_classes_where_there_are_fewer(
    top_k: int, narrator: Any, finding: Finding
) -> None:
    found = narrator(top_k=top_k).entry(finding)["predictions"]
    assert [each["class_id"] for each in found] == ["n1", "n2", "n3", "n0"]


def test_the_tensor_form_always_has_the_probability(narrator: Any, finding: Finding) -> None:
    assert narrator(TensorForm("m")).entry(finding) == candidate(1, 0.5)


def test_probabilities_have_six_digits(narrator: Any, finding: Finding) -> None:
    thirds = Finding(finding.pixels, np.array([2 / 3, 1 / 3, 0, 0], np.float32), None)
    found = narrator(top_k=2).entry(thirds)["predictions"]
    assert [each["probability"] for each in found] == [0.666667, 0.333333]


def test_an_explanation_has_probability_and_heat_map(narrator: Any, finding: Finding) -> None:
    entry = narrator(explain=True).entry(finding)
    assert list(entry) == ["class_id", "class_name", "probability", "heatmap"]
    assert read_png(entry["heatmap"]).getextrema() == (1, 1)


def test_what_was_not_recognised_is_explained_by_its_most_probable_class(
    narrator: Any, finding: Finding
) -> None:
    entry = narrator(explain=True, least=0.6).entry(finding)
    assert entry["class_id"] is None
    assert read_png(entry["heatmap"]).getextrema() == (1, 1)


def test_each_candidate_of_an_explanation_has_its_heat_map(narrator: Any, finding: Finding) -> None:
    found = narrator(explain=True, top_k=3).entry(finding)["predictions"]
    assert [read_png(each["heatmap"]).getextrema()[0] for each in found] == [1, 2, 3]


@pytest.mark.parametrize("least", [0.4, 0.6], ids=["recognised", "not recognised"])
def test_an_explanation_of_a_target_is_about_that_class(
    least: float, narrator: Any, finding: Finding
) -> None:
    entry = narrator(explain=True, target="n3", least=least).entry(finding)
    heat = read_png(entry.pop("heatmap"))
    assert entry == candidate(3, 0.125)
    assert heat.getextrema() == (3, 3)


@pytest.mark.parametrize(("least", "expected"), [(0.4, BRIEF), (0.6, NOTHING)], ids=["yes", "no"])
def test_a_target_changes_nothing_where_nothing_is_explained(
    least: float, expected: Entry, narrator: Any, finding: Finding
) -> None:
    assert narrator(target="n3", least=least).entry(finding) == expected


def test_without_features_there_is_no_explanation(
    narrator: Any, finding: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the classifier's own heat map
    without = Finding(finding.pixels, PROBABILITIES, None)
    assert narrator(top_k=2).entry(without) == FULL
    with pytest.raises(ValueError, match="without explanation"):
        narrator(explain=True).entry(without)


@pytest.mark.parametrize(("options", "panels"), [({}, 1), ({"top_k": 3}, 3), ({"top_k": 9}, 4)])
def test_a_picture_has_a_panel_a_class(
    options: dict[str, Any], panels: int, narrator: Any, finding: Finding
) -> None:
    image = read_png(narrator(explain=True, **options).picture(finding))
    assert image.size == (224 * panels, 224)

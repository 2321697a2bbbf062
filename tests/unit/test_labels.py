import json
from pathlib import Path

import pytest

from archive_builder import LABELS
from densenet_classifier.labels import Label, LabelsError, load_labels

GOOD = {"0": ["n1", "crane"], "1": ["n2", "crane"], "2": ["n3", "Bügeleisen"]}

REFUSED = {
    "list": ([["n1", "crane"]], "must be an object"),
    "text": ("crane", "must be an object"),
    "null": (None, "must be an object"),
    "missing row": ({"0": ["n1", "a"], "2": ["n3", "c"]}, "need the rows 0 to 2; .* has 2 rows"),
    "surplus row": (GOOD | {"3": ["n4", "d"]}, "need the rows 0 to 2; .* has 4 rows"),
    "rows from 1": ({"1": ["n1", "a"], "2": ["n2", "b"], "3": ["n3", "c"]}, "need the rows"),
    "padded key": ({"00": ["n1", "a"], "1": ["n2", "b"], "2": ["n3", "c"]}, "need the rows"),
    "empty": ({}, "need the rows 0 to 2; the file has 0 rows"),
    "plain name": (GOOD | {"1": "crane"}, r'row 1 must be \["id", "name"\]'),
    "one text": (GOOD | {"1": ["n2"]}, "row 1 must be"),
    "three texts": (GOOD | {"1": ["n2", "crane", "bird"]}, "row 1 must be"),
    "object": (GOOD | {"1": {"n2": "crane"}}, "row 1 must be"),
    "null row": (GOOD | {"1": None}, "row 1 must be"),
    "number for a name": (GOOD | {"1": ["n2", 5]}, "row 1 must be"),
    "number for an id": (GOOD | {"1": [2, "crane"]}, "row 1 must be"),
    "empty name": (GOOD | {"1": ["n2", ""]}, "row 1 must be"),
    "empty id": (GOOD | {"1": ["", "crane"]}, "row 1 must be"),
    "duplicate id": (GOOD | {"2": ["n1", "tench"]}, "rows 0 and 2 have the same id n1"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index_to_name.json"


def test_labels_come_in_the_order_of_the_outputs(path: Path) -> None:
    path.write_text(json.dumps(dict(reversed(GOOD.items()))))
    assert load_labels(path, 3) == (("n1", "crane"), ("n2", "crane"), ("n3", "Bügeleisen"))


def test_row_10_stands_behind_row_9(path: Path) -> None:
    path.write_text(json.dumps({str(index): [f"n{index}", "name"] for index in range(11)}))
    assert [label.class_id for label in load_labels(path, 11)][8:] == ["n8", "n9", "n10"]


def test_a_label_is_named(path: Path) -> None:
    path.write_text(json.dumps(GOOD))
    assert load_labels(path, 3)[0] == Label(class_id="n1", class_name="crane")


def test_the_file_is_utf_8_whatever_the_locale(path: Path) -> None:
    path.write_bytes(json.dumps(GOOD, ensure_ascii=False).encode())
    assert load_labels(path, 3)[2].class_name == "Bügeleisen"


@pytest.mark.parametrize(("rows", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_file_is_refused_with_the_reason(path: Path, rows: object, message: str) -> None:
    path.write_text(json.dumps(rows))
    with pytest.raises(LabelsError, match=message):
        load_labels(path, 3)


@pytest.mark.parametrize("content", [b"", b"0: crane", b'{"0": ["n1"', b'{"0": "\xff"}'], ids=repr)
def test_what_is_no_json_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LabelsError, match="not a readable JSON file"):
        load_labels(path, 1)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(LabelsError, match="not a readable JSON file"):
        load_labels(path, 1)


def test_every_refusal_names_the_file(path: Path) -> None:
    path.write_text("[]")
    with pytest.raises(LabelsError, match=str(path)):
        load_labels(path, 1)


def test_the_file_of_the_project_has_the_two_cranes() -> None:
    names = [label.class_name for label in load_labels(LABELS, 1000)]
    assert names.count("crane") == 2

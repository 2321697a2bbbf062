"""The label file: `{"0": ["n01440764", "tench"], ...}`, one row for each output of the weights.

`load_labels` refuses anything else with a `LabelsError`: a missing or surplus row, a row that is
no pair of texts, an id that stands twice. Names may repeat (ImageNet has two cranes).
"""

import json
from pathlib import Path
from typing import NamedTuple


class LabelsError(ValueError):
    """The label file does not fit the weights."""


class Label(NamedTuple):
    """One class: its identifier (WordNet's for ImageNet) and its name."""

    class_id: str
    class_name: str


def load_labels(path: Path, classes: int) -> tuple[Label, ...]:
    """Return the labels in the order of the network's outputs, `classes` of them."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path}: not a readable JSON file: {error}"
        raise LabelsError(message) from error
    if not isinstance(rows, dict):
        message = f'{path}: must be an object of rows like "0": ["n01440764", "tench"]'
        raise LabelsError(message)
    expected = [str(index) for index in range(classes)]
    if set(rows) != set(expected):
        message = (
            f"{path}: the weights have {classes} outputs and need the rows 0 to {classes - 1}; "
            f"the file has {len(rows)} rows"
        )
        raise LabelsError(message)
    labels = tuple(_label(path, key, rows[key]) for key in expected)
    _require_distinct(path, labels)
    return labels


def _label(path: Path, key: str, row: object) -> Label:
    match row:
        case [str(class_id), str(class_name)] if class_id and class_name:
            return Label(class_id, class_name)
    message = f'{path}: row {key} must be ["id", "name"], two texts that are not empty: {row!r}'
    raise LabelsError(message)


def _require_distinct(path: Path, labels: tuple[Label, ...]) -> None:
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        first = seen.setdefault(label.class_id, index)
        if first != index:
            message = f"{path}: rows {first} and {index} have the same id {label.class_id}"
            raise LabelsError(message)

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from archive_builder import LABELS, imagenet_labels

# Of the file that the PyTorch tutorial links to.
MD5 = "c2c37ea517e94d9795004a39431a14cb"


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(imagenet_labels.imagenet_labels())
    return found


def test_labels_are_the_file_byte_for_byte() -> None:
    assert imagenet_labels.imagenet_labels().encode() == LABELS.read_bytes()


def test_file_is_the_one_of_the_tutorial() -> None:
    assert hashlib.md5(LABELS.read_bytes(), usedforsecurity=False).hexdigest() == MD5


def test_rows_are_0_to_999_in_order(rows: dict[str, list[str]]) -> None:
    assert list(rows) == [str(index) for index in range(1000)]


def test_ids_are_distinct(rows: dict[str, list[str]]) -> None:
    assert len({class_id for class_id, _ in rows.values()}) == 1000


def test_crane_and_maillot_are_the_names_that_stand_twice(rows: dict[str, list[str]]) -> None:
    count = Counter(name for _, name in rows.values())

    assert {name: number for name, number in count.items() if number > 1} == {
        "crane": 2,
        "maillot": 2,
    }


def test_name_is_the_first_synonym_with_underscores(rows: dict[str, list[str]]) -> None:
    assert rows["1"] == ["n01443537", "goldfish"]
    assert rows["281"] == ["n02123045", "tabby"]
    assert rows["2"] == ["n01484850", "great_white_shark"]


def test_command_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.json"
    monkeypatch.setattr(imagenet_labels, "LABELS", path)

    assert imagenet_labels.main() == 0
    assert path.read_bytes() == LABELS.read_bytes()

"""Real weights on real photographs: the reference gives the figures that are known of them."""

import csv
import shutil
from pathlib import Path

import pytest

from archive_builder import LABELS
from densenet_classifier.settings import Settings
from densenet_client import Candidate
from evaluation.archives import read_labels
from evaluation.figures import figures
from evaluation.labelled import Classes, sort_out
from evaluation.outcomes import TOP, Answered, Judged
from evaluation.reference import Reference


@pytest.fixture
def archive_folder(real_weights_file: Path, tmp_path: Path) -> Path:
    """Return a folder with what the reference reads of an unpacked archive."""
    (tmp_path / "weights.pth").symlink_to(real_weights_file)
    shutil.copy(LABELS, tmp_path / "index_to_name.json")
    return tmp_path


@pytest.fixture
def rows(assets: Path) -> list[dict[str, str]]:
    """Return what expected.csv says of the labelled photographs."""
    with (assets / "images" / "expected.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["label_wnid"]]


def answer(assets: Path, row: dict[str, str]) -> Answered:
    """Return the answer of expected.csv, computed in float32 by other means than ours."""
    candidates = (
        Candidate(row[f"top{n}_wnid"], "", float(row[f"top{n}_probability"]))
        for n in range(1, TOP + 1)
    )
    return Answered(assets / "images" / row["file"], tuple(candidates))


def test_the_figures_of_the_labelled_photographs(assets: Path, rows: list[dict[str, str]]) -> None:
    answers = [answer(assets, row) for row in rows]
    labelled, unlabelled = sort_out([each.path for each in answers], Classes(read_labels(LABELS)))
    assert unlabelled == []
    assert list(labelled.values()) == [row["label_wnid"] for row in rows]
    found = figures([Judged(each.path, labelled[each.path], each.candidates) for each in answers])
    assert (found.top1.count, found.top1.total) == (172, 200)
    assert sum(each.count for each in found.confusions) == 28


@pytest.mark.usefixtures("one_thread")
def test_the_reference_says_what_is_known(
    assets: Path, archive_folder: Path, rows: list[dict[str, str]]
) -> None:
    answers = [answer(assets, row) for row in rows[::8]]
    pairs = Reference(archive_folder, Settings()).beside(answers)
    for (_, referred), row in zip(pairs, rows[::8], strict=True):
        assert referred is not None
        # Within 2 of 255 the pixels may differ from those of the tutorial (images.py).
        assert referred.of_answer == pytest.approx(float(row["top1_probability"]), abs=0.05)
        assert referred.best.class_id == row["top1_wnid"]

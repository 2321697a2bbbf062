"""Which class a file is of, told by its path."""

from pathlib import Path

import pytest

from archive_builder.command import CommandError
from densenet_classifier.labels import Label
from evaluation.labelled import Classes, sort_out
from evaluation.outcomes import Skipped

CAT, CRANE, MACHINE, MAZE = "n02124075", "n02012849", "n03126707", "n09999991"


@pytest.fixture
def classes() -> Classes:
    return Classes(
        [
            Label(CAT, "Egyptian_cat"),
            Label(CRANE, "crane"),
            Label(MACHINE, "crane"),
            Label(MAZE, "maze"),
            Label("own-id", "screw"),
        ]
    )


@pytest.mark.parametrize(
    ("path", "label"),
    [
        (f"{CAT}_Egyptian_cat.JPEG", CAT),
        (f"{CAT}/ILSVRC2012_val_1.JPEG", CAT),
        (f"train/{CAT}/{MAZE}_7.JPEG", MAZE),
        ("maze.png", MAZE),
        ("maze/1.png", MAZE),
        ("own-id/1.png", "own-id"),
        (f"{MACHINE}/crane.png", MACHINE),
        ("screw/maze.png", MAZE),
    ],
)
def test_a_path_tells_its_class(classes: Classes, path: str, label: str) -> None:
    assert classes.of(Path(path)) == label


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("holiday.jpg", "its name tells no class"),
        ("Maze.png", "its name tells no class"),
        ("maze_2.png", "its name tells no class"),
        ("crane.png", "2 classes are called crane: use the id"),
        ("n00000001_x.JPEG", "the model has no class n00000001"),
    ],
)
def test_a_path_that_tells_none_says_why(classes: Classes, path: str, reason: str) -> None:
    assert classes.of(Path(path)) == Skipped(Path(path), reason)


def test_files_are_sorted_out_in_order(classes: Classes) -> None:
    paths = [Path("maze.png"), Path("a.jpg"), Path(f"{CAT}/2.jpg")]
    labelled, unlabelled = sort_out(paths, classes)
    assert list(labelled.items()) == [(paths[0], MAZE), (paths[2], CAT)]
    assert [each.path for each in unlabelled] == [paths[1]]


def test_no_label_at_all_is_an_error_that_shows_how(classes: Classes) -> None:
    with pytest.raises(CommandError, match=r"none of the 2 files .*a\.jpg.* n02124075/1\.JPEG"):
        sort_out([Path("a.jpg"), Path("b.jpg")], classes)

"""The command line: defaults, what --quick changes, and slips of the pen before anything runs."""

from pathlib import Path

import pytest

from archive_builder.command import CommandError
from benchmarks.options import ROWS, read


def test_everything_is_measured_by_default_with_demo_weights_where_there_are_no_others() -> None:
    options = read([], {})
    assert options.rows == ROWS
    assert options.connections == (1, 8, 32)
    assert (options.rounds, options.weights, options.photographs) == (3, "demo", None)


def test_the_test_assets_give_photographs_and_weights(tmp_path: Path) -> None:
    options = read([], {"TEST_ASSETS": str(tmp_path)})
    assert options.photographs == tmp_path / "images" / "labelled"
    assert options.weights == str(tmp_path / "weights" / "densenet121-imagenet1k.pth")


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    arguments = ["--weights=mine.pth", f"--photographs={tmp_path}", "--rounds=5", "--seconds=2"]
    options = read(arguments, {"TEST_ASSETS": "elsewhere", "DENSENET121_WEIGHTS": "other.pth"})
    assert (options.weights, options.photographs) == ("mine.pth", tmp_path)
    assert (options.rounds, options.seconds) == (5, 2.0)


def test_quick_is_one_short_round_of_ours_and_raw() -> None:
    options = read(["--quick"], {})
    assert options.rows == ("ours", "raw")
    assert (options.rounds, options.seconds, options.connections) == (1, 1.0, (1, 8))


def test_rows_keep_the_order_of_the_table() -> None:
    assert read(["--rows=raw,flask,ours"], {}).rows == ("ours", "flask", "raw")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--rows=ours,nginx", "unknown 'nginx'; known: ours,"),
        ("--rows=", "unknown ''"),
        ("--rounds=0", "at least 1"),
        ("--seconds=0.5", "at least 1"),
        ("--photographs=no/such/folder", "no/such/folder is not a folder"),
        ("--calibration=no/such/folder", "no/such/folder is not a folder"),
        ("--rows=ours-int8", "--calibration DIR"),
    ],
)
def test_what_cannot_be_is_refused(argument: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        read([argument], {})
    assert message in str(caught.value)

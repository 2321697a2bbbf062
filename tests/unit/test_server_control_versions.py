import pytest

from archive_builder.command import CommandError
from server_control.management import READY, Model, Worker
from server_control.table import table
from server_control.versions import _choose, _row, archives_by_version

BLUE = {"model_version": "1", "weights": {"name": "demo"}}
GREEN = {"model_version": "2", "weights": {"name": "custom:123"}}


def model(version: str, status: str = READY, *, is_default: bool = False) -> Model:
    worker = Worker("9000", 1, status, "", "")
    return Model("m", version, f"m-{version}.mar", is_default, 1, (worker,), 0, 256, 8)


def test_columns_are_as_wide_as_they_have_to_be() -> None:
    assert table([("A", "LONG", "C"), ("long", "b", "")]) == "A     LONG  C\nlong  b"


def test_a_note_has_the_default_archive_and_the_others() -> None:
    note = BLUE | {"versions": {"m-2.mar": GREEN}}

    assert {key: value["weights"] for key, value in archives_by_version(note).items()} == {
        "1": {"name": "demo"},
        "2": {"name": "custom:123"},
    }


def test_a_row_tells_workers_and_weights() -> None:
    records = {"1": BLUE, "2": GREEN}

    assert _row(model("1", is_default=True), records) == ("1", "yes", "1 of 1", "demo", "m-1.mar")
    assert _row(model("2", "UNLOADED"), records) == ("2", "", "0 of 1", "custom:123", "m-2.mar")
    assert _row(model("3"), records)[3] == "?"


def test_a_version_that_can_answer_is_chosen() -> None:
    models = [model("1"), model("2")]

    assert _choose(models, "2") is models[1]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        pytest.param("3", "version 3 is not served; these are: 1, 2", id="not served"),
        pytest.param("2", "version 2 has no worker that is ready", id="no worker"),
    ],
)
def test_a_version_that_cannot_answer_is_refused(version: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        _choose([model("1"), model("2", "WORKER_STARTED")], version)

"""What names of a command line lead to."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from densenet_classifier.formats import FORMATS
from densenet_client.names import SUFFIXES, Source, sources

NONE = BytesIO()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a tree of pictures and other files the current folder."""
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "sub/deep/c.webp",
        "sub/d.gif",
        ".cache/e.png",
        "x.png/f.bmp",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty" / "still").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given: str) -> list[str]:
    found = sources(given, NONE)
    assert not any(source.problem for source in found)
    return [source.name for source in found]


def test_suffixes_are_those_of_the_accepted_formats() -> None:
    assert {
        suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS
    } == (SUFFIXES)


def test_file_stands_for_itself_whatever_its_suffix() -> None:
    assert names("photos/notes.txt", "photos/.hidden.png") == [
        "photos/notes.txt",
        "photos/.hidden.png",
    ]


def test_folder_stands_for_the_images_below_it_sorted() -> None:
    assert names("photos") == [
        "photos/a.JPG",
        "photos/b.png",
        "photos/sub/d.gif",
        "photos/sub/deep/c.webp",
        "photos/x.png/f.bmp",
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("photos/*.png", ["photos/b.png", "photos/x.png/f.bmp"], id="star"),
        pytest.param("photos/?.JPG", ["photos/a.JPG"], id="question mark"),
        pytest.param("photos/[ab].*", ["photos/a.JPG", "photos/b.png"], id="brackets"),
        pytest.param("photos/**/*.gif", ["photos/sub/d.gif"], id="any depth"),
        pytest.param("*/notes.*", ["photos/notes.txt"], id="other suffixes"),
    ],
)
def test_pattern(pattern: str, found: list[str]) -> None:
    assert names(pattern) == found


def test_pattern_passes_over_folders_without_images() -> None:
    assert names("**/*p*") == names("photos")


def test_absolute_pattern(folder: Path) -> None:
    assert names(f"{folder}/photos/b.*") == [f"{folder}/photos/b.png"]


def test_file_with_the_signs_of_a_pattern_is_meant_literally(folder: Path) -> None:
    (folder / "a[1].png").touch()
    (folder / "a1.png").touch()

    assert names("a[1].png") == ["a[1].png"]


def test_url_stands_for_itself() -> None:
    urls = ["http://127.0.0.1/a.png?x=[1]*", "HTTPS://example.org/b*", "http://h//a", "http://h/a"]

    assert names(*urls) == urls


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(["photos/b.png", "photos/b.png"], ["photos/b.png"], id="same name"),
        pytest.param(["photos/b.png", "./photos/sub/../b.png"], ["photos/b.png"], id="same file"),
        pytest.param(["http://h/a", "http://h/a"], ["http://h/a"], id="same URL"),
        pytest.param(
            ["photos/sub/d.gif", "photos/sub"],
            ["photos/sub/d.gif", "photos/sub/deep/c.webp"],
            id="file and its folder",
        ),
    ],
)
def test_what_is_named_twice_counts_once_where_it_was_first(
    given: list[str], found: list[str]
) -> None:
    assert names(*given) == found


def test_dash_means_the_names_on_stdin() -> None:
    listing = BytesIO(b"photos/b.png\n\nphotos/sub\r\nphotos/*.JPG\nhttp://h/x y.png")

    assert sources(["photos/notes.txt", "-", "last"], listing) == [
        Source("photos/notes.txt"),
        Source("photos/b.png"),
        Source("photos/sub/d.gif"),
        Source("photos/sub/deep/c.webp"),
        Source("photos/a.JPG"),
        Source("http://h/x y.png"),
        Source("last"),
    ]


def test_names_on_stdin_are_bytes() -> None:
    name = b"\xff.png"

    assert sources(["-"], BytesIO(name + b"\n")) == [Source(os.fsdecode(name))]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("empty", "no image in this folder", id="folder without images"),
        pytest.param("none-*.png", "nothing matches", id="pattern"),
        pytest.param("emp*", "nothing matches", id="pattern of a folder without images"),
    ],
)
def test_name_that_leads_to_nothing_says_so_and_the_rest_goes_on(name: str, problem: str) -> None:
    assert sources([name, "photos/b.png"], NONE) == [Source(name, problem), Source("photos/b.png")]


def test_missing_file_is_left_to_whoever_reads_it() -> None:
    long = "x" * 300

    assert sources(["missing.png", long], NONE) == [Source("missing.png"), Source(long)]


def test_folder_that_cannot_be_read_is_a_problem_beside_what_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scandir = os.scandir

    def closed(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", closed)

    assert sources(["photos/sub"], NONE) == [
        Source("photos/sub/d.gif"),
        Source("photos/sub/deep", "Permission denied"),
    ]


@pytest.mark.parametrize("name", ["", "a\0b.png", "*\0"], ids=ascii)
def test_what_can_be_no_name_is_a_problem(name: str) -> None:
    (source,) = sources([name], NONE)
    assert source.problem == "no name of a file; names are given one a line"

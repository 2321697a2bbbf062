"""scripts/environment.py, the shell script _python that runs it, and the form of the others."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from archive_builder import ROOT

SCRIPTS = ROOT / "scripts"
VERBS = sorted(
    path
    for path in SCRIPTS.iterdir()
    if path.is_file() and path.suffix != ".py" and path.name != "_python"
)
verbs = pytest.mark.parametrize("path", VERBS, ids=lambda path: path.name)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load environment.py for a project in a folder of its own, with a finished `.venv`."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPTS / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "constraints.txt").write_text("c==1\n")
    (tmp_path / "a.txt").write_text("a==1\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", python)
    return module


def stamped(environment: ModuleType, file: Path) -> None:
    environment.stamp(file).write_text(environment.digest(file))


# included.


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("a==1\n", ["r.txt"], id="nothing"),
        pytest.param("-r other.txt\na==1\n", ["r.txt", "other.txt"], id="one"),
        pytest.param("-r b.txt\n-r c.txt\n", ["r.txt", "b.txt", "c.txt"], id="two"),
        pytest.param("-c constraints.txt\n", ["r.txt"], id="constraints are not"),
        pytest.param("# -r b.txt\n", ["r.txt"], id="comments are not"),
    ],
)
def test_included(environment: ModuleType, tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "r.txt"
    path.write_text(text)

    assert environment.included(path) == names


def test_every_included_file_of_the_project_exists(environment: ModuleType) -> None:
    names = environment.included(ROOT / "requirements-dev.txt")

    assert "requirements.txt" in names
    assert all((ROOT / name).is_file() for name in names)


# digest.


def test_digest_is_the_same_for_the_same_content(environment: ModuleType, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "a.txt", tmp_path / "b.txt")

    assert environment.digest(tmp_path / "a.txt") == environment.digest(tmp_path / "b.txt")


@pytest.mark.parametrize("name", ["a.txt", "constraints.txt"])
def test_digest_changes_with(environment: ModuleType, tmp_path: Path, name: str) -> None:
    before = environment.digest(tmp_path / "a.txt")
    (tmp_path / name).write_text("changed==2\n")

    assert environment.digest(tmp_path / "a.txt") != before


def test_digest_changes_with_the_python(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment.digest(tmp_path / "a.txt")
    monkeypatch.setattr(sys, "version", "3.11.99")

    assert environment.digest(tmp_path / "a.txt") != before


# installed.


def test_installed_by_its_stamp(environment: ModuleType, tmp_path: Path) -> None:
    stamped(environment, tmp_path / "a.txt")

    assert environment.installed(tmp_path / "a.txt")


def test_not_installed_without_a_stamp(environment: ModuleType, tmp_path: Path) -> None:
    assert not environment.installed(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["a.txt", "constraints.txt"])
def test_not_installed_after_a_change(environment: ModuleType, tmp_path: Path, name: str) -> None:
    stamped(environment, tmp_path / "a.txt")
    (tmp_path / name).write_text("changed==2\n")

    assert not environment.installed(tmp_path / "a.txt")


def test_not_installed_without_a_python(environment: ModuleType, tmp_path: Path) -> None:
    stamped(environment, tmp_path / "a.txt")
    environment.PYTHON.unlink()

    assert not environment.installed(tmp_path / "a.txt")


def test_stamps_of_two_files_are_two(environment: ModuleType, tmp_path: Path) -> None:
    stamped(environment, tmp_path / "a.txt")
    shutil.copy(tmp_path / "a.txt", tmp_path / "b.txt")

    assert not environment.installed(tmp_path / "b.txt")


# main.


@pytest.fixture
def steps(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep main() from installing, and note what it would have done."""
    done: list[str] = []
    monkeypatch.setattr(environment, "create_venv", lambda: done.append("create"))
    monkeypatch.setattr(environment, "install", done.append)
    return done


def test_main_installs_what_was_not(environment: ModuleType, steps: list[str]) -> None:
    environment.main("a.txt")

    assert steps == ["create", "a.txt"]


def test_main_does_nothing_the_second_time(environment: ModuleType, steps: list[str]) -> None:
    environment.main("a.txt")
    environment.main("a.txt")

    assert steps == ["create", "a.txt"]


def test_main_knows_that_included_files_are_installed(
    environment: ModuleType, steps: list[str], tmp_path: Path
) -> None:
    (tmp_path / "dev.txt").write_text("-r a.txt\n")

    environment.main("dev.txt")
    environment.main("a.txt")

    assert steps == ["create", "dev.txt"]


def test_main_installs_again_when_an_included_file_changed(
    environment: ModuleType, steps: list[str], tmp_path: Path
) -> None:
    (tmp_path / "dev.txt").write_text("-r a.txt\n")
    environment.main("dev.txt")
    (tmp_path / "a.txt").write_text("a==2\n")

    environment.main("dev.txt")

    assert steps == ["create", "dev.txt"] * 2


def test_a_link_to_another_checkouts_environment_is_left_alone(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    link = tmp_path / "linked"
    link.symlink_to(other)
    monkeypatch.setattr(environment, "VENV", link)
    monkeypatch.setattr(environment, "PYTHON", link / "bin" / "python")
    with pytest.raises(SystemExit, match="is a link; remove it"):
        environment.create_venv()
    assert [each.name for each in other.iterdir()] == ["kept"]


def test_failed_installation_is_tried_again(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_requirements: str) -> None:
        sys.exit("error: no network")

    monkeypatch.setattr(environment, "create_venv", lambda: None)
    monkeypatch.setattr(environment, "install", fail)

    with pytest.raises(SystemExit):
        environment.main("a.txt")

    assert not environment.installed(tmp_path / "a.txt")


# reason.


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        pytest.param(
            ["ERROR: Could not install: [Errno 28] No space left on device", "ERROR: later"],
            "the disk is full",
            id="full disk",
        ),
        pytest.param(
            ["The virtual environment was not created because ensurepip is not available."],
            "this Python lacks ensurepip; install it (on Debian: apt install python3-venv)",
            id="no ensurepip",
        ),
        pytest.param(
            ["WARNING: Retrying", "ERROR: first", "ERROR: second", "note: hint"],
            "ERROR: second",
            id="pip's last error",
        ),
        pytest.param(["one", "two"], "two", id="last line"),
        pytest.param([], "no message", id="nothing said"),
    ],
)
def test_reason(environment: ModuleType, lines: list[str], text: str) -> None:
    assert environment.reason(lines) == text


# _python.


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project of the script alone, and a PATH that holds nothing but dirname."""
    root = tmp_path / "a project"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPTS / "_python", root / "scripts")
    (root / "path").mkdir()
    dirname = shutil.which("dirname")
    assert dirname is not None
    (root / "path" / "dirname").symlink_to(dirname)
    return root


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def run_python(
    project: Path, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", project / "scripts" / "_python", *arguments],
        env={"PATH": str(project / "path")} | variables,
        cwd=project.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def one_error(result: "subprocess.CompletedProcess[str]") -> str:
    """Return the line of a run that failed with one line on stderr and status 1."""
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line


def test_no_python_on_the_path_is_one_clear_line(project: Path) -> None:
    line = one_error(run_python(project, "requirements.txt", "module"))

    assert line.startswith("error: ")
    assert "python3.11" in line
    assert "PYTHON" in line


def test_python_that_is_none_is_one_clear_line_naming_it(project: Path) -> None:
    line = one_error(run_python(project, "requirements.txt", "module", PYTHON="/nonexistent"))

    assert line.startswith("error: no CPython 3.11 found")
    assert "/nonexistent" in line


def test_python_that_is_too_old_is_one_clear_line(project: Path) -> None:
    executable(project / "path" / "python3", "exit 1")

    assert "CPython 3.11" in one_error(run_python(project, "requirements.txt", "module"))


def test_named_python_that_is_too_old_is_not_replaced_by_another(project: Path) -> None:
    executable(project / "path" / "python3", "exit 0")
    old = executable(project / "old", "exit 1")

    assert str(old) in one_error(run_python(project, "r.txt", "module", PYTHON=str(old)))


def test_module_is_run_by_the_python_of_the_project(project: Path) -> None:
    executable(project / "path" / "python3", "exit 0")
    executable(project / ".venv" / "bin" / "python", 'printf "%s\\n" "$PYTHONPATH" "$@"')

    result = run_python(project, "requirements.txt", "module", "--flag", "two words")

    assert result.stdout.splitlines() == [
        f"{project}:{project}/handler",
        "-m",
        "module",
        "--flag",
        "two words",
    ]


def test_environment_is_made_before_the_module_runs(project: Path) -> None:
    executable(project / "path" / "python3", '[ "$1" = -c ] || echo "$@"')
    executable(project / ".venv" / "bin" / "python", "echo the module")

    result = run_python(project, "requirements.txt", "module")

    assert result.stdout.splitlines() == [
        f"-E {project}/scripts/environment.py requirements.txt",
        "the module",
    ]


def test_module_does_not_run_when_the_environment_failed(project: Path) -> None:
    executable(project / "path" / "python3", '[ "$1" = -c ] || exit 7')
    executable(project / ".venv" / "bin" / "python", "echo the module")

    result = run_python(project, "requirements.txt", "module")

    assert (result.returncode, result.stdout) == (7, "")


# The other scripts.


def test_there_are_scripts() -> None:
    assert {"serve", "stop", "predict", "test", "check"} <= {path.name for path in VERBS}


@verbs
def test_script_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 25


@verbs
def test_script_is_executable(path: Path) -> None:
    assert os.access(path, os.X_OK)


@verbs
def test_script_is_one_of_the_posix_shell(path: Path) -> None:
    assert path.read_text().splitlines()[0] == "#!/bin/sh"


@verbs
def test_script_says_what_it_does(path: Path) -> None:
    comment = path.read_text().splitlines()[1]

    assert comment.startswith("# ")
    assert comment.endswith(".")

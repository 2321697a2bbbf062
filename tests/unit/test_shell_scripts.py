"""Whatever an argument holds, a script hands it on as it is: nothing is split, expanded or run.

The scripts are run as they are, from a folder whose own name is as bad, with a Python of ours.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from archive_builder import ROOT

AWKWARD = [
    "two words", " ", "", "*", "?", "~", "-rf", "--", "-", "a'b\"c", "$(touch trace)",
    "`touch trace`", "; touch trace", "| touch trace", "& touch trace", "> trace", "$HOME",
    "${HOME}", "line\nbreak", "\\", "a\\nb", "%s", "!!", "\u00fc\u4e2d", "\t", "{a,b}", "#",
    "--token=-x", "a=b",
]  # fmt: skip
# These take no arguments, or one (make-certificate), or work on a copy of the tree (mutate).
WITHOUT = {"_python", "check", "environment.py", "format", "make-certificate", "mutate"}
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file())
SHELL = [name for name in SCRIPTS if not name.endswith(".py")]
SHOW = '#!/bin/sh\nprintf \'%s\\0\' "$@" >>"$SHOWN"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of the scripts in a folder of an awkward name."""
    root = tmp_path / "$(touch trace) it's `a` *"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    return root


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(script: Path, *arguments: str, path: str = "") -> list[str]:
    """Run it in an empty folder, which stays empty; return what our program was given."""
    folder = script.parent.parent.parent
    shown, place = folder / "shown", folder / "place"
    place.mkdir()
    environment = {"SHOWN": str(shown), "PATH": path + os.environ["PATH"], "HOME": "/"}
    result = subprocess.run(
        [script, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert list(place.iterdir()) == []
    assert not list(folder.rglob("trace"))
    return shown.read_text().split("\0")[:-1]


@pytest.mark.parametrize("name", sorted(set(SHELL) - WITHOUT))
def test_a_script_hands_its_arguments_on(name: str, root: Path) -> None:
    executable(root / "scripts" / "_python", SHOW)
    requirements, module, *own_and_rest = run(root / "scripts" / name, *AWKWARD)
    assert requirements == "as-is" or requirements.startswith("requirements")
    assert re.fullmatch(r"[\w.]+", module)
    # Among arguments of the script's own, for one program or two.
    count = len(AWKWARD)
    assert any(own_and_rest[at : at + count] == AWKWARD for at in range(len(own_and_rest)))


@pytest.mark.parametrize("requirements", ["as-is", "requirements.txt"])
def test_our_python_hands_its_arguments_on(requirements: str, root: Path) -> None:
    executable(root / ".venv" / "bin" / "python", SHOW)
    (root / ".venv" / ".sealed").touch()
    found = run(root / "scripts" / "_python", requirements, "a.module", *AWKWARD)
    assert found == ["-m", "a.module", *AWKWARD]


def test_the_python_that_is_named_is_one_word(root: Path) -> None:
    python = root.parent / "my python; touch trace"
    executable(python, SHOW)
    executable(root / ".venv" / "bin" / "python", SHOW)
    os.environ.pop("PYTHON", None)
    shown = root.parent / "shown"
    result = subprocess.run(
        [root / "scripts" / "_python", "requirements.txt", "a.module"],
        env={"PYTHON": str(python), "PATH": os.environ["PATH"], "SHOWN": str(shown)},
        cwd=root,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0
    assert not list(root.parent.rglob("trace"))
    assert shown.read_text().split("\0")[-3:] == ["-m", "a.module", ""]


@pytest.mark.parametrize("folder", ["two words", "-rf", "$(touch trace)", "it's *"])
def test_a_folder_for_certificates_may_have_any_name(folder: str, root: Path) -> None:
    fake = 'while [ $# -gt 0 ]; do case "$1" in -keyout|-out) : >"$2" ;; esac; shift; done\n'
    executable(root / "bin" / "openssl", f'#!/bin/sh\n: >"$SHOWN"\n{fake}')
    target = root / "made" / folder
    run(root / "scripts" / "make-certificate", str(target), path=f"{root}/bin:")
    assert sorted(path.name for path in target.iterdir()) == ["server.key", "server.pem"]
    assert (target / "server.key").stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", SHELL)
def test_a_script_runs_no_text_as_code_and_stops_at_an_error(name: str) -> None:
    text = (ROOT / "scripts" / name).read_text(encoding="utf-8")
    commands = "".join(line for line in text.splitlines(keepends=True) if line[:1] != "#")
    assert not re.search(r"\beval\b|`|\bsh -c\b|(^|\s)\. |\bsource\b", commands)
    single = len(commands.strip().splitlines()) == 1 and commands.startswith("exec ")
    chosen = commands.startswith("case ")  # build-archive: a choice, then exec
    assert single or chosen or re.search(r"^set -eu", commands, re.MULTILINE)

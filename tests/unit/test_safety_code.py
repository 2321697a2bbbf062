"""What ruff's security rules (flake8-bandit) do not see, and that they are not switched off."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive_builder import ROOT

# What is installed where it serves, or where clients are; then the tools beside it.
SHIPPED = ("handler", "archive_builder", "server_control", "reverse_proxy", "densenet_client")
TOOLS = ("supply_chain", "scripts", "benchmarks", "evaluation", "reliability", "samples")
PRODUCT = [path for name in (*SHIPPED, *TOOLS) for path in sorted((ROOT / name).rglob("*.py"))]
NOQA = re.compile(r"# noqa: *([A-Z0-9, ]+)")
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
STARTING = {"run", "Popen", "call", "check_call", "check_output"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call with the name of what is called, like "subprocess.run"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    found = [each.value for each in call.keywords if each.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def test_security_rules_are_on() -> None:
    assert RULES["select"] == ["ALL"]
    off = {each for each in RULES["ignore"] if re.fullmatch(r"S\d*", each)}
    assert off == {"S603", "S607"}  # commands as lists: judged below
    for files, ignored in RULES["per-file-ignores"].items():
        assert files == "tests/**" or not any(re.fullmatch(r"S\d*", each) for each in ignored)


def test_no_line_of_what_is_shipped_is_excused_from_them() -> None:
    excused = [
        (name_of(path), code)
        for path in PRODUCT
        if name_of(path).split("/")[0] in SHIPPED
        for codes in NOQA.findall(path.read_text(encoding="utf-8"))
        for code in re.findall(r"\bS\d+\b", codes)
    ]
    # A variable's name is no secret.
    assert excused == [("densenet_client/arguments.py", "S105")]


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_programs_are_started_by_lists_without_a_shell(path: Path) -> None:
    for name, call in calls(path):
        assert name not in {"os.system", "os.popen", "eval", "exec", "pty.spawn"}
        if name.startswith("subprocess.") and name.split(".")[1] in STARTING:
            assert not any(each.arg == "shell" for each in call.keywords), ast.unparse(call)
            text = isinstance(call.args[0], ast.Constant | ast.JoinedStr)
            assert not text, ast.unparse(call)


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_nothing_that_can_hold_code_is_read_as_data(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"^\s*(import|from) (pickle|marshal|shelve|dill|joblib)\b", text, re.MULTILINE
    )
    for name, call in calls(path):
        if name in {"torch.load", "load"} and "torch" in ast.unparse(call):
            assert keyword(call, "weights_only") is True, ast.unparse(call)
        assert name not in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "numpy.load"}


def test_the_rules_of_this_file_see_what_they_are_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("subprocess.run('rm x', shell=True)\n")
    with pytest.raises(AssertionError, match="shell=True"):
        test_programs_are_started_by_lists_without_a_shell(bad)
    bad.write_text("torch.load(path)\n")
    with pytest.raises(AssertionError, match=r"torch\.load"):
        test_nothing_that_can_hold_code_is_read_as_data(bad)

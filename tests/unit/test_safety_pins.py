"""What is installed is what is pinned, and everything that is needed is pinned."""

from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from archive_builder import ROOT
from archive_builder.command import CommandError
from supply_chain.pins import (
    findings,
    installed_packages,
    needed,
    read_pins,
    requirement_files,
    requirements,
)


def package(folder: Path, name: str, version: str, *requires: str) -> Distribution:
    """Return an installed package, as pip leaves it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = [
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {each}" for each in requires),
    ]
    (info / "METADATA").write_text("\n".join(lines))
    return Distribution.at(info)


def found(pins: dict[str, str], *packages: Distribution) -> list[str]:
    wanted = [Requirement(f"{name}=={version}") for name, version in pins.items()]
    return findings(wanted, pins, {each.name: each for each in packages})


def test_this_environment_is_as_the_files_say() -> None:
    wanted = [each for file in requirement_files() for each in requirements(file)]
    assert findings(wanted, read_pins(), installed_packages()) == []


def test_an_environment_as_pinned_has_no_findings(tmp_path: Path) -> None:
    a, b = package(tmp_path, "a", "1", "b>=1"), package(tmp_path, "b", "2")
    assert found({"a": "1", "b": "2"}, a, b) == []


@pytest.mark.parametrize("version", ["1.1", "0.9"])
def test_another_version_than_the_pinned_is_found(version: str, tmp_path: Path) -> None:
    (line,) = found({"a": "1"}, package(tmp_path, "a", version))
    assert line == f"a {version} is installed, and 1 is pinned"


def test_a_build_of_pytorchs_own_index_is_the_pinned_one(tmp_path: Path) -> None:
    assert found({"torch": "2.14.1"}, package(tmp_path, "torch", "2.14.1+cpu")) == []


def test_what_a_pinned_package_brings_without_a_pin_is_found(tmp_path: Path) -> None:
    a, b = package(tmp_path, "a", "1", "b>=1"), package(tmp_path, "b", "2")
    (line,) = found({"a": "1"}, a, b)
    assert line.startswith("b 2 is needed")


def test_one_exact_version_is_as_good_as_a_pin(tmp_path: Path) -> None:
    a, b = package(tmp_path, "a", "1", "b==2.*"), package(tmp_path, "b", "2.0.1")
    assert found({"a": "1"}, a, b) == []


def test_a_package_that_nothing_of_ours_brings_is_nobodys_business(tmp_path: Path) -> None:
    assert found({"a": "1"}, package(tmp_path, "a", "1"), package(tmp_path, "own", "3")) == []


@pytest.mark.parametrize(
    ("wanted", "names"),
    [("a", {"a"}), ("a[more]", {"a", "b"}), ("a[other]", {"a"}), ("missing", set())],
)
def test_extras_bring_what_they_name(wanted: str, names: set[str], tmp_path: Path) -> None:
    brings = "b; extra == 'more'"
    packages = {
        "a": package(tmp_path, "a", "1", brings, "c; python_version < '3'"),
        "b": package(tmp_path, "b", "2"),
        "c": package(tmp_path, "c", "3"),
    }
    assert needed([Requirement(wanted)], packages).keys() == names


def test_packages_that_require_each_other_end(tmp_path: Path) -> None:
    packages = {"a": package(tmp_path, "a", "1", "b"), "b": package(tmp_path, "b", "2", "a")}
    assert needed([Requirement("a")], packages) == {"a": {"b"}, "b": {"a"}}


@pytest.mark.parametrize(
    "line",
    ["a", "a>=1", "a==1.*", "a==1,==2", "a @ https://localhost/a.whl", "a==1; python_version<'4'",
     "-e .", "--index-url https://localhost", "git+https://localhost/a"],
)  # fmt: skip
def test_a_line_that_pins_nothing_is_refused_by_number(line: str, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(CommandError, match=r"requirements\.txt, line 2"):
        list(requirements(file))


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-c constraints.txt\nA_b==1\n")
    (tmp_path / "constraints.txt").write_text("a-b==2\n")
    with pytest.raises(CommandError, match=r"constraints\.txt pins a-b 2, another file 1"):
        read_pins(tmp_path)


def test_every_requirements_file_is_constrained() -> None:
    for file in requirement_files(ROOT):
        lines = file.read_text().splitlines()
        assert "-c constraints.txt" in lines or "-r requirements.txt" not in lines, file.name

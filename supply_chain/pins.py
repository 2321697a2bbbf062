"""Every package by its pin: that the files pin everything, and that the environment is as they say.

A pin is a line `NAME==VERSION` of a requirements file or of `constraints.txt`. What another package
requires by one exact version is as good as pinned. Packages that nothing of ours brings are
nobody's business here. Needs no network; whether a pinned version has a known vulnerability, only a
network can tell (`audit.py`).
"""

import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from archive_builder import ROOT
from archive_builder.command import CommandError, run

CONSTRAINTS = "constraints.txt"
Packages = Mapping[str, Distribution]  # by canonical name
_OF_PYTHON = {"pip"}  # comes with the interpreter, in the version that it has


def installed_packages() -> Packages:
    """Return what is installed here."""
    # Not by sys.path: setuptools adds what it brings for itself.
    places = [sysconfig.get_path(each) for each in ("purelib", "platlib")]
    return {canonicalize_name(each.name): each for each in distributions(path=places)}


def requirement_files(root: Path = ROOT) -> list[Path]:
    """Return the files that say what is installed, but for the constraints."""
    return sorted(root.glob("requirements*.txt"))


def requirements(file: Path) -> Iterator[Requirement]:
    """Yield the lines of a file that name a package; `CommandError` for one that pins nothing."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.split(" #")[0].strip()
        if not text or text.startswith(("#", "-r ", "-c ")):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            requirement = None
        if requirement is None or not _is_pin(requirement):
            message = f"{file.name}, line {number}: {text} is not of the form NAME==VERSION"
            raise CommandError(message)
        yield requirement


def _is_pin(requirement: Requirement) -> bool:
    pinned = [(each.operator, each.version[-2:]) for each in requirement.specifier]
    plain = requirement.marker is None and requirement.url is None
    return plain and len(pinned) == 1 and pinned[0][0] == "==" and pinned[0][1] != ".*"


def read_pins(root: Path = ROOT) -> dict[str, str]:
    """Return version by canonical name; `CommandError` where two files contradict each other."""
    pins: dict[str, str] = {}
    for file in [*requirement_files(root), root / CONSTRAINTS]:
        for requirement in requirements(file):
            name = canonicalize_name(requirement.name)
            (version,) = (each.version for each in requirement.specifier)
            if pins.setdefault(name, version) != version:
                message = f"{file.name} pins {name} {version}, another file {pins[name]}"
                raise CommandError(message)
    return pins


def needed(wanted: Iterable[Requirement], packages: Packages) -> dict[str, set[str]]:
    """Return, for each package that `wanted` brings, the names of those that it requires."""
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(wanted)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if name not in packages or (name, extras) in seen:
            continue
        seen.add((name, extras))
        requires = list(_requires(packages[name], extras))
        names = {canonicalize_name(each.name) for each in requires}
        found.setdefault(name, set()).update(names & packages.keys())
        waiting += requires
    return found


def _requires(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in package.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in {"", *extras}):
            yield requirement


def findings(
    wanted: Iterable[Requirement], pins: Mapping[str, str], packages: Packages
) -> list[str]:
    """Return a line for each package that `wanted` brings and that is not the one pinned."""
    names = needed(wanted, packages).keys()
    exact = {
        canonicalize_name(requirement.name)
        for name in names
        for requirement in map(Requirement, packages[name].requires or ())
        if {each.operator for each in requirement.specifier} == {"=="}
    }
    wrong = []
    for name in sorted(names - _OF_PYTHON):
        # PyTorch's own index names its builds 2.14.1+cpu.
        version = packages[name].version.split("+")[0]
        if name not in pins and name not in exact:
            wrong.append(f"{name} {version} is needed, and {CONSTRAINTS} has no pin for it")
        elif name in pins and version != pins[name]:
            wrong.append(f"{name} {version} is installed, and {pins[name]} is pinned")
    return wrong


def main() -> int:
    """Compare this environment with the files; status 1 where they differ."""
    wanted = [each for file in requirement_files() for each in requirements(file)]
    wrong = findings(wanted, read_pins(), installed_packages())
    for line in wrong:
        print(line)
    return int(bool(wrong))


if __name__ == "__main__":
    run(main)

"""pytest plugin of mutation testing: what every mutant would make anew is made once.

A mutant runs in a process of its own, forked from one that has imported everything. The network and
the unpacked archive of the unit tests are made by the first that wants them and kept in files; the
handler is kept for all files of tests of a process. Tests that need none of them run first.
"""

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from _pytest.fixtures import pytest_fixture_setup as set_up

_KEPT = Path(__file__).resolve().parents[2] / "kept"
_STATISTICS = _KEPT.with_name("mutmut-stats.json")
_IN_FILES = ("network_file", "unpacked")
_IN_MEMORY = ("handler",)
_memory: dict[str, Any] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have ids of parameters made anew: pytest keeps them, and escapes what it kept again."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        object.__setattr__(mark._param_ids_from or mark, "_param_ids_generated", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Let the tests that cost least come first: most mutants do not survive them."""
    expensive = {*_IN_FILES, *_IN_MEMORY}
    seconds: dict[str, float] = {}
    if _STATISTICS.exists():
        seconds = json.loads(_STATISTICS.read_text(encoding="utf-8"))["duration_by_test"]
    of_file: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        of_file[item.path] += seconds.get(item.nodeid, 0.0)
    items.sort(
        key=lambda item: (len(expensive.intersection(item.fixturenames)), of_file[item.path])
    )


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Any:
    """Return what is kept of a fixture, or set it up and keep it; None leaves it to pytest."""
    name = fixturedef.argname
    if name in _IN_MEMORY:
        value = _memory.get(name) or _memory.setdefault(name, set_up(fixturedef, request))
    elif name in _IN_FILES:
        if not (_KEPT / name).exists():
            made = set_up(fixturedef, request)
            assert isinstance(made, Path)
            _keep(name, made)
        value = _copy(name, request.getfixturevalue("tmp_path_factory"))
    else:
        return None
    fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
    return value


def _keep(name: str, made: Path) -> None:
    partial = _KEPT / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if made.is_dir():
        shutil.copytree(made, partial / made.name)
    else:
        shutil.copy(made, partial)
    partial.rename(_KEPT / name)


def _copy(name: str, folders: pytest.TempPathFactory) -> Path:
    folder = folders.mktemp(name)
    # Links: what a mutant leaves in its folder, the next one does not see.
    shutil.copytree(_KEPT / name, folder, copy_function=os.link, dirs_exist_ok=True)
    (made,) = folder.iterdir()
    return made

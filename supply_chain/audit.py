"""`audit`: is a known vulnerability in what is pinned? Asks a database, so it needs a network.

`pip-audit` asks PyPI (or, with `--service osv`, OSV) about every pin and every installed package.
It ends with 0 and "no known vulnerabilities" even when no package got an answer; here what was
not answered is told, with a status of its own. The bundled Java libraries are in no database of
Python packages: docs/WEAKNESSES.md lists theirs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from archive_builder.command import CommandError, run, say
from supply_chain.pins import installed_packages, read_pins

_TIMEOUT_S = 900.0
CLEAN, VULNERABLE, UNANSWERED = 0, 1, 2


def main() -> int:
    """Audit; status 0 when all is well, 1 for vulnerabilities, 2 where answers are missing."""
    parser = argparse.ArgumentParser(
        prog="audit",
        description="Look every pinned package up in a database of vulnerabilities.",
        epilog="Status 1: a vulnerability is known; 2: some packages got no answer.",
    )
    parser.add_argument("--service", choices=("pypi", "osv"), default="pypi")
    options = parser.parse_args()
    return report(_asked(packages(), options.service))


def packages() -> dict[str, str]:
    """Return what is pinned, and what else is installed, like torch's libraries for GPUs."""
    installed = {name: each.version for name, each in installed_packages().items()}
    return installed | read_pins()


def report(answers: list[dict[str, Any]]) -> int:
    """Show pip-audit's answers, one for each package, and return the status."""
    unanswered = [each for each in answers if "skip_reason" in each]
    vulnerable = [each for each in answers if each.get("vulns")]
    for package in vulnerable:
        for found in package["vulns"]:
            names = ", ".join([found["id"], *found.get("aliases", [])])
            fixed = ", ".join(found.get("fix_versions", [])) or "none"
            print(f"{package['name']} {package['version']}: {names}; fixed in {fixed}")
    for each in unanswered:
        print(f"{each['name']}: {each['skip_reason']}")
    answered = len(answers) - len(unanswered)
    say(f"{answered} of {len(answers)} packages looked up, {len(vulnerable)} of them vulnerable")
    if vulnerable:
        return VULNERABLE
    return UNANSWERED if unanswered or not answers else CLEAN


def _asked(wanted: dict[str, str], service: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="densenet121-") as folder:
        file = Path(folder) / "requirements.txt"
        # Without the +cpu of PyTorch's own index: no database knows it.
        lines = [f"{name}=={version.split('+')[0]}\n" for name, version in sorted(wanted.items())]
        file.write_text("".join(lines), encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file)]
        # Every version is given: nothing to resolve, nothing to install.
        command += ["--no-deps", "--disable-pip", "--vulnerability-service", service]
        command += ["--format", "json", "--progress-spinner", "off"]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            message = f"{service} did not answer within {_TIMEOUT_S:.0f} s; nothing was audited"
            raise CommandError(message) from error
    try:
        answers: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        words = (result.stderr.strip().splitlines() or ["no message"])[-1]
        message = f"{service} could not be asked; nothing was audited: {words}"
        raise CommandError(message) from error
    return answers


if __name__ == "__main__":
    run(main)

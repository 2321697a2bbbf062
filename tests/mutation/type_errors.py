"""What mypy says of mutants, a JSON object a line, for mutmut's `type_check_command`.

Run in the folder of mutants. mutmut wraps each function, which hides what some of them promise
(TypeGuard), and gives up at an error outside of a mutant: left out is what mypy says of the wrapped
functions as they are, and of their mutants alike.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

MYPY = ["mypy", "src", "--output", "json", "--disable-error-code", "unused-ignore"]
NAME = re.compile(r"(?P<function>.+)__mutmut_(?P<number>\d+|orig)")


class Found(NamedTuple):
    """An error within a function: `number` is its mutant's, or `orig`."""

    function: str
    number: str
    error: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what the errors of a function and of its mutants have in common."""
        return self.error["file"], self.function, self.error["message"]


def of_mutants(errors: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the errors of mutants that the functions as they are do not have."""
    found = list(_found(errors))
    as_they_are = {each.key for each in found if each.number == "orig"}
    return [each.error for each in found if each.key not in as_they_are]


def _found(errors: Iterable[dict[str, Any]]) -> Iterator[Found]:
    """Yield the errors that lie within a function of mutmut's."""
    names: dict[str, dict[int, str]] = {}
    for error in errors:
        file = error["file"]
        if file not in names:
            names[file] = _names(Path(file))
        match = NAME.fullmatch(names[file].get(error["line"], ""))
        if match:
            yield Found(match["function"], match["number"], error)


def _names(file: Path) -> dict[int, str]:
    """Return the name of the function that a line lies in."""
    lines: dict[int, str] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and NAME.fullmatch(node.name):
            last = node.end_lineno or node.lineno
            lines |= dict.fromkeys(range(node.lineno, last + 1), node.name)
    return lines


def main() -> None:
    """Run mypy and print its errors."""
    output = subprocess.run(MYPY, capture_output=True, text=True, check=False).stdout
    for error in of_mutants(json.loads(line) for line in output.splitlines() if line.strip()):
        print(json.dumps(error))


if __name__ == "__main__":
    main()

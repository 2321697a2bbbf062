"""What `./scripts/mutate` takes for an error of a mutant."""

from pathlib import Path
from typing import Any

import pytest

from tests.mutation.type_errors import of_mutants

CODE = """\
LIMIT = 5
def x_f__mutmut_orig(x):
    return x
def x_f__mutmut_1(x):
    return None
def xǁCǁg__mutmut_2(x):
    return None
"""


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([5], [5]),
        ([4, 7], [4, 7]),
        ([3, 5], []),
        ([3, 7], [7]),
        ([1], []),
        ([], []),
    ],
    ids=["a mutant", "two", "as it is, too", "as another is", "outside of functions", "none"],
)
def test_errors_are_those_of_mutants_alone(
    lines: list[int], told: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "module.py"
    file.write_text(CODE)
    errors: list[dict[str, Any]] = [
        {"file": str(file), "line": line, "message": "Incompatible type"} for line in lines
    ]
    assert [each["line"] for each in of_mutants(errors)] == told

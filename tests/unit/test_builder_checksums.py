import shutil
import subprocess
from pathlib import Path

import pytest

from archive_builder.checksums import checksums_text, read_checksums
from tests.unit.small_archive import sha256

HASHES = {"b/c d.py": sha256(b"2"), "a.py": sha256(b"1")}


def test_lines_are_sorted_by_name() -> None:
    assert checksums_text(HASHES) == f"{sha256(b'1')}  a.py\n{sha256(b'2')}  b/c d.py\n"


def test_what_was_written_is_read() -> None:
    assert read_checksums(checksums_text(HASHES)) == HASHES


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="this system has no sha256sum")
@pytest.mark.parametrize("content", [b"1", b"3"], ids=["right", "wrong"])
def test_sha256sum_reads_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(content)
    (tmp_path / "SHA256SUMS").write_text(checksums_text({"a.py": sha256(b"1")}))

    result = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert (result.returncode == 0) is (content == b"1")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("abc  a.py", id="short hash"),
        pytest.param(f"{'A' * 64}  a.py", id="capitals"),
        pytest.param(f"{'0' * 64} a.py", id="one space"),
        pytest.param(f"{'0' * 64}  ", id="no name"),
        pytest.param(f"{'0' * 64}  a\\nb", id="escaped"),
        pytest.param("", id="empty"),
        pytest.param(f"{'1' * 64}  first.py", id="repeated name"),
    ],
)
def test_any_other_line_is_an_error_that_names_it(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_checksums(f"{'0' * 64}  first.py\n{line}\n")

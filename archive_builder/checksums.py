"""`SHA256SUMS`: the hash of every other file of an archive, as `sha256sum --check` reads it.

Lines of 64 hexadecimal digits, two spaces and the file's name, sorted by name. It proves that
nothing was damaged or changed by mistake. Whoever can write the archive can write these lines
too: what proves more is a SHA-256 of the whole archive that was kept elsewhere.
"""

import re
from collections.abc import Mapping

CHECKSUMS_FILE = "SHA256SUMS"

# sha256sum escapes names with a backslash or a line break; no file of ours has one.
_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\r\n]+)")


def checksums_text(hashes: Mapping[str, str]) -> str:
    """Return the file's content for SHA-256 by file name."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def read_checksums(text: str) -> dict[str, str]:
    """Return SHA-256 by file name; ValueError for a line of another form or a repeated name."""
    hashes: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None or match.group(2) in hashes:
            message = f"line {number} is not of the form 'SHA-256  name', or repeats a name"
            raise ValueError(message)
        hashes[match.group(2)] = match.group(1)
    return hashes

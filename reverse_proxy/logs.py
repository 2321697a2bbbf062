"""Log files that do not grow for ever: `access.log`, `access.log.1` and so on, oldest last."""

from pathlib import Path


def rotate(folder: Path, max_bytes: int, kept: int) -> bool:
    """Move each log of the folder that has become too large out of the way; tell if any had.

    Whoever writes it goes on writing to the file under its new name until told to reopen.
    """
    large = [path for path in folder.glob("*.log") if path.stat().st_size > max_bytes]
    for path in large:
        if not kept:
            path.unlink()
            continue
        for number in range(kept - 1, 0, -1):
            older = _numbered(path, number)
            if older.exists():
                older.replace(_numbered(path, number + 1))
        path.replace(_numbered(path, 1))
    return bool(large)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")

"""Names of the classes, for every row that answers indices."""

import json

from archive_builder import LABELS


def class_names() -> dict[int, str]:
    """Return the names of the classes by their index."""
    rows: dict[str, list[str]] = json.loads(LABELS.read_text(encoding="utf-8"))
    return {int(index): name for index, (_, name) in rows.items()}

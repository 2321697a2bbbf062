"""nginx's own text, with `{{name}}` where a value belongs: deploy/nginx/*.conf, filled in."""

import re
from collections.abc import Mapping
from pathlib import Path

from archive_builder import ROOT
from archive_builder.command import CommandError

FOLDER = ROOT / "deploy" / "nginx"
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = re.compile(r"[\"'\\$;{}\x00-\x1f]")


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return the template of that name with every place filled; KeyError without its value."""
    text = (FOLDER / template).read_text(encoding="utf-8")
    return _PLACE.sub(lambda place: str(values[place[1]]), text)


def safe(value: str | Path) -> str:
    """Return what can stand between nginx's quotes as it is; `CommandError` otherwise."""
    if _UNSAFE.search(str(value)):
        message = f"nginx's configuration cannot hold {str(value)!r}"
        raise CommandError(message)
    return str(value)

"""Variables of the environment that are ours: a misspelt one is told, not passed over."""

import os
from collections.abc import Mapping
from dataclasses import fields

from archive_builder.command import CommandError
from densenet_classifier.settings import Settings

_PREFIX = "DENSENET121_"
OTHERS = ("WEIGHTS", "WEIGHTS_URL", "TOKEN", "CONSOLE_LEVEL")


def require_known_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Raise `CommandError` naming each variable `DENSENET121_<NAME>` that nothing reads."""
    settings = [field.name.upper() for field in fields(Settings)]
    known = {_PREFIX + name for name in (*OTHERS, *settings)}
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if unknown:
        message = f"nothing reads {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        raise CommandError(message)

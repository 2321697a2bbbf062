"""Settings of the handler: the section `handler:` of model-config.yaml as one frozen record.

A missing key takes the default written here; an unknown key, a wrong type or a value out of
range is a `SettingsError`, so that a slip of the pen stops the load and not a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from PIL import Image


class SettingsError(ValueError):
    """The section `handler:` cannot be used as it stands."""


@dataclass(frozen=True)
class Settings:
    """Limits of one image.

    max_image_bytes: largest encoded image in bytes (10 MiB: JPEGs of 24-megapixel cameras pass).
    max_image_pixels: largest width times height in pixels, judged from the header before
        anything is decoded (50 million: pictures of 48-megapixel phones pass).
    """

    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        # Above this, Pillow's own guard against decompression bombs would answer first.
        pillow_limit = Image.MAX_IMAGE_PIXELS or 0
        _require_range("max_image_bytes", self.max_image_bytes, 1, 2**31 - 1)
        _require_range("max_image_pixels", self.max_image_pixels, 1, pillow_limit)

    @classmethod
    def from_mapping(cls, section: Mapping[str, Any] | None) -> "Settings":
        """Read the section as YAML gives it; `None` (an empty section) means all defaults."""
        if section is None:
            return cls()
        if not isinstance(section, Mapping):
            message = f"handler: must be a mapping of settings, not {type(section).__name__}"
            raise SettingsError(message)
        known = [field.name for field in fields(cls)]
        unknown = sorted(str(key) for key in section if key not in known)
        if unknown:
            message = f"handler: unknown setting {', '.join(unknown)}; known: {', '.join(known)}"
            raise SettingsError(message)
        return cls(**section)


def _require_range(name: str, value: object, low: int, high: int) -> None:
    # bool is an int to isinstance; `max_image_bytes: yes` is a mistake all the same.
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"handler: {name} must be a whole number, not {value!r}"
        raise SettingsError(message)
    if not low <= value <= high:
        message = f"handler: {name} must lie between {low} and {high}, not be {value}"
        raise SettingsError(message)

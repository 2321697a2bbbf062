"""Settings of the handler: the section `handler:` of model-config.yaml as one frozen record.

A missing key takes the default written here; an unknown key, a wrong type or a value out of
range is a `SettingsError`, so that a slip of the pen stops the load and not a request. A variable
`DENSENET121_<KEY>` of the environment, like `DENSENET121_PRECISION`, wins over the section.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from PIL import Image

# The greatest max_images_per_request: so many images with 1000 classes each still make an answer
# below TorchServe's max_response_size, as config.properties sets it.
MAX_IMAGES = 256

ENGINES = ("auto", "openvino", "torch")
PRECISIONS = ("auto", "float32", "float16", "bf16", "int8")

_VARIABLE = "DENSENET121_"


class SettingsError(ValueError):
    """The section `handler:` cannot be used as it stands."""


@dataclass(frozen=True)
class Settings:
    """Limits of an image and of a request, and when a class counts as recognised.

    max_image_bytes: largest encoded image in bytes (10 MiB: JPEGs of 24-megapixel cameras pass).
    max_image_pixels: largest width times height in pixels, judged from the header before
        anything is decoded (50 million: pictures of 48-megapixel phones pass).
    max_images_per_request: most images of one request.
    max_request_pixels: most pixels of all images of one request together, so that nobody's
        request keeps a worker from its neighbours' for long; those of other formats than JPEG
        count several times (`effort.weight`). 100 million: eight photographs of 12 megapixels.
    min_probability, max_perplexity: see `recognition.py`. 0 as min_probability recognises all.
    engine: openvino or torch; auto is torch where TorchServe gives the worker a GPU.
    precision: float32, float16 (on a GPU), bf16 or int8; auto is the fastest that archive,
        engine and machine have.
    """

    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 50_000_000
    max_images_per_request: int = 32
    max_request_pixels: int = 100_000_000
    min_probability: float = 0.15
    max_perplexity: float = 40.0
    engine: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        # Above this, Pillow's own guard against decompression bombs would answer first.
        pillow_limit = Image.MAX_IMAGE_PIXELS or 0
        _require_range("max_image_bytes", self.max_image_bytes, 1, 2**31 - 1)
        _require_range("max_image_pixels", self.max_image_pixels, 1, pillow_limit)
        _require_range("max_images_per_request", self.max_images_per_request, 1, MAX_IMAGES)
        _require_range("max_request_pixels", self.max_request_pixels, 1, 2**31 - 1)
        _require_range("min_probability", self.min_probability, 0.0, 1.0)
        _require_range("max_perplexity", self.max_perplexity, 1.0, 1e6)
        _require_one_of("engine", self.engine, ENGINES)
        _require_one_of("precision", self.precision, PRECISIONS)

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, environment: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Read the section as YAML gives it; `None` (an empty section) means all defaults."""
        section = {} if section is None else section
        if not isinstance(section, Mapping):
            message = f"handler: must be a mapping of settings, not {type(section).__name__}"
            raise SettingsError(message)
        known = [field.name for field in fields(cls)]
        unknown = sorted(str(key) for key in section if key not in known)
        if unknown:
            message = f"handler: unknown setting {', '.join(unknown)}; known: {', '.join(known)}"
            raise SettingsError(message)
        overriding = {name: _value(text) for name, text in cls.variables(environment).items()}
        return cls(**{**section, **overriding})

    @classmethod
    def variables(cls, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return what the environment sets, as text, by the names of the settings."""
        texts = {
            field.name: environment.get(_VARIABLE + field.name.upper(), "") for field in fields(cls)
        }
        return {name: text for name, text in texts.items() if text}


def _value(text: str) -> int | float | str:
    """Return what YAML would read in a variable's text: a number where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _require_one_of(name: str, value: object, values: tuple[str, ...]) -> None:
    if value not in values:
        message = f"handler: {name} must be one of {', '.join(values)}, not {value!r}"
        raise SettingsError(message)


def _require_range(name: str, value: object, low: float, high: float) -> None:
    """Raise `SettingsError` unless `value` is of the kind of `low` and lies in the range."""
    kinds, kind = (int, "a whole number") if isinstance(low, int) else ((int, float), "a number")
    # bool is an int to isinstance; `max_image_bytes: yes` is a mistake all the same.
    if isinstance(value, bool) or not isinstance(value, kinds):
        message = f"handler: {name} must be {kind}, not {value!r}"
        raise SettingsError(message)
    if not low <= value <= high:
        message = f"handler: {name} must lie between {low} and {high}, not be {value}"
        raise SettingsError(message)

import dataclasses
import math
import re
from typing import Any

import pytest
from PIL import Image

from archive_builder import HANDLER, ROOT
from archive_builder.model_configuration import model_configuration
from densenet_classifier.settings import ENGINES, PRECISIONS, Settings, SettingsError

NAMES = [field.name for field in dataclasses.fields(Settings)]
WHOLE = [name for name in NAMES if name.startswith("max_image") or name == "max_request_pixels"]
FRACTIONS = ["min_probability", "max_perplexity"]
CHOICES = {"engine": ENGINES, "precision": PRECISIONS}
# The least and the greatest value; the greatest number of pixels has a test of its own.
RANGES: dict[str, tuple[float, float]] = {
    "max_image_bytes": (1, 2**31 - 1),
    "max_images_per_request": (1, 256),
    "max_request_pixels": (1, 2**31 - 1),
    "min_probability": (0, 1),
    "max_perplexity": (1, 1e6),
}


@pytest.fixture(scope="module")
def section() -> dict[str, Any]:
    result: dict[str, Any] = model_configuration()["handler"]
    return result


def test_every_setting_stands_in_the_yaml(section: dict[str, Any]) -> None:
    assert list(section) == NAMES


def test_the_defaults_are_those_of_the_yaml(section: dict[str, Any]) -> None:
    assert Settings() == Settings.from_mapping(section)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_explained_in_the_yaml(name: str) -> None:
    lines = (HANDLER / "model-config.yaml").read_text().splitlines()
    (at,) = (index for index, line in enumerate(lines) if line.startswith(f"  {name}:"))
    assert lines[at - 1].startswith("  # ")


@pytest.mark.parametrize("empty", [None, {}], ids=["null", "no keys"])
def test_an_empty_section_means_all_defaults(empty: dict[str, Any] | None) -> None:
    assert Settings.from_mapping(empty) == Settings()


def test_every_setting_is_a_whole_number_a_fraction_or_a_choice() -> None:
    assert sorted([*WHOLE, *FRACTIONS, *CHOICES]) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "value"), [*((name, 123) for name in WHOLE), ("min_probability", 0.5),
    ("min_probability", 0), ("max_perplexity", 2.5), ("max_perplexity", 10),
    *((name, value) for name, values in CHOICES.items() for value in values)],
)  # fmt: skip
def test_a_value_is_taken_and_the_others_keep_their_default(name: str, value: Any) -> None:
    settings = Settings.from_mapping({name: value})
    assert settings == dataclasses.replace(Settings(), **{name: value})
    assert getattr(settings, name) == value


def test_all_unknown_keys_are_named_and_all_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({"one": 1, "two": 2})
    known = ", ".join(NAMES)
    assert str(caught.value) == f"handler: unknown setting one, two; known: {known}"


@pytest.mark.parametrize("key", ["max_image_byte", "Max_image_bytes", "status", 7])
def test_an_unknown_key_is_refused_by_name(key: object) -> None:
    with pytest.raises(SettingsError, match=f"unknown setting {key}.*known: max_image_bytes"):
        Settings.from_mapping({key: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", ["10", "10 MiB", 1.5, 1e6, True, None, [1]], ids=repr)
def test_a_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a whole number, not"):
        Settings.from_mapping({name: value})


@pytest.mark.parametrize("name", FRACTIONS)
@pytest.mark.parametrize("value", ["0.5", "50%", True, None, [1], {}], ids=repr)
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a number, not"):
        Settings.from_mapping({name: value})


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["", "Auto", "cuda", "fp32", True, None, 16, ["auto"]], ids=repr)
def test_what_is_no_choice_is_refused_with_the_choices(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping({name: value})
    choices = ", ".join(CHOICES[name])
    assert str(caught.value) == f"handler: {name} must be one of {choices}, not {value!r}"


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-1, 0, 2**31])
def test_a_value_out_of_range_is_refused(name: str, value: int) -> None:
    with pytest.raises(SettingsError, match=f"{name} must lie between 1 and .*not be {value}"):
        Settings.from_mapping({name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", FRACTIONS)
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{name} must lie between"):
        Settings.from_mapping({name: value})


@pytest.mark.parametrize(("name", "borders"), RANGES.items())
def test_the_borders_of_a_range_belong_to_it(name: str, borders: tuple[float, float]) -> None:
    for value in borders:
        assert getattr(Settings.from_mapping({name: value}), name) == value


@pytest.mark.parametrize(("name", "borders"), RANGES.items())
def test_what_lies_beyond_a_border_is_refused(name: str, borders: tuple[float, float]) -> None:
    step = 1 if name in WHOLE else 0.001
    for value in (borders[0] - step, borders[1] + step):
        with pytest.raises(SettingsError, match=f"{name} must lie between"):
            Settings.from_mapping({name: value})


def test_a_record_made_by_hand_is_checked_too() -> None:
    with pytest.raises(SettingsError, match="max_image_bytes"):
        Settings(max_image_bytes=0)


def test_the_ceiling_of_pixels_is_that_of_pillow() -> None:
    ceiling = Image.MAX_IMAGE_PIXELS
    assert ceiling is not None
    assert Settings(max_image_pixels=ceiling).max_image_pixels == ceiling
    with pytest.raises(SettingsError, match=str(ceiling)):
        Settings(max_image_pixels=ceiling + 1)


@pytest.mark.parametrize("wrong", [[], "text", 5], ids=["list", "text", "number"])
def test_a_section_that_is_no_mapping_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match=f"must be a mapping .*not {type(wrong).__name__}"):
        Settings.from_mapping(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_settings_cannot_be_changed(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Settings(), name, 1)


def test_torchserve_lets_the_largest_image_through_even_as_base64() -> None:
    config = (ROOT / "config.properties").read_text()
    found = re.search(r"^max_request_size=(\d+)$", config, re.MULTILINE)
    assert found
    overhead = 64 * 1024  # boundaries and part headers of a form, or the JSON around the text
    assert int(found[1]) >= Settings().max_image_bytes * 4 / 3 + overhead

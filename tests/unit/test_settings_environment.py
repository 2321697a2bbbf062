import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
from densenet_classifier.settings import Settings, SettingsError

NAMES = [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("DENSENET121_MAX_IMAGE_BYTES", "99", Settings(max_image_bytes=99)),
        ("DENSENET121_MAX_IMAGE_PIXELS", "99", Settings(max_image_pixels=99)),
        ("DENSENET121_MAX_IMAGES_PER_REQUEST", "9", Settings(max_images_per_request=9)),
        ("DENSENET121_MAX_REQUEST_PIXELS", "99", Settings(max_request_pixels=99)),
        ("DENSENET121_MIN_PROBABILITY", "0.5", Settings(min_probability=0.5)),
        ("DENSENET121_MIN_PROBABILITY", "0", Settings(min_probability=0)),
        ("DENSENET121_MAX_PERPLEXITY", "1e3", Settings(max_perplexity=1000.0)),
        ("DENSENET121_ENGINE", "torch", Settings(engine="torch")),
        ("DENSENET121_PRECISION", "float32", Settings(precision="float32")),
    ],
)
@pytest.mark.parametrize("section", [None, {}], ids=["null", "no keys"])
def test_a_variable_sets_what_the_section_leaves_out(
    variable: str, text: str, expected: Settings, section: dict[str, Any] | None
) -> None:
    found = Settings.from_mapping(section, {variable: text})
    assert found == expected


def test_every_setting_has_its_variable() -> None:
    texts = {name: str(getattr(Settings(), name)) for name in NAMES}
    assert Settings.from_mapping({}, _variables(texts)) == Settings()
    wrong = _variables(dict.fromkeys(NAMES, "?"))
    for variable, text in wrong.items():
        with pytest.raises(SettingsError):
            Settings.from_mapping({}, {variable: text})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_image_bytes", "99", 99),
        ("min_probability", "0.5", 0.5),
        ("engine", "torch", "torch"),
        ("precision", "float32", "float32"),
    ],
)
def test_a_variable_wins_over_the_section(name: str, text: str, value: object) -> None:
    section: dict[str, Any] = {
        "max_image_bytes": 7,
        "min_probability": 0.7,
        "engine": "openvino",
        "precision": "bf16",
    }
    found = Settings.from_mapping(section, _variables({name: text}))
    assert found == Settings(**section | {name: value})


def test_the_section_itself_is_left_as_it_is() -> None:
    section = {"engine": "openvino"}
    Settings.from_mapping(section, {"DENSENET121_ENGINE": "torch"})
    assert section == {"engine": "openvino"}


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_is_ignored(name: str) -> None:
    assert Settings.from_mapping({"engine": "torch"}, _variables({name: ""})) == Settings(
        engine="torch"
    )


@pytest.mark.parametrize(
    "variable",
    ["DENSENET121_WEIGHTS", "DENSENET121_STATUS", "densenet121_engine", "ENGINE", "engine"],
)
def test_other_variables_are_none_of_its_business(variable: str) -> None:
    assert Settings.from_mapping({}, {variable: "wrong"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("max_image_bytes", "10 MiB", "must be a whole number, not '10 MiB'"),
        ("max_image_bytes", "10.0", "must be a whole number, not 10.0"),
        ("max_image_bytes", "true", "must be a whole number, not 'true'"),
        ("max_image_bytes", "0", "must lie between 1 and .*, not be 0"),
        ("min_probability", "50%", "must be a number, not '50%'"),
        ("min_probability", "1.5", "must lie between .*, not be 1.5"),
        ("min_probability", "nan", "must lie between .*, not be nan"),
        ("engine", "onnx", "must be one of auto, openvino, torch, not 'onnx'"),
        ("engine", "1", "must be one of auto, openvino, torch, not 1"),
        (
            "precision",
            "Float32",
            "must be one of auto, .*, int8, not 'Float32'",
        ),
    ],
)
def test_a_bad_variable_is_refused_with_key_and_value(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} {words}"):
        Settings.from_mapping({}, _variables({name: text}))


def test_a_variable_does_not_hide_an_unknown_key() -> None:
    with pytest.raises(SettingsError, match="unknown setting engin;"):
        Settings.from_mapping({"engin": "torch"}, {"DENSENET121_ENGINE": "torch"})


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSENET121_PRECISION", "float32")
    assert Settings.from_mapping(None) == Settings(precision="float32")


def test_a_worker_takes_its_settings_from_its_environment(
    tmp_path: Path, new_context: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(Exception):
        pass

    def load(_: Path, settings: Settings, *__: object) -> None:
        told.append(settings)
        raise StoppedError

    told: list[Settings] = []
    monkeypatch.setattr(Classifier, "load", load)
    monkeypatch.setenv("DENSENET121_ENGINE", "torch")
    config = {"handler": {"engine": "openvino", "max_image_bytes": 9}}
    with pytest.raises(StoppedError):
        DenseNet121Handler().initialize(new_context(tmp_path, config))
    assert told == [Settings(engine="torch", max_image_bytes=9)]


def _variables(texts: dict[str, str]) -> dict[str, str]:
    return {f"DENSENET121_{name.upper()}": text for name, text in texts.items()}

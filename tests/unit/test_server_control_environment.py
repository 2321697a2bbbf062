from dataclasses import fields

import pytest

from archive_builder.command import CommandError
from densenet_classifier.settings import Settings
from server_control.environment import OTHERS, require_known_variables

NAMES = [*OTHERS, *(field.name.upper() for field in fields(Settings))]


@pytest.mark.parametrize("name", NAMES)
def test_variable_that_is_read_passes(name: str) -> None:
    require_known_variables({f"DENSENET121_{name}": "1"})


def test_variables_of_others_pass() -> None:
    require_known_variables({"PATH": "/bin", "DENSENET": "1", "densenet121_x": "1"})


def test_misspelt_variables_are_named_and_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSENET121_MAX_IMAGES_BYTES", "1")
    monkeypatch.setenv("DENSENET121_", "")

    with pytest.raises(CommandError) as caught:
        require_known_variables()

    message = str(caught.value)
    assert message.startswith("nothing reads DENSENET121_, DENSENET121_MAX_IMAGES_BYTES; known are")
    assert "DENSENET121_MAX_IMAGE_BYTES" in message

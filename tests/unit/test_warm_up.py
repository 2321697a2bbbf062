from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier, Finding
from densenet_classifier.entries import Narrator
from densenet_classifier.images import Picture
from densenet_classifier.warm_up import WarmUpError, warm_up

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_picture_takes_the_whole_path(
    handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, told = [], []
    pixels, entry = Picture.pixels, Narrator.entry

    def decoding(picture: Picture) -> Any:
        decoded.append(pixels(picture))
        return decoded[-1]

    def telling(narrator: Narrator, finding: Finding) -> Any:
        told.append(entry(narrator, finding))
        return told[-1]

    monkeypatch.setattr(Picture, "pixels", decoding)
    monkeypatch.setattr(Narrator, "entry", telling)
    warm_up(handler.classifier)
    assert [each.shape for each in decoded] == [(224, 224, 3)]
    assert [set(each) for each in told] == [{"class_id", "class_name"}]


def _fail(*_: object, **__: object) -> None:
    raise OSError("/secret/place is broken")


@pytest.mark.parametrize(
    "step",
    [(Picture, "open"), (Picture, "pixels"), (Classifier, "classify"), (Narrator, "entry")],
    ids=["opening", "decoding", "the network", "answering"],
)
def test_a_fault_of_any_step_keeps_the_worker_from_ready(
    step: tuple[type, str],
    unpacked: Path,
    new_context: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(*step, _fail)
    with pytest.raises(WarmUpError, match="answered with 500"):
        DenseNet121Handler().initialize(new_context(unpacked, {}))


def test_the_operators_limits_do_not_hold_for_it(
    unpacked: Path, new_context: Callable[..., Any]
) -> None:
    limits = {"max_image_bytes": 1, "max_image_pixels": 1, "max_request_pixels": 1}
    handler = DenseNet121Handler()
    handler.initialize(new_context(unpacked, {"handler": limits}))
    assert handler.settings.max_image_bytes == 1

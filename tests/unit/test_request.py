import pytest

from densenet_classifier.answers import ListForm
from densenet_classifier.documents import Part
from densenet_classifier.errors import InvalidOptionError, RequestError
from densenet_classifier.options import Options
from densenet_classifier.request import Request, check
from densenet_classifier.settings import Settings

SETTINGS = Settings(max_images_per_request=100)


def explaining(images: int, top_k: int | None) -> Request:
    return Request(ListForm(()), [Part(b"")] * images, Options(top_k), explain=True)


@pytest.mark.parametrize(
    ("images", "top_k"),
    [(32, 2), (6, 10), (40, None), (40, 1), (64, 1), (100, None), (100, 1)],
)
def test_one_heat_map_an_image_or_64_together(images: int, top_k: int | None) -> None:
    check(explaining(images, top_k), SETTINGS)


@pytest.mark.parametrize(("images", "top_k"), [(33, 2), (7, 10), (100, 2)])
def test_more_heat_maps_are_refused_with_what_was_asked(images: int, top_k: int) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        check(explaining(images, top_k), SETTINGS)
    assert str(caught.value) == (
        f"{images} images with top_k {top_k}: an explanation has at most 64 heat maps together."
    )


def test_predictions_may_have_as_many_classes_as_there_are() -> None:
    check(Request(ListForm(()), [Part(b"")] * 100, Options(1000)), SETTINGS)


def test_more_images_than_may_be_are_refused() -> None:
    with pytest.raises(RequestError, match="101 images arrived; at most 100 are accepted"):
        check(explaining(101, None), SETTINGS)

from http import HTTPStatus
from types import SimpleNamespace

import pytest

from densenet_classifier.answers import SingleForm, TensorForm
from densenet_classifier.errors import DrainingError, NoImageError, RequestError
from densenet_classifier.telemetry import Seen
from torchserve_responses import Response


def test_of_an_answer_is_json() -> None:
    response = Response.of((HTTPStatus.OK, {"a": None}))
    assert response == Response(HTTPStatus.OK, '{"a": null}', "application/json", {})


def test_is_told_to_the_context_by_its_place() -> None:
    told: list[object] = []
    context = SimpleNamespace(
        set_response_status=lambda *values: told.append(values),
        set_response_content_type=lambda *values: told.append(values),
        set_response_header=lambda *values: told.append(values),
    )
    response = Response(HTTPStatus.NOT_FOUND, b"content", "image/png", {"Vary": "Accept"})
    assert response.send(context, 3) == b"content"
    assert told == [(404, "Not Found", 3), (3, "image/png"), (3, "Vary", "Accept")]


@pytest.mark.parametrize("form", [SingleForm(), TensorForm("flowers")], ids=["single", "tensor"])
@pytest.mark.parametrize(
    ("error", "headers"),
    [(NoImageError("none"), {}), (DrainingError(), {"Retry-After": "1"})],
    ids=["the client's fault", "for now"],
)
def test_a_refusal_has_the_form_and_tells_when_to_come_back(
    form: SingleForm | TensorForm, error: RequestError, headers: dict[str, str]
) -> None:
    response = Response.refused(form, error, images=3)
    answer = Response.of(form.refusal(error))
    assert (response.status, response.content) == (answer.status, answer.content)
    assert response.headers == headers
    assert response.seen == Seen(3, (type(error).__name__,))
    assert Response.refused(form, error).seen.images == 0

"""Whose fault a TorchServe's 500 or 403 is: the client's, a worker's that died, the handler's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from densenet_classifier.errors import InternalError
from reverse_proxy.balance import WORKER_DIED
from tests.proxy.fake_torchserve import fake_torchserve
from tests.proxy.harness import Proxy, running
from tests.unit.local_http import Answer

FORM, URLENCODED = "multipart/form-data; boundary=a|b", "application/x-www-form-urlencoded"
UNREADABLE = Answer(b'{"code": 500, "type": "ErrorDataDecoderException", "message": "?"}\n', 500)
DIED = Answer(WORKER_DIED.encode(), 500)
OUT_OF_MEMORY = Answer(b'{"code": 507, "type": "InternalServerException", "message": ""}', 507)
FORBIDDEN = Answer(b'{"code": 403, "type": "IllegalArgumentException", "message": "?"}', 403)
OF_THE_HANDLER = Answer(
    json.dumps({"code": 500, "type": "InternalError", "message": "of the handler"}).encode(),
    500,
    headers={"X-Model-Weights": "demo"},
)
# A lone host is asked twice.
WORKER_ENDED = (500, "WorkerEndedError", 2)


@pytest.mark.parametrize(
    ("content_type", "answer", "expected"),
    [
        pytest.param(FORM, UNREADABLE, (400, "UnreadableRequestError", 1), id="form"),
        pytest.param(URLENCODED, UNREADABLE, (400, "UnreadableRequestError", 1), id="urlencoded"),
        pytest.param(
            "Multipart/Form-Data", UNREADABLE, (400, "UnreadableRequestError", 1), id="case"
        ),
        pytest.param("image/png", FORBIDDEN, (400, "UnreadableRequestError", 1), id="query"),
        pytest.param("image/png", UNREADABLE, WORKER_ENDED, id="no form"),
        pytest.param("text/plain; a=multipart/form-data", UNREADABLE, WORKER_ENDED, id="in words"),
        pytest.param(FORM, DIED, WORKER_ENDED, id="worker died"),
        pytest.param(FORM, OUT_OF_MEMORY, (503, "WorkerEndedError", 2), id="507"),
        pytest.param(FORM, OF_THE_HANDLER, (500, "InternalError", 2), id="handler, form"),
        pytest.param("image/png", OF_THE_HANDLER, (500, "InternalError", 2), id="handler"),
    ],
)
def test_who_has_to_mend_a_500_is_told_by_what_is_known_of_it(
    make_proxy: Callable[..., Proxy],
    tmp_path: Path,
    content_type: str,
    answer: Answer,
    expected: tuple[int, str, int],
) -> None:
    headers = {"Content-Type": content_type}
    with (
        fake_torchserve(tmp_path, "one", lambda _: answer) as host,
        running(make_proxy(host.table)) as proxy,
    ):
        given = proxy.post(data=b"picture", headers=proxy.authorization | headers)
        assert (given.status_code, given.json()["type"], len(host.predictions)) == expected
        assert given.json()["code"] == given.status_code
        assert given.headers.get("X-Model-Weights") == answer.headers.get("X-Model-Weights")
        assert given.headers.get("Retry-After") == ("1" if given.status_code == 503 else None)


def test_the_handlers_words_are_those_of_both_protocols(
    make_proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    with (
        fake_torchserve(tmp_path, "one", lambda _: OF_THE_HANDLER) as host,
        running(make_proxy(host.table)) as proxy,
    ):
        error = InternalError()
        assert proxy.post().json() == {**error.body(), "error": str(error)}

"""Whose fault a TorchServe's 500 or 403 is: the client's, a worker's that died, the handler's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from densenet_classifier.errors import InternalError
from reverse_proxy.balance import WORKER_DIED
from tests.proxy.fake_torchserve import FakeTorchServe, fake_torchserve
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


@dataclass
class Served:
    """A proxy in front of one TorchServe, which always gives the same answer."""

    proxy: Proxy
    host: FakeTorchServe
    answers: list[Answer]

    def post(self, answer: Answer, headers: dict[str, str]) -> tuple[requests.Response, int]:
        """Return what a client gets for this answer, and how often the host was asked."""
        self.answers[:] = [answer]
        before = len(self.host.predictions)
        given = self.proxy.post(data=b"picture", headers=self.proxy.authorization | headers)
        return given, len(self.host.predictions) - before


@pytest.fixture(scope="module")
def served(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, answers = tmp_path_factory.mktemp("served"), [DIED]
    with (
        fake_torchserve(folder, "one", lambda _: answers[0]) as host,
        running(Proxy(folder / "proxy", certificates, [host.table])) as proxy,
    ):
        yield Served(proxy, host, answers)


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
    served: Served, content_type: str, answer: Answer, expected: tuple[int, str, int]
) -> None:
    given, tries = served.post(answer, {"Content-Type": content_type})
    assert (given.status_code, given.json()["type"], tries) == expected
    assert given.json()["code"] == given.status_code
    assert given.headers.get("X-Model-Weights") == answer.headers.get("X-Model-Weights")
    assert given.headers.get("Retry-After") == ("1" if given.status_code == 503 else None)


def test_the_handlers_words_are_those_of_both_protocols(served: Served) -> None:
    error = InternalError()
    given, _ = served.post(OF_THE_HANDLER, {})
    assert given.json() == {**error.body(), "error": str(error)}

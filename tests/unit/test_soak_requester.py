"""reliability/soak: what is sent, and what counts as the right answer."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import fmean
from typing import Any, TypeVar

import pytest

from archive_builder import SAMPLES
from reliability.soak.options import read
from reliability.soak.requester import (
    BROKEN,
    OTHER_ANSWER,
    REFUSED,
    RIGHT,
    WRONG_STATUS,
    Mix,
    Record,
    Requester,
    arrivals,
    session,
)
from reliability.soak.traffic import Case, cases, essence
from tests.unit.local_http import Answer, Request, serving

T = TypeVar("T")

CASE = Case("photograph", 3, 200, "application/octet-stream", (b"one", b"two"))
BAD = Case("no image", 1, 415, "application/octet-stream", (b"bad",))


def answer(request: Request) -> Answer:
    """Return what a server would: the body is the class."""
    if request.body == b"bad":
        return Answer(b'{"code": 415}', 415)
    return Answer(json.dumps({"class_id": request.body.decode(), "probability": 0.5}).encode())


def records(later: Callable[[Request], Answer], rate: float = 200.0) -> list[Record]:
    """Return what became of a quarter of a second after an idle server answered with `answer`."""
    now: list[Callable[[Request], Answer]] = [answer]

    async def run(url: str) -> list[Record]:
        requester = Requester(url)
        async with session({}, tls=False) as requester.session:
            await requester.learn([CASE, BAD])
            now[0] = later
            await requester.load([CASE, BAD], rate, 0.25, 1, lambda: None)
            return requester.records

    def current(request: Request) -> Answer:
        return now[0](request)

    with serving(current) as server:
        return in_a_loop(run(server.url))


def in_a_loop(step: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: in this one a browser may have a loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, step).result()


def outcomes(found: list[Record]) -> set[str]:
    return {record.outcome for record in found}


def test_right_answers_of_every_case() -> None:
    found = records(answer)
    assert outcomes(found) == {RIGHT}
    assert {(record.case, record.status) for record in found} == {
        ("photograph", 200),
        ("no image", 415),
    }
    assert all(0 < record.due_s <= 0.35 and record.latency_s > 0 for record in found)


def test_another_probability_is_the_same_answer() -> None:
    def later(request: Request) -> Answer:
        given = answer(request)
        return Answer(given.body.replace(b"0.5", b"0.4"), given.status)

    assert outcomes(records(later)) == {RIGHT}


@pytest.mark.parametrize(
    ("later", "outcome"),
    [
        (Answer(b'{"class_id": "three"}'), OTHER_ANSWER),
        (Answer(b"{}", 500), WRONG_STATUS),
        (Answer(b"", 503), REFUSED),
        (Answer(b'{"code": 429}', 429), REFUSED),
        (Answer(reset=True), BROKEN),
        (Answer(b'{"class', missing=5), BROKEN),
        (Answer(b"no JSON"), BROKEN),
    ],
    ids=["another class", "500", "503", "429", "reset", "cut off", "no JSON"],
)
def test_what_else_may_come(later: Answer, outcome: str) -> None:
    found = [each for each in records(lambda _: later) if each.case == "photograph"]
    assert outcomes(found) == {outcome}


def test_a_server_that_is_wrong_when_idle_is_not_loaded() -> None:
    with pytest.raises(RuntimeError, match="photograph: an idle server answered 415"):
        in_a_loop(_learn(Case("photograph", 1, 200, "text/plain", (b"bad",))))


async def _learn(case: Case) -> None:
    with serving(answer) as server:
        requester = Requester(server.url)
        async with session({}, tls=False) as requester.session:
            await requester.learn([case])


def test_the_order_is_that_of_the_seed_and_the_weights() -> None:
    one, same, other = Mix([CASE, BAD], 1), Mix([CASE, BAD], 1), Mix([CASE, BAD], 2)
    taken = [next(one) for _ in range(400)]
    assert taken == [next(same) for _ in range(400)]
    assert taken != [next(other) for _ in range(400)]
    share = sum(case is CASE for case, _ in taken) / len(taken)
    assert share == pytest.approx(0.75, abs=0.07)
    assert [at for case, at in taken if case is CASE][:4] == [0, 1, 0, 1]


def test_no_case_comes_in_bursts() -> None:
    times = list(arrivals(rate=100.0, seconds=100.0, seed=1))
    assert len(times) == pytest.approx(10_000, rel=0.05)
    gaps: dict[str, list[float]] = {CASE.name: [], BAD.name: []}
    order = Mix([CASE, BAD], 1)
    for (earlier, due), (case, _) in zip(pairwise([0.0, *times]), order, strict=False):
        gaps[case.name].append(due - earlier)
    assert {name: fmean(each) for name, each in gaps.items()} == pytest.approx(
        {CASE.name: 0.01, BAD.name: 0.01}, rel=0.1
    )


def test_capacity_leaves_the_records_as_they_were() -> None:
    kept = Record(0.0, 1.0, "photograph", 200, RIGHT)

    async def run(url: str) -> tuple[float, list[Record]]:
        requester = Requester(url, records=[kept])
        async with session({}, tls=False) as requester.session:
            await requester.learn([CASE])
            return await requester.capacity([CASE], 2, 0.2), requester.records

    with serving(answer) as server:
        rate, records = in_a_loop(run(server.url))
        # Two that were learnt from; the clients go on until the last answer has come.
        assert 0 < rate <= (len(server.requests) - 2) / 0.2
    assert records == [kept]


def test_the_mix_has_every_form_and_every_refusal() -> None:
    mix = cases([SAMPLES / "maze.png", SAMPLES / "umbrella.png"])
    assert sum(case.weight for case in mix) == 100
    assert {case.status for case in mix} == {200, 400, 415, 422}
    assert sum(case.weight for case in mix if case.status != 200) == 10


def test_the_essence_leaves_out_what_may_vary() -> None:
    told = {"class_id": "a", "probability": 0.1, "predictions": [{"heatmap": "x", "name": "n"}]}
    assert essence(told) == {"class_id": "a", "predictions": [{"name": "n"}]}


def test_options() -> None:
    with_assets = read(["--load", "4", "--minutes", "10", "--proxy"], {"TEST_ASSETS": "/assets"})
    assert (with_assets.load, with_assets.minutes, with_assets.proxy) == (4, 10, True)
    assert with_assets.weights == "/assets/weights/densenet121-imagenet1k.pth"
    assert read([], {}).weights == "demo"
    assert read(["--weights", "a.pth"], {"TEST_ASSETS": "/assets"}).weights == "a.pth"
    assert read(["--quick"], {}).minutes < 1

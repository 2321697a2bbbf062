"""Requests as bytes, and what the fuzzer says of the answers to them."""

import json
from functools import cache

import pytest

from archive_builder.command import CommandError
from reliability.fuzzing.http_cases import HttpCases
from reliability.fuzzing.http_run import attack
from tests.unit.local_http import Answer, Request, serving

GOOD = json.dumps({"class_id": None, "class_name": None}).encode()
HEADERS = {"X-Model-Weights": "demo", "Content-Type": "application/json"}
KINDS = {"form", "document", "picture", "no HTTP"}
PATH = "/predictions/m"
# A case of each sort among those of this seed.
SEED = 3


@cache
def numbers(*, regular: bool, readable: bool) -> list[int]:
    """Return cases that a server of Python's library can read."""
    cases = HttpCases(SEED, "m")
    found = [
        number
        for number in range(300)
        if (cases[number].regular, cases[number].readable) == (regular, readable)
        and not cases[number].explains
        and cases[number].content.startswith(b"POST ")
        and b"\r\nTransfer-Encoding" not in cases[number].content
        and b"\r\nExpect" not in cases[number].content
    ]
    return found[:6]


def wrongs(numbers_: list[int], answer: Answer, neighbour: Answer | None = None) -> list[str]:
    """Let a server answer so, and the neighbour otherwise."""
    first = Answer(GOOD, 200, headers=HEADERS)
    asked: list[Request] = []

    def answers(request: Request) -> Answer:
        # The fuzzer names its host so; the neighbour by its address.
        if request.headers["Host"] != "localhost":
            asked.append(request)
            return first if len(asked) == 1 or neighbour is None else neighbour
        return answer

    with serving(answers) as server:
        tally = attack(server.url + PATH, SEED, numbers_, None, lambda _: None)
    return [finding.wrong for finding in tally.findings]


def test_cases_come_again_and_are_of_every_kind() -> None:
    cases, again = HttpCases(1, "m"), HttpCases(1, "m")
    assert [cases[number] for number in range(100)] == [again[number] for number in range(100)]
    assert {cases[number].kind for number in range(100)} == KINDS


def test_most_requests_have_to_be_answered() -> None:
    cases = HttpCases(1, "m")
    regular = [cases[number] for number in range(300) if cases[number].regular]
    assert 100 < len(regular) < 250
    assert all(b" HTTP/1.1\r\nHost: localhost\r\n" in case.content for case in regular)


def test_good_answers_are_no_findings() -> None:
    some = numbers(regular=True, readable=True)
    assert wrongs(some, Answer(GOOD, 200, headers=HEADERS)) == []


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (Answer(GOOD, 500, headers=HEADERS), "the handler answered 500"),
        (Answer(b"[]", 200, headers=HEADERS), "Predicted"),
        (Answer(b"", 500), "TorchServe answered 500"),
        (Answer(b"", 503), "TorchServe answered 503"),
        (Answer(b"", 507), "TorchServe answered 507"),
        (Answer(reset=True), "closed without an answer"),
    ],
    ids=["500", "contract", "torchserve 500", "503", "507", "closed"],
)
def test_bad_answers_are(answer: Answer, wrong: str) -> None:
    some = numbers(regular=True, readable=True)[:2]
    found = wrongs(some, answer)
    assert len(found) >= len(some)
    assert sum(wrong in each for each in found) == len(some)


def test_torchserves_own_500_to_a_form_is_documented() -> None:
    some = numbers(regular=True, readable=False)
    assert wrongs(some, Answer(b"", 500)) == []
    assert wrongs(some[:1], Answer(b"", 503)) != []


def test_a_neighbour_that_gets_another_answer_is_one() -> None:
    other = Answer(GOOD.replace(b"null", b'"n1"', 1), 200, headers=HEADERS)
    some = numbers(regular=True, readable=True)
    found = wrongs(some * 5, Answer(GOOD, 200, headers=HEADERS), other)
    assert found != []
    assert all(each.startswith("the neighbour's answer became 200") for each in found)


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(CommandError, match="http://HOST:PORT"):
        attack("ftp://x", 1, [], None, lambda _: None)

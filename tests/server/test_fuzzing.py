"""A slice of what `./scripts/fuzz --url` sends, to a real server."""

import psutil
import pytest

from reliability.fuzzing.http_run import attack
from reliability.fuzzing.worker import Tally
from tests.server.harness import Server

SEED = 2026
CASES = 300

Seen = tuple[Tally, list[psutil.Process], list[psutil.Process]]


@pytest.fixture(scope="module")
def seen(demo_server: Server) -> Seen:
    """What was seen, and the workers before and after."""
    before = demo_server.workers()
    tally = attack(demo_server.url, SEED, range(CASES), None, lambda _: None)
    return tally, before, demo_server.workers()


def test_nothing_is_found(seen: Seen) -> None:
    tally, _, _ = seen
    assert [(each.number, each.wrong) for each in tally.findings] == []
    assert tally.cases == CASES


def test_no_worker_has_ended(seen: Seen) -> None:
    _, before, after = seen
    assert before == after != []


def test_the_neighbour_was_answered_all_the_time(seen: Seen) -> None:
    tally, _, _ = seen
    assert tally.neighbours > 1  # the last one comes when all has been sent


def test_every_sort_of_answer_was_among_them(seen: Seen) -> None:
    tally, _, _ = seen
    statuses = {status for counts in tally.statuses.values() for status in counts}
    assert statuses >= {"200", "400", "415", "422", "closed"}

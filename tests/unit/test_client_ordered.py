"""Several at a time, in order, and never more in memory than that."""

from collections.abc import Iterator
from threading import Barrier, Event

import pytest

from densenet_client.ordered import in_order

WAIT_S = 10


def test_results_come_in_the_order_of_the_items() -> None:
    last = Event()

    def work(item: int) -> int:
        if item == 2:
            last.set()
        assert last.wait(WAIT_S)
        return item * item

    assert list(in_order(work, [0, 1, 2], 3)) == [0, 1, 4]


@pytest.mark.parametrize("concurrency", [0, -1])
def test_without_concurrency_nothing_is_begun(concurrency: int) -> None:
    begun: list[int] = []
    with pytest.raises(ValueError, match="at least 1"):
        list(in_order(begun.append, range(3), concurrency))
    assert begun == []


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_as_many_as_allowed_run_at_a_time(concurrency: int) -> None:
    together = Barrier(concurrency)

    assert (
        list(in_order(lambda _: together.wait(WAIT_S) >= 0, range(16), concurrency)) == [True] * 16
    )


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_items_are_taken_than_are_worked_on(concurrency: int) -> None:
    held: set[int] = set()
    most = 0

    def items() -> Iterator[int]:
        nonlocal most
        for item in range(10):
            held.add(item)
            most = max(most, len(held))
            yield item

    for item in in_order(int, items(), concurrency):
        held.remove(item)

    assert most == concurrency


def test_first_result_comes_before_the_last_item_is_taken() -> None:
    assert next(in_order(lambda item: item, iter(int, 1), 4)) == 0  # an endless row of zeros


def test_nothing_in_nothing_out() -> None:
    assert list(in_order(str, [], 4)) == []


def test_error_is_raised_in_its_turn() -> None:
    results = in_order(lambda item: 1 / item, [1, 0], 2)

    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)

"""Work on several items at a time and hand the results on in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], concurrency: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in the order of the items.

    At most `concurrency` items are taken and not yet yielded: that bounds the memory, however
    many there are. What the function raises is raised here, in its turn. ValueError: no
    concurrency at all.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    begun: deque[Future[Result]] = deque()
    for item in items:
        begun.append(_begin(function, item))
        if len(begun) == concurrency:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def _begin(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(function(item))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
            future.set_exception(error)

    # A daemon, unlike the threads of an executor: an interrupted command does not wait for it.
    Thread(target=work, daemon=True).start()
    return future

"""A client of good will who keeps asking while others attack: `with bystander(ask, answer)`.

Each request is a new connection and nothing is ever tried again; whatever is not the right answer
is a failure of the test.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

_PAUSE_S = 0.05
_DEADLINE_S = 120.0
_MORE = 3


@dataclass
class Bystander:
    """What became of the requests; `slowest_s` is the longest that one took, in seconds."""

    answered: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def goes_on(self) -> None:
        """Wait until some more requests have been asked and answered."""
        aim, deadline = self.answered + _MORE, time.monotonic() + _DEADLINE_S
        while self.answered < aim:
            assert not self.failures, self.failures[:3]
            assert time.monotonic() < deadline, "the client of good will waits in vain"
            time.sleep(0.01)


@contextmanager
def bystander(ask: Callable[[], object], answer: object) -> Iterator[Bystander]:
    """Keep asking for the time of the block; afterwards every answer must have been this."""
    result, over = Bystander(), Event()

    def keep_asking() -> None:
        while not over.wait(_PAUSE_S):
            began = time.monotonic()
            try:
                got = ask()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                got = repr(error)
            result.slowest_s = max(result.slowest_s, time.monotonic() - began)
            if got == answer:
                result.answered += 1
            else:
                result.failures.append(str(got))

    thread = Thread(target=keep_asking)
    thread.start()
    try:
        result.goes_on()
        yield result
        result.goes_on()
    finally:
        over.set()
        thread.join(_DEADLINE_S)
    assert not result.failures, (len(result.failures), result.answered, result.failures[:3])

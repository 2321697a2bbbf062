"""Requests over HTTP, and what became of each as a record.

`capacity` keeps a number of requests in flight (closed loop). `load` sends at a constant mean rate
whatever comes back (open loop, Poisson arrivals), as many clients that know nothing of each other
do; a request's time counts from when it was due, so that a server that stalls is not flattered.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from reliability.soak.traffic import Case, essence

RIGHT, REFUSED, WRONG_STATUS, OTHER_ANSWER, BROKEN = (
    "right", "refused", "wrong status", "other answer", "broken",
)  # fmt: skip
REFUSALS = frozenset({429, 503})
TIMEOUT_S = 60.0
# Beyond this many unanswered requests none is sent: a server that answers nothing must not
# take this machine's memory. They count as broken.
_MOST_UNANSWERED = 5000
_NAMED = 20  # failures that are told word for word


@dataclass(frozen=True)
class Record:
    """One request: `due_s` from the start of the load, `latency_s` until its whole answer."""

    due_s: float
    latency_s: float
    case: str
    status: int
    outcome: str


@dataclass
class Requester:
    """One client of many connections to `url`; `answers` are those of an idle server."""

    url: str
    session: aiohttp.ClientSession = field(init=False)
    answers: dict[tuple[str, int], Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def learn(self, cases: Sequence[Case]) -> None:
        """Ask for everything once, one after the other: what is answered then must stay so."""
        for case in cases:
            for at, body in enumerate(case.bodies):
                status, answer = await self._post(case, body)
                if status != case.status:
                    message = f"{case.name}: an idle server answered {status}: {answer}"
                    raise RuntimeError(message)
                self.answers[case.name, at] = essence(answer)

    async def capacity(self, cases: Sequence[Case], in_flight: int, seconds: float) -> float:
        """Return how many requests a second are answered when so many are always in flight.

        They leave no records.
        """
        order, earlier = Mix(cases, seed=0), len(self.records)
        began = time.monotonic()
        deadline = began + seconds

        async def client() -> None:
            while time.monotonic() < deadline:
                await self._ask(*next(order), began, time.monotonic())

        await asyncio.gather(*(client() for _ in range(in_flight)))
        rate = (len(self.records) - earlier) / (time.monotonic() - began)
        del self.records[earlier:]
        return rate

    async def load(
        self,
        cases: Sequence[Case],
        rate: float,
        seconds: float,
        seed: int,
        tell: Callable[[], None],
    ) -> None:
        """Send `rate` requests a second; `tell` is called about once a minute."""
        began, told = time.monotonic(), 0.0
        unanswered: set[asyncio.Task[None]] = set()
        for due, (case, at) in zip(arrivals(rate, seconds, seed), Mix(cases, seed), strict=False):
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            if len(unanswered) < _MOST_UNANSWERED:
                task = asyncio.create_task(self._ask(case, at, began, began + due))
                unanswered.add(task)
                task.add_done_callback(unanswered.discard)
            else:
                self._note(Record(due, 0.0, case.name, 0, BROKEN), "not sent")
            if due - told > 60:
                told = due
                tell()
        await asyncio.gather(*unanswered)

    async def _ask(self, case: Case, at: int, began: float, due: float) -> None:
        answer: Any
        try:
            status, answer = await self._post(case, case.bodies[at])
            outcome = self._judge(case, at, status, answer)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            status, answer, outcome = 0, repr(error), BROKEN
        record = Record(due - began, time.monotonic() - due, case.name, status, outcome)
        self._note(record, answer)

    def _note(self, record: Record, answer: Any) -> None:  # noqa: ANN401
        self.records.append(record)
        if record.outcome not in {RIGHT, REFUSED} and len(self.failures) < _NAMED:
            self.failures.append(f"{record} {str(answer)[:300]}")

    def _judge(self, case: Case, at: int, status: int, answer: Any) -> str:  # noqa: ANN401
        if status in REFUSALS:
            return REFUSED
        if status != case.status:
            return WRONG_STATUS
        return RIGHT if essence(answer) == self.answers[case.name, at] else OTHER_ANSWER

    async def _post(self, case: Case, body: bytes) -> tuple[int, Any]:
        headers = {"Content-Type": case.content_type}
        async with self.session.post(self.url + case.path, data=body, headers=headers) as response:
            if response.status in REFUSALS:  # an empty text where TorchServe itself refuses
                return response.status, await response.text()
            return response.status, await response.json(content_type=None)


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the times in seconds at which requests are due; the gaps are exponential."""
    # Not the stream of numbers that `Mix` has: cases of small ones would come in bursts.
    gaps, due = random.Random(f"gaps {seed}"), 0.0  # noqa: S311 - no secret
    while (due := due + gaps.expovariate(rate)) < seconds:
        yield due


class Mix(Iterator[tuple[Case, int]]):
    """An endless order of cases by their weights, with the body that it is the turn of."""

    def __init__(self, cases: Sequence[Case], seed: int) -> None:
        self._cases = cases
        self._weights = [case.weight for case in cases]
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._turns: dict[str, int] = {}

    def __next__(self) -> tuple[Case, int]:
        (case,) = self._random.choices(self._cases, self._weights)
        turn = self._turns.get(case.name, 0)
        self._turns[case.name] = turn + 1
        return case, turn % len(case.bodies)


def session(headers: Mapping[str, str], tls: Any) -> aiohttp.ClientSession:  # noqa: ANN401
    """Return a session without a limit of connections; `tls` is an SSLContext, or False."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    )

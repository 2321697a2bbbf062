"""Cases in batches through the handler, each batch with neighbours that have nothing wrong.

What is found is a `Finding`: a wrong answer, a neighbour's answer changed, a decoder of a format
that is off begun, too much time or memory. A batch is always of the same cases, so that one of
them comes again in the same company.
"""

import importlib
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from archive_builder import SAMPLES
from densenet121_handler import DenseNet121Handler
from reliability.fuzzing.cases import Case, Cases
from reliability.fuzzing.judging import Answer, alike, faults
from reliability.fuzzing.measured import Cost, measured
from reliability.fuzzing.neighbours import Neighbour, neighbours
from reliability.fuzzing.seeds import ACCEPTED
from reliability.fuzzing.stand_in import context_of, handler_of
from reliability.fuzzing.wire import Request, received

CASES_OF_A_BATCH = 6  # and two neighbours: 8, batchSize of model-config.yaml
MOST_CPU_S = 2.0
# One picture of max_image_pixels takes 16 bytes a pixel as a WebP with transparency, 13 as others
# sent lies about a few times, as bytes, as text and as a document.
MOST_MEMORY_BYTES = 50_000_000 * 17 + 5 * 32 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """What went wrong with a case, and what of it has to be kept."""

    number: int
    kind: str
    wrong: str
    contents: tuple[bytes, ...] = ()


@dataclass
class Tally:
    """What was seen of many cases."""

    statuses: dict[str, dict[str, int]] = field(default_factory=dict)  # by kind
    slowest: tuple[float, int, str] = (0.0, -1, "")  # CPU seconds, number, kind
    largest: tuple[int, int, str] = (0, -1, "")  # bytes, number, kind
    neighbours: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """Return how many there were."""
        return sum(sum(counts.values()) for counts in self.statuses.values())

    def add(self, other: "Tally") -> None:
        """Count what another process has seen."""
        for kind, counts in other.statuses.items():
            for status, count in counts.items():
                self.count(kind, status, count)
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.neighbours += other.neighbours
        self.findings += other.findings

    def count(self, kind: str, status: str, count: int = 1) -> None:
        """Count answers of a status."""
        counts = self.statuses.setdefault(kind, {})
        counts[status] = counts.get(status, 0) + count


class Worker:
    """A handler that is asked batch by batch."""

    def __init__(
        self, handler: DenseNet121Handler, cases: Cases, folder: Path, *, real: bool = False
    ) -> None:
        self._real = real
        self._handler = handler
        self._cases = cases
        self._folder = folder
        self.begun: list[str] = []
        self._dearest = Cost()
        self._neighbours = neighbours(SAMPLES)
        self._expected = [self.answers([each.request])[0] for each in self._neighbours]

    @classmethod
    @contextmanager
    def start(cls, archive: Path | None, cases: Cases) -> Iterator["Worker"]:
        """Yield a worker with a folder of its own."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
            handler = stack.enter_context(handler_of(archive, folder))
            worker = cls(handler, cases, folder, real=archive is not None)
            stack.enter_context(only_accepted_openers(worker.begun))
            yield worker

    def batch(self, number: int, count: int = CASES_OF_A_BATCH) -> Tally:
        """Ask one batch and return what was seen."""
        first = number * CASES_OF_A_BATCH
        cases = [self._cases[each] for each in range(first, first + count)]
        tally = Tally()
        cost = self._ask(cases, tally)
        # Which case it was is only looked for where it may be the dearest so far.
        if cost.cpu_s > self._dearest.cpu_s or cost.memory_bytes > self._dearest.memory_bytes:
            for case in cases:
                self._measure(case, tally)
        return tally

    def _ask(self, cases: Sequence[Case], tally: Tally) -> Cost:
        company = _in_company(cases, self._neighbours)
        self.begun.clear()
        with measured() as cost:
            answers = self.answers([each.request for each in company])
        last = cases[-1]
        if self.begun:
            wrong = f"openers of formats that are off were begun: {', '.join(self.begun)}"
            tally.findings.append(Finding(last.number, last.kind, wrong))
        for asked, answer in zip(company, answers, strict=True):
            if isinstance(asked, Neighbour):
                tally.neighbours += 1
                expected = self._expected[self._neighbours.index(asked)]
                if not (alike(answer, expected) if self._real else answer == expected):
                    wrong = f"the answer to its neighbour {asked.name} became {answer}"
                    tally.findings.append(Finding(last.number, last.kind, wrong))
                continue
            tally.count(asked.kind, str(answer.status))
            for wrong in faults(asked, answer):
                told = Finding(
                    asked.number, asked.kind, f"{wrong}: {answer}", asked.request.contents
                )
                tally.findings.append(told)
        return cost

    def _measure(self, case: Case, tally: Tally) -> None:
        with measured() as cost:
            self.answers([case.request])
        self._dearest.cpu_s = min(max(self._dearest.cpu_s, cost.cpu_s), MOST_CPU_S)
        most = min(max(self._dearest.memory_bytes, cost.memory_bytes), MOST_MEMORY_BYTES)
        self._dearest.memory_bytes = most
        tally.slowest = max(tally.slowest, (cost.cpu_s, case.number, case.kind))
        tally.largest = max(tally.largest, (cost.memory_bytes, case.number, case.kind))
        if cost.cpu_s > MOST_CPU_S:
            wrong = f"{cost.cpu_s:.1f} s of CPU time"
            tally.findings.append(Finding(case.number, case.kind, wrong, case.request.contents))
        if cost.memory_bytes > MOST_MEMORY_BYTES:
            wrong = f"{cost.memory_bytes / 2**20:.0f} MiB of memory"
            tally.findings.append(Finding(case.number, case.kind, wrong, case.request.contents))

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """Ask the handler as TorchServe's worker does, from the bytes of the message on."""
        headers, rows, ids = _service().retrieve_data_for_inference(received(requests))
        context: Any = context_of(self._folder)
        context.request_processor, context.request_ids = headers, ids
        contents = self._handler.handle(rows, context)
        return [
            Answer(
                context.get_response_status(index)[0],
                context.get_response_content_type(index) or "",
                content.encode() if isinstance(content, str) else bytes(content),
                context.get_response_headers(index).get("X-Model-Weights", ""),
            )
            for index, content in enumerate(contents)
        ]


@cache
def _service() -> Any:  # noqa: ANN401
    return importlib.import_module("ts.service").Service


def _in_company(cases: Sequence[Case], others: Sequence[Neighbour]) -> list["Case | Neighbour"]:
    """Return cases and two neighbours in an order that the first case decides."""
    generator = random.Random(cases[0].number)  # noqa: S311
    company: list[Case | Neighbour] = list(cases)
    for neighbour in generator.sample(list(others), 2):
        company.insert(generator.randrange(len(company) + 1), neighbour)
    return company


@contextmanager
def only_accepted_openers(begun: list[str]) -> Iterator[None]:
    """Let the openers of all other formats do nothing but write down that they were called."""
    Image.init()
    genuine = dict(Image.OPEN)

    def trap(name: str) -> Any:  # noqa: ANN401
        def opener(*_: object) -> None:
            begun.append(name)
            raise OSError(f"the opener of {name} was called")

        return opener

    for name in genuine.keys() - ACCEPTED:
        Image.OPEN[name] = (trap(name), trap(name))
    try:
        yield
    finally:
        Image.OPEN.update(genuine)

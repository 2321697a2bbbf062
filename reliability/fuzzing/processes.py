"""Batches of cases in processes of their own, so that none of them can end the run.

A process that ends, hangs or runs out of memory has found something: the batch it was at is told,
and another process goes on behind it.
"""

import faulthandler
import logging
import multiprocessing
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from reliability.fuzzing.cases import Cases
from reliability.fuzzing.worker import CASES_OF_A_BATCH, MOST_MEMORY_BYTES, Finding, Tally, Worker

_HANG_S = 120.0  # of the clock, for a batch that may take seconds
_BATCHES_OF_A_TALLY = 20
# Beyond what is held: libraries reserve some without using it.
_ADDRESS_SPACE_BYTES = 6 * MOST_MEMORY_BYTES


@dataclass(frozen=True)
class Job:
    """What a run is about; goes to each process as it is."""

    seed: int
    assets: Path | None
    archive: Path | None
    amplify: bool
    batches: range


class _Share:
    """Some of the batches, in one process after the other."""

    def __init__(self, job: Job, batches: range) -> None:
        self._job = job
        self._batches = batches
        self._begun = batches.start
        self._process, self.receiver = self._start()

    def _start(self) -> tuple[BaseProcess, Connection]:
        # Not forked: threads of libraries do not come along.
        processes = multiprocessing.get_context("spawn")
        receiver, sender = processes.Pipe(duplex=False)
        process = processes.Process(target=_work, args=(self._job, self._batches, sender))
        process.start()
        sender.close()
        return process, receiver

    def next(self) -> Tally | None:
        """Return the next that was seen, None when there is no more."""
        while True:
            try:
                message = self.receiver.recv()
            except EOFError:
                return self._ended()
            if isinstance(message, Tally):
                return message
            self._begun = message

    def _ended(self) -> Tally | None:
        self._process.join()
        code = self._process.exitcode
        if code == 0:
            return None
        wrong = f"the process ended with {code} in the batch that begins with this case"
        step, stop = self._batches.step, self._batches.stop
        self._batches = range(self._begun + step, stop, step)
        self._process, self.receiver = self._start()
        return Tally(findings=[Finding(self._begun * CASES_OF_A_BATCH, "batch", wrong)])

    def kill(self) -> None:
        """End the process, wherever it is."""
        self._process.kill()
        self._process.join()


def run(job: Job, processes: int) -> Iterator[Tally]:
    """Run all batches and yield what is seen as it comes."""
    shares = [_Share(job, job.batches[number::processes]) for number in range(processes)]
    try:
        running = list(shares)
        while running:
            ready = wait([share.receiver for share in running])
            for share in [each for each in running if each.receiver in ready]:
                tally = share.next()
                if tally is None:
                    running.remove(share)
                else:
                    yield tally
    finally:
        for share in shares:
            share.kill()


def _work(job: Job, batches: range, sender: Connection) -> None:
    """Run batches in this process; each is told before it begins."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, hard))
    _be_silent()
    cases = Cases(job.seed, job.assets, amplify=job.amplify)
    with Worker.start(job.archive, cases) as worker:
        tally = Tally()
        for index, number in enumerate(batches, 1):
            sender.send(number)
            faulthandler.dump_traceback_later(_HANG_S, exit=True)
            try:
                tally.add(worker.batch(number))
            # TorchServe fails all requests of a batch for which the handler raises.
            except Exception as error:  # noqa: BLE001
                wrong = f"the batch that begins with this case failed: {error!r}"
                tally.findings.append(Finding(number * CASES_OF_A_BATCH, "batch", wrong))
            if index % _BATCHES_OF_A_TALLY == 0 or tally.findings or index == len(batches):
                sender.send(tally)
                tally = Tally()
        faulthandler.cancel_dump_traceback_later()
    sender.close()


def _be_silent() -> None:
    """Drop what libtiff, Pillow and TorchServe say about every damaged file."""
    logging.disable(logging.WARNING)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)

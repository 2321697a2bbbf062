"""Requests over sockets to a running server, several at a time, beside a neighbour.

An answer of the handler, known by its header X-Model-Weights, is judged as in process. What
TorchServe answers by itself is counted apart: its 500 for forms and addresses that it cannot read
is its own (README), any other of its 5xx is a finding. So is a request that is HTTP and gets no
answer, a change of the neighbour's answer, and another process in the place of a worker.
"""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from archive_builder import SAMPLES
from archive_builder.command import CommandError
from reliability.fuzzing.http_cases import HttpCase, HttpCases
from reliability.fuzzing.judging import ALLOWED, Answer, json_faults
from reliability.fuzzing.worker import Finding, Tally
from server_control.configuration import selected_path
from server_control.runtime import Runtime, processes

CONNECTIONS = 4
_HANG_S = 30.0  # of the clock; the machine may be busy
_PAUSE_S = 0.02  # of the neighbour, who is not to be what keeps the server busy
_MOST_BYTES = 64 * 1024 * 1024


def attack(
    url: str,
    seed: int,
    numbers: Sequence[int],
    assets: Path | None,
    progress: Callable[[int], object],
) -> Tally:
    """Send the cases of these numbers and return what was seen."""
    address = urlsplit(url)
    if address.scheme != "http" or not address.hostname:
        raise CommandError(f"--url {url}: http://HOST:PORT/predictions/NAME is needed")
    cases = HttpCases(seed, address.path.rpartition("/")[2], assets)
    total = Tally()
    lock = threading.Lock()

    def send(number: int) -> None:
        tally = _judged(cases[number], address)
        with lock:
            total.add(tally)
        progress(1)

    with (
        _same_workers(url, total),
        _Neighbour(address, total),
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        for each in [pool.submit(send, number) for number in numbers]:
            each.result()
    return total


def _judged(case: HttpCase, address: SplitResult) -> Tally:
    tally = Tally()
    start = time.monotonic()
    try:
        answer = _exchange(case, address)
    except TimeoutError:
        tally.count(case.kind, "hung")
        wrong = f"no end in {_HANG_S:.0f} s"
        tally.findings.append(Finding(case.number, case.kind, wrong, (case.content,)))
        return tally
    tally.slowest = (time.monotonic() - start, case.number, case.kind)
    label, wrongs = _verdict(case, answer)
    tally.count(case.kind, label)
    tally.findings += [Finding(case.number, case.kind, each, (case.content,)) for each in wrongs]
    return tally


def _verdict(case: HttpCase, answer: Answer | None) -> tuple[str, list[str]]:
    """Return as what an answer counts, and what is wrong with it."""
    if answer is None:
        return "closed", ["closed without an answer"] if case.regular else []
    if answer.weights:
        wrong = [] if answer.status in ALLOWED else [f"the handler answered {answer}"]
        if answer.content_type == "application/json" and case.regular:
            wrong += json_faults(answer.content, answer.status, explains=case.explains)
        return str(answer.status), [f"{each}: {answer}" for each in wrong]
    label = f"{answer.status} TorchServe"
    documented = answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and not case.readable
    bad = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not documented
    return label, [f"TorchServe answered {answer}"] if bad else []


def _exchange(case: HttpCase, address: SplitResult) -> Answer | None:
    """Send a case on a connection of its own; None where that is closed without an answer."""
    with socket.create_connection((address.hostname, address.port), timeout=_HANG_S) as connection:
        _send(connection, case)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            content = response.read(_MOST_BYTES)
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            response.close()
        headers = response.headers
        weights, kind = headers.get("X-Model-Weights", ""), headers.get("Content-Type", "")
        return Answer(response.status, kind, content, weights)


def _send(connection: socket.socket, case: HttpCase) -> None:
    try:
        connection.sendall(case.content)
        if not case.regular:
            connection.shutdown(socket.SHUT_WR)
    except TimeoutError:
        raise
    # It may have answered and closed before all was sent.
    except OSError:
        return


class _Neighbour:
    """Asks for a known picture all the time; every answer has to be the first one."""

    def __init__(self, address: SplitResult, total: Tally) -> None:
        self._address = address
        self._total = total
        self._picture = (SAMPLES / "umbrella.png").read_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._first = self._ask()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        over = False
        while not over:
            # Once more when all has been sent.
            over = self._over.wait(_PAUSE_S)
            try:
                answer = self._ask()
            except OSError as error:
                answer = Answer(0, "", str(error).encode())
            self._total.neighbours += 1
            if answer != self._first:
                wrong = f"the neighbour's answer became {answer}"
                self._total.findings.append(Finding(-1, "neighbour", wrong))

    def _ask(self) -> Answer:
        host, port = self._address.hostname or "", self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=_HANG_S)
        try:
            connection.request("POST", self._address.path, self._picture)
            response = connection.getresponse()
            kind, weights = (
                response.headers.get(name, "") for name in ("Content-Type", "X-Model-Weights")
            )
            return Answer(response.status, kind, response.read(), weights)
        finally:
            connection.close()


@contextmanager
def _same_workers(url: str, total: Tally) -> Iterator[None]:
    """Note it when the processes of our own server are others afterwards."""
    before = _processes(url)
    yield
    after = _processes(url)
    if before != after:
        wrong = f"the server's processes were {before} and are {after}"
        total.findings.append(Finding(-1, "processes", wrong))


def _processes(url: str) -> list[int]:
    """Return the processes of our own server by number; none where it is another's."""
    runtime = Runtime(selected_path())
    note = runtime.note()
    with suppress(CommandError):
        if note is not None and runtime.running().prediction_url == url:
            return sorted(each.pid for each in processes(note))
    return []

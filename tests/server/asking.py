"""Clients that ask a server all the time, while something breaks, and what each of them got.

None tries again; each request has a connection of its own. An outcome is a status, and what
TorchServe or the handler say where it is none of 200: "507 Worker died.".
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import requests

from archive_builder import SAMPLES
from reverse_proxy.balance import WORKER_DIED
from tests.server.harness import Server
from tests.server.waiting import TIMEOUT_S, wait_for

UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
CLIENTS = 4
ANSWERED = "200"
# Between two requests of a client: workers that start meanwhile need the cores more.
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Asked:
    """One request: when it was begun and ended, as `time.monotonic` has it, and how."""

    began: float
    ended: float
    outcome: str


@dataclass
class Clients:
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def ask(self) -> None:
        while not self.over.wait(_PAUSE_S):
            began = time.monotonic()
            outcome = outcome_of(self.url, UMBRELLA, self.headers)
            self.asked.append(Asked(began, time.monotonic(), outcome))

    def outcomes(self, since: float) -> list[str]:
        """Return how requests ended that were not over at this moment."""
        return [each.outcome for each in self.asked if each.ended > since]

    def lost(self, since: float) -> list[str]:
        return [each for each in self.outcomes(since) if each != ANSWERED]

    def go_on(self) -> None:
        """Wait until several requests that are begun from now on have been answered."""
        now = time.monotonic()
        wait_for(lambda: self._answered(since=now) > CLIENTS)

    def _answered(self, since: float) -> int:
        return sum(each.began > since and each.outcome == ANSWERED for each in self.asked)


def outcome_of(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
    """Return how one request ends."""
    try:
        answer = requests.post(url, data=body, headers=headers, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        return type(error).__name__
    if answer.ok:
        return str(answer.status_code)
    # The proxy knows it by its length.
    died = answer.text == WORKER_DIED.replace("500", str(answer.status_code))
    return f"{answer.status_code} {'Worker died.' if died else answer.json()['type']}"


def authorization(server: Server) -> dict[str, str]:
    """Return the header with the server's own token."""
    token = server.script("token", "inference")
    assert token.returncode == 0, token.stderr
    return {"Authorization": f"Bearer {token.stdout.strip()}"}


@contextmanager
def asking(url: str, headers: Mapping[str, str] | None = None) -> Iterator[Clients]:
    """Keep clients asking for the time of the block."""
    clients = Clients(url, headers or {})
    threads = [Thread(target=clients.ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        clients.go_on()
        yield clients
    finally:
        clients.over.set()
        for thread in threads:
            thread.join(TIMEOUT_S)

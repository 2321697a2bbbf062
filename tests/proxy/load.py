"""Steady load of several clients through the proxy, none of which ever tries again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import requests

from archive_builder import SAMPLES
from tests.proxy.harness import TIMEOUT_S, Proxy, wait_for

UMBRELLA = (SAMPLES / "umbrella.png").read_bytes()
CLIENTS = 4
# Between two requests of a client: servers that start meanwhile need the cores more.
_PAUSE_S = 0.1
# So many answers must come before a test goes on: all clients are at work then.
_WARM = 3 * CLIENTS


@dataclass
class Load:
    """What became of the requests: `statuses` by status or by name of the exception."""

    statuses: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def answers(self) -> int:
        return self.statuses["200"]

    def goes_on(self) -> None:
        """Wait until the clients have been answered some more."""
        before = self.answers
        wait_for(lambda: self.answers > before + _WARM, "answers go on")


@contextmanager
def load(proxy: Proxy, path: str = "/predict") -> Iterator[Load]:
    """Keep clients asking for the time of the block; afterwards every answer must be 200."""
    result, over = Load(), Event()
    threads = [Thread(target=_ask, args=(proxy, path, result, over)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        result.goes_on()
        yield result
        result.goes_on()
    finally:
        over.set()
        for thread in threads:
            thread.join(TIMEOUT_S)
    assert set(result.statuses) == {"200"}, (result.statuses, result.failures[:5])


def _ask(proxy: Proxy, path: str, result: Load, over: Event) -> None:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(proxy.folder / "server.pem")
        session.headers.update(proxy.authorization)
        while not over.wait(_PAUSE_S):
            try:
                files = {"file": UMBRELLA}
                answer = session.post(f"{proxy.url}{path}", files=files, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                result.statuses[type(error).__name__] += 1
                result.failures.append(repr(error))
                continue
            result.statuses[str(answer.status_code)] += 1
            result.weights[answer.headers.get("X-Model-Weights", "")] += 1
            if answer.status_code != 200:
                result.failures.append(answer.text)

"""Attacks in full size and what they cost: `python -m tests.hostile_figures [--only PATTERN]`.

Starts a TorchServe with demo weights and a proxy in front of it, with the limits as shipped, and
attacks each while a client of good will asks it all the time. One line an attack: what came of
it, the good client's answers and its slowest, memory in MB (before, peak, after), files and threads
(before, after) of Java, the workers and nginx.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import psutil
import requests

from archive_builder import MODEL_STORE
from server_control.runtime import java_process
from tests import attacks, bombs
from tests.attacks import Target
from tests.bystander import Bystander, bystander
from tests.proxy.harness import Proxy, running
from tests.raw_http import Address
from tests.server.harness import DEMO_WEIGHTS, Server

ANSWER = {"class_id": "n04507155", "class_name": "umbrella"}
_STEP_S = 0.1
_REST_S = 3.0
_TIMEOUT_S = 100.0
LARGEST = 33_554_432


def common(target: Target) -> dict[str, Callable[[], object]]:
    """Return the attacks that make sense with and without the proxy."""
    huge, metadata = bombs.declared_huge(), bombs.metadata()
    legal = {name: bombs.legal(name) for name in bombs.LEGAL}
    form = f"Content-Type: {bombs.FORM}"
    many = bombs.document(8, bombs.png(30, 30))[:-1] + b', "top_k": 1000}'
    whole, part = bombs.UMBRELLA, 1000
    return {
        "idle-3000": lambda: attacks.idle(target, 3000, 12),
        "slow-headers-300": lambda: attacks.slow_headers(target, 300, 12),
        "slow-bodies-100": lambda: attacks.slow_bodies(target, 100, 12),
        "slow-readers-50": lambda: attacks.slow_readers(target, 50, many, 35),
        "half-closed-before": lambda: attacks.half_closed(target, 300, whole, part),
        "half-closed-after": lambda: attacks.half_closed(target, 300, whole),
        "reset-in-body": lambda: attacks.resets(target, 1000, whole, part),
        "reset-after-body": lambda: attacks.resets(target, 1000, whole),
        "bombs-declared": lambda: attacks.tally(target, [*huge.values()] * 20, parallel=4),
        "bombs-legal": lambda: attacks.tally(target, [*legal.values()] * 5),
        "bombs-legal-at-once": lambda: attacks.tally(target, [*legal.values()] * 4, parallel=8),
        "bombs-metadata": lambda: attacks.tally(target, [*metadata.values()] * 5, parallel=4),
        "images-1000-form": lambda: attacks.tally(
            target, [bombs.form(1000, bombs.UMBRELLA[:500])] * 20, form, parallel=4
        ),
        "images-1000-json": lambda: attacks.tally(target, [bombs.document(1000)] * 20, parallel=4),
        "parts-100000": lambda: attacks.tally(target, [bombs.form(100_000, b"x")] * 3, form),
        "parts-400000": lambda: attacks.tally(target, [bombs.form(400_000, b"")], form),
        "nested-json": lambda: attacks.tally(
            target, [bombs.nested(depth) for depth in (1000, 100_000, 15_000_000)]
        ),
        "headers": lambda: attacks.header_floods(target),
        "queries": lambda: attacks.long_targets(target, (1000, 4000, 5000, 9000, 100_000)),
        "largest-16-at-once": lambda: attacks.tally(target, [bytes(LARGEST)] * 64, parallel=16),
        "largest-128-at-once": lambda: attacks.tally(target, [bytes(LARGEST)] * 256, parallel=128),
        "largest-forms": lambda: attacks.tally(
            target, [bombs.form(32, bytes(1_000_000))] * 128, form, parallel=128
        ),
        "small-256-at-once": lambda: attacks.tally(target, [whole] * 2000, parallel=256),
    }


class Watched:
    """Java, workers and nginx: memory in MB, files and threads, sampled all the time."""

    def __init__(self, groups: Mapping[str, Callable[[], list[psutil.Process]]]) -> None:
        self._groups = groups
        self.peak: dict[str, int] = {}

    def now(self) -> dict[str, tuple[int, int, int]]:
        """Return memory, files and threads of each group."""
        return {name: self._sum(find()) for name, find in self._groups.items()}

    def _sum(self, processes: list[psutil.Process]) -> tuple[int, int, int]:
        memory = files = threads = 0
        for each in processes:
            try:
                memory += each.memory_info().rss
                files += each.num_fds()
                threads += each.num_threads()
            except psutil.NoSuchProcess:
                continue
        return memory // 1_000_000, files, threads

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Note the peak of memory during the block."""
        over, self.peak = Event(), {}

        def sample() -> None:
            while not over.wait(_STEP_S):
                for name, (memory, _, _) in self.now().items():
                    self.peak[name] = max(self.peak.get(name, 0), memory)

        thread = Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def measure(
    name: str, attack: Callable[[], object], ask: Callable[[], object], watched: Watched
) -> None:
    """Run one attack beside the client of good will and print its line."""
    before, began, good, what = watched.now(), time.monotonic(), Bystander(), "nothing"
    took = 0.0
    try:
        with watched.sampled(), bystander(ask, ANSWER) as good:
            found = attack()
            took = time.monotonic() - began
            what = str(dict(found)) if isinstance(found, dict) else str(found)
    except Exception as error:  # noqa: BLE001 - what falls over is what is looked for
        what += f" FAILED {error!r:.300}"
    time.sleep(_REST_S)
    after = watched.now()
    groups = "; ".join(
        f"{each} {memory}>{watched.peak.get(each, 0)}>{after[each][0]} MB, "
        f"{files}>{after[each][1]} files, {threads}>{after[each][2]} threads"
        for each, (memory, files, threads) in before.items()
    )
    print(
        f"{name}: {took:.1f} s, {what}; good {good.answered}, failures {len(good.failures)}, "
        f"slowest {good.slowest_s:.2f} s; {groups}",
        flush=True,
    )


@contextmanager
def started(
    folder: Path, settings: Mapping[str, str], limits: str
) -> Iterator[tuple[Server, Proxy]]:
    """Run a TorchServe with demo weights and a proxy in front of it."""
    certificates = folder / "certificates"
    server = Server(
        folder / "server", MODEL_STORE, environment=DEMO_WEIGHTS,
        settings=dict(settings),
    )  # fmt: skip
    assert server.script("make-certificate", str(certificates)).returncode == 0
    try:
        server.serve()
        table = f'name = "one"\nconfiguration = "{server.path}"'
        with running(Proxy(folder / "proxy", certificates, [table], limits=limits)) as proxy:
            yield server, proxy
    finally:
        server.stop()


def groups_of(server: Server, proxy: Proxy) -> dict[str, Callable[[], list[psutil.Process]]]:
    def java() -> list[psutil.Process]:
        found = java_process(server.note())
        return [] if found is None else [found]

    def workers() -> list[psutil.Process]:
        return server.workers() if java() else []

    return {"java": java, "workers": workers, "nginx": proxy.children}


def main() -> None:
    """Measure what the command line chooses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="pattern of the attacks' names")
    parser.add_argument("--target", choices=["torchserve", "proxy", "both"], default="both")
    parser.add_argument("--limits", default="", help="lines of the proxy's [limits]")
    parser.add_argument("--vmargs", default="", help="Java's options")
    options = parser.parse_args()
    settings = {"vmargs": options.vmargs} if options.vmargs else {}
    with (
        TemporaryDirectory() as folder,
        started(Path(folder), settings, options.limits) as (server, proxy),
    ):
        watched = Watched(groups_of(server, proxy))
        token = proxy.add_client("attacker")
        port = int(server.configuration.values["inference_address"].rpartition(":")[2])
        direct, good = Target(Address(port)), proxy.authorization
        front = Target(
            Address(proxy.port, proxy.folder / "server.pem"), (f"Authorization: Bearer {token}",)
        )
        asks: dict[str, tuple[Target, Callable[[], object]]] = {
            "torchserve": (
                direct,
                lambda: requests.post(server.url, bombs.UMBRELLA, timeout=_TIMEOUT_S).json(),
            ),
            "proxy": (front, lambda: proxy.post(headers=good, data=bombs.UMBRELLA).json()),
        }
        for kind, (target, ask) in asks.items():
            if options.target not in {kind, "both"}:
                continue
            for name, attack in common(target).items():
                if re.search(options.only, name):
                    measure(f"{kind} {name}", attack, ask, watched)


if __name__ == "__main__":
    main()

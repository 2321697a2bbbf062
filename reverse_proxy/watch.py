"""Look at one host again and again, in a thread of its own: a silent one delays no other.

`latest` is the last observation that counts, and `changed` gets an entry with each new one. A host
is down only when it was so several times running, since a busy server may be late once; every other
change counts at once.
"""

from _thread import start_new_thread
from dataclasses import replace
from queue import SimpleQueue
from threading import Event, Lock

from reverse_proxy.hosts import Host, Observation
from reverse_proxy.limits import Limits
from server_control.readiness import DOWN, STARTING


class Watch:
    """The watch over one host; `stop` ends it."""

    def __init__(self, host: Host, limits: Limits, changed: SimpleQueue[None]) -> None:
        self.host = host
        self.latest = Observation(STARTING, "not yet looked at")
        self._limits = limits
        self._changed = changed
        self._stopped = Event()
        self._downs = 0
        self._lock = Lock()
        # Before anybody relies on us: a host of which only the table has changed is not left out.
        self.look()
        start_new_thread(self._run, ())  # no `Thread`: see own_http.py

    def look(self, *, at_once: bool = False) -> None:
        """Look at the host now; what was seen first never replaces what was seen later.

        `at_once` has it down when it is so for the first time, too: what was known of it is no
        longer true.
        """
        with self._lock:
            seen = self.host.observe()
            if seen.target is None:  # where it was is where it will be looked for
                seen = replace(seen, target=self.latest.target)
            self._downs = self._downs + 1 if seen.state == DOWN else 0
            late = 0 < self._downs < self._limits.down_after_polls and not at_once
            if seen != self.latest and not late:
                self.latest = seen
                self._changed.put(None)

    def stop(self) -> None:
        """End the thread; a look that is under way is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._limits.poll_s):
            self.look()

"""Keep two nginxes in step with the hosts and with the files: that is all a proxy's life.

The one in front changes only with the proxy's own files; the balancing one behind it is reloaded
whenever a host comes, goes or changes its token. Its connections are the front's, one a request,
and what breaks while it reloads is tried again by the front; so no client notices.
A file that has become wrong, a full disk and the like are reported, and the proxy goes on with
what it had.
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from archive_builder.command import CommandError, say
from reverse_proxy.balance import balance, certificate_file, usable
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders
from reverse_proxy.front import front
from reverse_proxy.hosts import Host, LocalHost, Observation
from reverse_proxy.limits import open_files, wanted_files
from reverse_proxy.logs import rotate
from reverse_proxy.nginx import Nginx
from reverse_proxy.watch import Watch
from server_control.readiness import STARTING

# Between two renewals; twice as long after each that fails: the host is passed over meanwhile.
_RENEWAL_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 640.0
# nginx lets old and new workers run side by side for 0.1 s when it reloads.
_LONE_PATIENCE_S = 1.0


def tell(text: str) -> None:
    """Say it, if that is possible: a full disk may be that of our own output."""
    with suppress(OSError):
        say(text)


class Supervisor:
    """The two nginxes of one proxy. `run` comes back only by an exception; `end` afterwards."""

    def __init__(self, configuration: ProxyConfiguration, folders: Folders) -> None:
        self._configuration = configuration
        self._folders = folders
        self._front = Nginx("front", folders)
        self._balance = Nginx("balance", folders)
        self._changed: SimpleQueue[None] = SimpleQueue()
        self._watches: dict[Host, Watch] = {}
        self._states: dict[str, str] = {}
        self._complaints: dict[str, str] = {}
        self._renewing: LocalHost | None = None
        self._renewing_since = 0.0  # since when it is that one, or none
        self._renewal_pause_s = _RENEWAL_PAUSE_S
        self._tried: dict[Host, float] = {}  # when a renewal was tried last

    def run(self) -> None:
        """Start, and keep everything in step until something is raised."""
        self._tell_of_open_files()
        self._watch_hosts()
        self._apply()
        self._apply_front()
        addresses = ", ".join(self._configuration.listen)
        tell(f"Listening on {addresses} ({self._configuration.scheme})")
        while True:
            self._wait()
            self._front.require_running()
            self._balance.require_running()
            self._attempt(self._take_new_files)
            self._attempt(self._apply)
            self._attempt(self._apply_front)
            self._attempt(self._renew_tokens)
            self._attempt(self._rotate_logs)

    def end(self) -> None:
        """Say that this proxy is not ready, wait as configured, answer what there is, and end."""
        limits = self._configuration.limits
        if limits.settle_s:
            tell(f"Not ready any more; waiting {limits.settle_s} s for others to see it")
            self._attempt(self._apply_ending)
            time.sleep(limits.settle_s)
        self._stop_watches(set(self._watches))
        self._front.quit(limits.shutdown_s)
        self._balance.quit(limits.shutdown_s)

    def kill(self) -> None:
        """End at once."""
        self._front.quit(0)
        self._balance.quit(0)

    def _wait(self) -> None:
        """Wait until a host has changed, at most `poll_s`.

        Not by an Event: an interrupt may come when that has opened its lock and not yet closed it
        again, and is then a RuntimeError. This queue has no Python within.
        """
        with suppress(Empty):
            self._changed.get(timeout=self._configuration.limits.poll_s)
        while not self._changed.empty():
            self._changed.get()

    def _seen(self) -> dict[Host, Observation]:
        return {host: self._watches[host].latest for host in self._configuration.hosts}

    def _apply(self, *, ending: bool = False) -> None:
        """Put into force what the hosts are now; one whose token is renewed is passed over."""
        seen = self._seen()
        states = {host.name: (each.state, each.reason) for host, each in seen.items()}
        if self._renewing in seen:
            seen[self._renewing] = replace(seen[self._renewing], state=STARTING)
        self._write_certificates(seen)
        text, generation = balance(self._configuration, self._folders, seen, ending=ending)
        self._balance.apply(text, generation)
        self._tell(states)

    def _apply_ending(self) -> None:
        self._apply(ending=True)

    def _apply_front(self) -> None:
        """Put into force what the files are now."""
        self._front.apply(*front(self._configuration, self._folders))

    def _write_certificates(self, seen: dict[Host, Observation]) -> None:
        for target in (each.target for each in seen.values()):
            if target is not None and target.certificate:
                file = certificate_file(self._folders, target)
                if not file.exists():
                    file.write_text(target.certificate, encoding="ascii")

    def _tell(self, states: dict[str, tuple[str, str]]) -> None:
        """Say which hosts have another state, once it is in force."""
        for name, (state, reason) in states.items():
            if self._states.get(name) != state:
                tell(f"{name} is {state}: {reason}")
        self._states = {name: state for name, (state, _) in states.items()}

    def _tell_of_open_files(self) -> None:
        connections = self._configuration.limits.balance_connections
        wanted, allowed = wanted_files(connections), open_files(connections)
        if allowed < wanted:
            tell(
                f"warning: {allowed} files may be open, and max_connections may need {wanted}: "
                "raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower max_connections"
            )

    def _take_new_files(self) -> None:
        found = ProxyConfiguration.load(self._configuration.path)
        if found == self._configuration:
            return
        self._front.test(front(found, self._folders)[0])
        tell(f"{found.path}, or a file that it names, has changed")
        if found.limits != self._configuration.limits:
            self._stop_watches(set(self._watches))  # begun anew with the new ones
        self._configuration = found
        self._tell_of_open_files()
        self._watch_hosts()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it, or say once why not and go on with what there is; the next round tries again."""
        try:
            action()
        except (CommandError, OSError, subprocess.SubprocessError) as error:
            if self._complaints.get(action.__name__) != str(error):
                tell(f"error: {error}; going on as before")
            self._complaints[action.__name__] = str(error)
        else:
            self._complaints.pop(action.__name__, None)

    def _watch_hosts(self) -> None:
        wanted = set(self._configuration.hosts)
        self._stop_watches(self._watches.keys() - wanted)
        for host in wanted - self._watches.keys():
            self._watches[host] = Watch(host, self._configuration.limits, self._changed)

    def _stop_watches(self, hosts: set[Host]) -> None:
        for host in hosts:
            self._watches.pop(host).stop()

    def _renew_tokens(self) -> None:
        """Renew the token whose turn it is; TorchServe refuses the old one from then on.

        So the host is passed over meanwhile, and what may still bring the old token is waited for.
        Where it is the only one, requests of that moment get 503 with Retry-After: better than the
        400 that the old token would bring.
        """
        if self._renewing is None:
            self._begin_renewal()
            return
        self._apply()  # raises where it is not in force
        lone = not usable({h: seen for h, seen in self._seen().items() if h != self._renewing})
        patience_s = _LONE_PATIENCE_S if lone else self._configuration.limits.all_tries_s
        waited_s = time.monotonic() - self._renewing_since
        workers = self._configuration.limits.nginx_workers
        if waited_s > patience_s or not self._balance.has_earlier_workers(workers):
            self._renew(self._renewing)

    def _begin_renewal(self) -> None:
        if time.monotonic() - self._renewing_since < self._renewal_pause_s:
            return
        now = datetime.now(UTC)
        # One for which it fails again and again lets the others have their turns.
        due = [
            (self._tried.get(host, 0.0), seen.renewal, host)
            for host, seen in self._seen().items()
            if seen.renewal is not None and seen.renewal < now and isinstance(host, LocalHost)
        ]
        if due:
            self._renewing_since = time.monotonic()
            self._renewing = min(due, key=lambda each: each[:2])[2]
            self._apply()

    def _renew(self, host: LocalHost) -> None:
        tell(f"Renewing the token of {host.name}")
        self._tried[host] = time.monotonic()
        self._renewal_pause_s = min(2 * self._renewal_pause_s, _LONGEST_PAUSE_S)
        try:
            host.renew()
            self._renewal_pause_s = _RENEWAL_PAUSE_S
        finally:
            self._renewing = None
            self._renewing_since = time.monotonic()
            if host in self._watches:
                # A host that is late just now would be given requests with its old token.
                self._watches[host].look(at_once=True)
            self._apply()

    def _rotate_logs(self) -> None:
        limits = self._configuration.limits
        if rotate(self._folders.logs, limits.max_log_bytes, limits.kept_logs):
            self._front.reopen_logs()
            self._balance.reopen_logs()

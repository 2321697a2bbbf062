"""One host that nginx hands requests to: is it ready, and what does it take to reach it.

A `LocalHost` is a TorchServe of this machine, known by its configuration; its state and token
come from `server_control`. A `RemoteHost` is another machine's proxy, known by its URL; it says
itself whether that machine is ready, takes us for one of its clients, and sends on what comes from
us to its `LocalHost`s only.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from archive_builder.command import CommandError
from server_control import keys
from server_control.configuration import Configuration
from server_control.readiness import DOWN, DRAINING, IS_READY, STARTING, readiness
from server_control.runtime import Runtime

# What a proxy says of its own machine alone: two that name each other would else keep each other
# ready for ever.
LOCAL_READY = "/ready/local"
_HTTP_TIMEOUT_S = 2.0
# RFC 6750, 2.1: what a bearer token may be made of; none of it has a meaning to nginx.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class Target:
    """Where requests go: `certificate` is what to trust where `url` is of TLS, as PEM.

    Its text and not its file: that of a server goes with the server.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)
    server_name: str = ""


@dataclass(frozen=True)
class Observation:
    """What was seen of a host: `state` as in `server_control.readiness`.

    From `renewal` on its token is to be made anew, None where that is not our business. `queue` is
    how many requests may wait there, None where only the host itself knows.
    """

    state: str
    reason: str
    target: Target | None = None
    renewal: datetime | None = None
    queue: int | None = None


@dataclass(frozen=True)
class LocalHost:
    """A TorchServe of this machine."""

    name: str
    configuration: Path
    ca_file: Path | None = None
    server_name: str = ""

    def observe(self) -> Observation:
        """Return the host's state; nothing is raised."""
        try:
            configuration, runtime = self._loaded()
            target = self._target(configuration, runtime)
        except CommandError as error:
            return Observation(DOWN, str(error))
        seen = readiness(configuration, runtime)
        queue = seen.models[0].most_waiting if seen.models else None
        if not configuration.asks_for_tokens:
            return Observation(seen.state, seen.reason, target, queue=queue)
        answers = seen.state in {IS_READY, DRAINING}
        try:
            key = keys.read(runtime, "inference")
            target = replace(target, token=checked_token(key.token, self.name))
        except CommandError as error:
            state, reason = (DOWN, str(error)) if answers else (seen.state, seen.reason)
            return Observation(state, reason)  # where it was is remembered with its token
        # A request may come late to a host that is no longer asked, so the token goes with it.
        if not answers:
            return Observation(seen.state, seen.reason, target, queue=queue)
        # Long before its end: a clock that is put forward by less than that ends no token.
        renewal = key.expires - configuration.token_life / 2
        if not key.is_valid:  # clients would get TorchServe's 400
            return Observation(STARTING, "its token has ended", target, renewal)
        return Observation(seen.state, seen.reason, target, renewal, queue)

    def renew(self) -> None:
        """Have TorchServe make a new token; the one before it is refused at once."""
        keys.renew(*self._loaded(), "inference")

    def _loaded(self) -> tuple[Configuration, Runtime]:
        runtime = Runtime(self.configuration)
        return runtime.running(), runtime

    def _target(self, configuration: Configuration, runtime: Runtime) -> Target:
        url = configuration.inference_url
        if not url.startswith("https:"):
            return Target(url)
        certificate = self.ca_file or runtime.certificate(configuration)
        server_name = self.server_name or _name_of(url)
        return Target(url, certificate=_pem(certificate), server_name=server_name)


@dataclass(frozen=True)
class RemoteHost:
    """Another machine's proxy."""

    name: str
    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    server_name: str = ""

    def observe(self) -> Observation:
        """Return the host's state; nothing is raised."""
        try:
            target = self._target()
        except CommandError as error:
            return Observation(DOWN, str(error))
        try:
            with requests.Session() as session:
                session.trust_env = False  # proxies of the environment are for others
                # requests would take a missing file for a folder of certificates.
                session.verify = str(self.ca_file) if self.ca_file else True
                answer = session.get(f"{self.url}{LOCAL_READY}", timeout=_HTTP_TIMEOUT_S)
        except (requests.RequestException, OSError) as error:
            return Observation(DOWN, f"{self.url}{LOCAL_READY} gives no answer: {error}", target)
        state = _state(answer)
        return Observation(state, f"{self.url}{LOCAL_READY} answered {answer.status_code}", target)

    def _target(self) -> Target:
        token = None
        if self.token_file:
            try:
                token = checked_token(
                    self.token_file.read_text(encoding="ascii").strip(), self.name
                )
            except (OSError, UnicodeDecodeError) as error:
                message = f"the token of host {self.name} cannot be read: {error}"
                raise CommandError(message) from error
        name = self.server_name or _name_of(self.url)
        return Target(self.url, token, _pem(self.ca_file), name)


Host = LocalHost | RemoteHost


def checked_token(token: str, name: str) -> str:
    """Return a token that can stand in nginx's configuration; `CommandError` otherwise."""
    if not _TOKEN.fullmatch(token):
        message = f"the token of host {name} is no bearer token"
        raise CommandError(message)
    return token


def _pem(file: Path | None) -> str:
    try:
        return file.read_text(encoding="ascii") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"the certificate {file} cannot be read: {error}"
        raise CommandError(message) from error


def _state(answer: requests.Response) -> str:
    if answer.status_code == HTTPStatus.OK:
        return IS_READY
    try:
        document: Any = answer.json()
    except ValueError:
        return DOWN
    return DRAINING if isinstance(document, dict) and document.get("state") == DRAINING else DOWN


def _name_of(url: str) -> str:
    """Return the name that the certificate must be for.

    nginx 1.22 compares names only, no IP addresses: those of this machine are called localhost.
    """
    host = urlsplit(url).hostname or ""
    try:
        return "localhost" if ip_address(host).is_loopback else host
    except ValueError:
        return host

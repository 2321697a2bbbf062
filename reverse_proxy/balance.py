"""deploy/nginx/balance.conf and host.conf, filled in: which host answers.

Ready hosts share the requests, each a second time as a stand-in, so that a request whose worker
has ended is tried again even where there is one host. Hosts that are being emptied are asked only
when none is ready, and without any of these nobody.sock answers 503.

What another machine's proxy has sent goes to this machine's hosts only, and it is told of these
only whether they are ready: so two that name each other neither hand a request to and fro nor
take each other's word for a host.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import certifi

from densenet_classifier.errors import InternalError
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders
from reverse_proxy.generation import generation_of
from reverse_proxy.hosts import Host, LocalHost, Observation, Target
from reverse_proxy.limits import open_files
from reverse_proxy.templates import fill, safe
from server_control.readiness import DOWN, DRAINING, IS_READY, STARTING

_NOBODY = "nobody"
# What TorchServe 0.12.0 answers to the batch of a worker that has ended, or was ended for its time.
WORKER_DIED = """{
  "code": 500,
  "type": "InternalServerException",
  "message": "Worker died."
}
"""
# A moment more than the timeouts within, which come with an answer.
_MARGIN_S = 3


def balance(
    configuration: ProxyConfiguration,
    folders: Folders,
    seen: Mapping[Host, Observation],
    *,
    ending: bool = False,
) -> tuple[str, str]:
    """Return the configuration of the balancing nginx, and the generation that it answers with.

    `seen` has every host; `ending` says that this proxy itself is about to end.
    """
    limits = configuration.limits
    asked = usable(seen)
    ours: dict[Host, Observation] = {
        host: each for host, each in seen.items() if isinstance(host, LocalHost)
    }
    values = {
        **asdict(limits),
        **folders.values(),
        "read_timeout_s": limits.answer_timeout_s + limits.connect_timeout_s + _MARGIN_S,
        "open_files": open_files(limits.balance_connections),
        "connections": limits.balance_connections,
        "ready": _ready(seen, ending=ending),
        "local_ready": _ready(ours, ending=ending),
        # A lone host that has no room has none for the second try either, which is no cheaper.
        "full": "http_429" if len(asked) > 1 else "",
        "worker_died_bytes": len(WORKER_DIED),
        "servers": "\n".join(_servers(folders, asked)),
        "local_servers": "\n".join(_servers(folders, usable(ours))),
        "hosts": "\n".join(
            _host(configuration, folders, host, observation, observation.target)
            for host, observation in seen.items()
            if observation.target is not None
        ),
    }
    anonymous = fill("balance.conf", {**values, "generation": ""})
    generation = generation_of(anonymous)
    return fill("balance.conf", {**values, "generation": generation}), generation


def overall(states: Iterable[str]) -> str:
    """Return the state of all hosts together: the best that there is."""
    found = set(states)
    return next((each for each in (IS_READY, DRAINING, STARTING) if each in found), DOWN)


def _ready(seen: Mapping[Host, Observation], *, ending: bool) -> str:
    """Return what nginx is to answer whoever asks whether these are ready."""
    state = DRAINING if ending else overall(each.state for each in seen.values())
    return f"""{200 if state == IS_READY else 503} '{{"state": "{state}"}}\\n'"""


def usable(seen: Mapping[Host, Observation]) -> list[Host]:
    """Return the hosts that are to get requests."""
    reachable = {host: each.state for host, each in seen.items() if each.target is not None}
    best = overall(reachable.values())
    if best not in {IS_READY, DRAINING}:
        return []
    return [host for host, state in reachable.items() if state == best]


def _servers(folders: Folders, hosts: list[Host]) -> list[str]:
    # No name of a host is that of another socket.
    names = [f"host-{host.name}" for host in hosts] or [_NOBODY]
    lines = [f"        server unix:{folders.sockets}/{name}.sock max_fails=0" for name in names]
    return [f"{line}{role};" for role in ("", " backup") for line in lines]


def _host(
    configuration: ProxyConfiguration,
    folders: Folders,
    host: Host,
    observation: Observation,
    target: Target,
) -> str:
    url = urlsplit(target.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    # 503 of a TorchServe that is neither full nor being emptied would be our mistake to send to.
    local = isinstance(host, LocalHost)
    full = local and observation.state == IS_READY
    return fill(
        "host.conf",
        {
            **asdict(configuration.limits),
            **folders.values(),
            "name": host.name,
            "scheme": url.scheme,
            "address": f"{url.netloc.rpartition(':')[0] if url.port else url.netloc}:{port}",
            "host_header": safe(url.netloc),
            "authorization": _authorization(target),
            # An empty header is not sent.
            "forwarded": "" if local else "yes",
            # Another machine's proxy has judged what its own TorchServes said.
            "refusals": "401" if local else "401 403",
            "faults": "403 500 507" if local else "507",
            "internal_error": _internal_error(),
            "busy": "error_page 503 =429 @busy;" if full else "",
            "few": "\n            ".join(_few(configuration, host, observation)),
            "tls": "\n            ".join(_tls(folders, target)),
        },
    )


def _internal_error() -> str:
    """Return the handler's words in both of its forms: `error` is the Open Inference Protocol's."""
    body = InternalError().body()
    return json.dumps({**body, "error": body["message"]})


def _few(configuration: ProxyConfiguration, host: Host, observation: Observation) -> list[str]:
    """Limit what waits in a TorchServe, and what of large requests; a proxy sees to that itself.

    TorchServe would refuse as well, but only after it has shaken hands and read all of the
    request, with the time that its workers need.
    """
    if not isinstance(host, LocalHost):
        return []
    limits = configuration.limits
    waiting = [f"limit_conn any_{host.name} {observation.queue};"] if observation.queue else []
    return [
        *waiting,
        f"limit_conn large_{host.name} {limits.large_requests};",
        f"limit_conn largest_{host.name} {limits.largest_requests};",
        "limit_conn_status 429;",
        "error_page 429 @busy;",
    ]


def _authorization(target: Target) -> str:
    return f'proxy_set_header Authorization "Bearer {target.token}";' if target.token else ""


def certificate_file(folders: Folders, target: Target) -> Path:
    """Return where nginx is to find what to trust; the file's name changes with its content."""
    if not target.certificate:
        return Path(certifi.where())  # as requests does
    return folders.private / f"{hashlib.sha256(target.certificate.encode()).hexdigest()[:16]}.pem"


def _tls(folders: Folders, target: Target) -> list[str]:
    if not target.url.startswith("https:"):
        return []
    lines = [
        "proxy_ssl_protocols TLSv1.2 TLSv1.3;",
        "proxy_ssl_server_name on;",
        f'proxy_ssl_name "{safe(target.server_name)}";',
        "proxy_ssl_verify on;",
        "proxy_ssl_verify_depth 3;",
    ]
    file = certificate_file(folders, target)
    return [*lines, f'proxy_ssl_trusted_certificate "{safe(file)}";']

"""deploy/nginx/front.conf, filled in: what clients reach.

Changes with the proxy's file, the clients and the certificate only, never with the hosts: a
reload closes connections that clients keep open, and a request that is sent at that moment is lost.
"""

import re
from dataclasses import asdict

from reverse_proxy.clients import Client
from reverse_proxy.configuration import ProxyConfiguration
from reverse_proxy.folders import Folders
from reverse_proxy.generation import generation_of
from reverse_proxy.limits import open_files
from reverse_proxy.templates import fill, safe

# Mozilla's "intermediate" recommendation, 5.7: with TLS 1.2 only what has forward secrecy.
_CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
ANYBODY = "anybody"  # in the log, where clients have no names


def front(configuration: ProxyConfiguration, folders: Folders) -> tuple[str, str]:
    """Return the configuration of the nginx in front, and the generation that it answers with.

    Both change with the content of certificate and key, too.
    """
    limits = configuration.limits
    values = {
        **asdict(limits),
        **folders.values(),
        "open_files": open_files(limits.max_connections),
        "all_tries_s": limits.all_tries_s,
        **limits.shares,
        "model": configuration.model,
        "clients": "\n".join(_clients(configuration.clients)),
        "tls": "\n    ".join(_tls(configuration)),
        "hsts": _hsts(configuration),
        "listen": "\n        ".join(_listen(configuration)),
        "redirect": "\n    ".join(_redirect(configuration)),
    }
    generation = generation_of(
        fill("front.conf", {**values, "generation": ""}), configuration.digest
    )
    return fill("front.conf", {**values, "generation": generation}), generation


def _clients(clients: tuple[Client, ...] | None) -> list[str]:
    if clients is None:
        return [f"        default {ANYBODY};"]
    lines = [f'        "~^(?i:bearer) +{re.escape(each.token)}$" {each.name};' for each in clients]
    return ['        default "";', *lines]


def _tls(configuration: ProxyConfiguration) -> list[str]:
    if configuration.certificate is None or configuration.certificate_key is None:
        return []
    return [
        f'ssl_certificate "{safe(configuration.certificate)}";',
        f'ssl_certificate_key "{safe(configuration.certificate_key)}";',
        "ssl_protocols TLSv1.2 TLSv1.3;",
        f"ssl_ciphers {_CIPHERS};",
        "ssl_prefer_server_ciphers off;",
        "ssl_session_cache shared:tls:4m;",
        "ssl_session_timeout 1d;",
        "ssl_session_tickets off;",
    ]


def _hsts(configuration: ProxyConfiguration) -> str:
    seconds = configuration.limits.hsts_s
    if configuration.certificate is None or not seconds:
        return ""
    return f'add_header Strict-Transport-Security "max-age={seconds}" always;'


def _listen(configuration: ProxyConfiguration) -> list[str]:
    options = "" if configuration.certificate is None else " ssl http2"
    return [f"listen {address}{options};" for address in configuration.listen]


def _redirect(configuration: ProxyConfiguration) -> list[str]:
    """Send who comes without TLS to the first address with it, under the name asked for."""
    if not configuration.redirect:
        return []
    port = configuration.listen[0].rpartition(":")[2]
    target = "https://$host$request_uri" if port == "443" else f"https://$host:{port}$request_uri"
    listen = [f"    listen {address};" for address in configuration.redirect]
    # 308 and not 301: a client must not make a GET of a POST.
    return ["server {", *listen, f"    return 308 {target};", "}"]

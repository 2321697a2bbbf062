"""The web page that a browser gets: name of the model and its weights in, one HTML document out.

The document is complete: its style and its script stand in it, and it asks for nothing but
answers of the server that it came from. Its Content-Security-Policy names the two by their
SHA-256 (CSP Level 3, 8.4), so nothing that slips into the page runs. `Page.html` carries the policy
as well, for a reverse proxy that serves the document as a file.
"""

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from densenet_classifier import __version__
from densenet_classifier.formats import FORMATS

_ASSETS = Path(__file__).with_name("page")


@dataclass(frozen=True)
class Page:
    """A document and the policy that it is to be sent with."""

    html: str
    content_security_policy: str

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the answer that carries the document."""
        return {
            "Content-Security-Policy": self.content_security_policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Vary": "Accept",  # the same address answers other clients otherwise
        }


def render(model: str, weights: str) -> Page:
    """Return the page of the model that is served as `/predictions/<model>`.

    `weights` is `Classifier.weights`. Reads the files of the folder `page` beside this module.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = _policy(style, script)
    html = Template(_asset("page.html")).substitute(
        policy=escape("; ".join(policy)),
        model=escape(model),
        version=escape(__version__),
        weights=escape(weights),
        demo_hidden="" if weights == "demo" else " hidden",
        action=escape(f"/predictions/{quote(model, safe='')}"),
        formats=escape(", ".join(FORMATS)),
        accept=escape(",".join(f"image/{name.lower()}" for name in FORMATS)),
        style=style,
        script=script,
    )
    # A document cannot forbid its own framing: browsers heed this in the header only.
    return Page(html, "; ".join([*policy, "frame-ancestors 'none'"]))


def _policy(style: str, script: str) -> list[str]:
    return [
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "img-src blob: data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
    ]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")

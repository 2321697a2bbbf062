"""Forms and headers as TorchServe hands them on: parts, plain fields, what a client may declare."""

import random

from reliability.fuzzing.documents import OPTIONS
from reliability.fuzzing.wire import Parameter, Request

Header = tuple[str, str]

CONTENT_TYPES = (
    "", "image/png", "image/jpeg", "application/octet-stream", "application/json", "text/plain",
    "text/html; charset=utf-8", "multipart/form-data", "multipart/form-data; boundary=x",
    "multipart/mixed", "application/x-protobuf", "Application/JSON", "application/json;charset=x",
    "image/png\x00", "*/*", "x" * 500, "é", "text", "application/json ", ";", 'text/plain;a="\\',
)  # fmt: skip
_NAMES = (
    "file", "data", "body", "image", "top_k", "min_probability", "target", "", "explain",
    "describe", "content-type", "Accept", "url_path", "inference-header-content-length", "x" * 255,
    "x" * 256, "x" * 5000, "é", "\0", "a\nb", "../../etc/passwd", "instances", "inputs", "b64",
    "content-length", "\U0001f600", "__class__",
)  # fmt: skip
_VALUES = (
    "", "True", "true", "False", "0", "1", "-1", "9" * 15, "9" * 16, "9" * 5000, "nan", "x",
    "application/json", "image/png", "text/html", "application/openapi+json", "*/*",
    "image/png;q=nan", "image/png;q=1e400", "text/html;q=0.5,image/png;q=2", "," * 2000,
    ";" * 2000, "a/b;q=" * 300, "é", "\ud800", "\U0001f600", "x" * 8000, "\x7f", "identity",
)  # fmt: skip
_MOST_BYTES = 30 * 1024 * 1024  # below max_request_size
_HEADERS = (
    "describe", "explain", "accept", "Accept", "ACCEPT", "content-length", "Content-Length",
    "inference-header-content-length", "Inference-Header-Content-Length", "x-request-id",
    "X-Request-ID", "Content-Type", "content-encoding", "url_path", "host",
    "ts_request_sequence_id",
    "file", "body", "data", "top_k", "expect", "é", "x" * 500,
)  # fmt: skip


def form(generator: random.Random, images: list[bytes]) -> Request:
    """Return a form of files, fields and things between."""
    count = generator.choice((0, 1, 1, 2, 3, 5, 31, 40)) if generator.random() < 0.9 else 300
    parts = {}
    left = _MOST_BYTES
    for number in range(count):
        name = generator.choice(_NAMES) if generator.random() < 0.5 else f"part {number}"
        if name in OPTIONS and generator.random() < 0.9:
            value = str(generator.choice(OPTIONS[name])).encode(errors="replace")
            parts[name] = Parameter(name, "", value)
        else:
            content = generator.choice(images) if generator.random() < 0.8 else b""
            left -= len(content)
            if left < 0:
                break
            content_type = generator.choice(CONTENT_TYPES)
            parts[name] = Parameter(name, content_type, content)
    size = sum(len(part.value) + len(part.name) + 200 for part in parts.values())
    # A part that was lost is noticed by this.
    length = generator.choice((size, size, size, size + 5000, 0))
    own = (("content-type", "multipart/form-data; boundary=b"), ("content-length", str(length)))
    # Of two parts with one name TorchServe keeps the last.
    return Request(tuple(parts.values()), (*own, *headers(generator)))


def headers(generator: random.Random) -> tuple[Header, ...]:
    """Return headers of the client, and now and then TorchServe's mark of an explanation."""
    own = (("explain", "True"),) if generator.random() < 0.2 else ()
    asked = (("accept", "image/png"),) if generator.random() < 0.1 else ()
    count = generator.choice((0, 0, 0, 1, 2, 5, 30))
    odd = tuple((generator.choice(_HEADERS), generator.choice(_VALUES)) for _ in range(count))
    return (*asked, *odd, *own)

"""Seed and number in, the bytes of one request out, or of something that is none.

The path, method, headers, framing and body are each drawn; what makes a request none of HTTP, or
leaves it unfinished, is noted, because a server may then close the connection without a word.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from reliability.fuzzing.documents import document
from reliability.fuzzing.http_forms import CRLF, form
from reliability.fuzzing.mutations import mutate
from reliability.fuzzing.seeds import gather

FORM = "form"
URLENCODED = b"application/x-www-form-urlencoded"
_PATHS = (
    "/predictions/{}", "/predictions/{}", "/predictions/{}", "/predictions/{}", "/explanations/{}",
    "/v1/models/{}:predict", "/v1/models/{}:explain", "/v2/models/{}/infer", "/models/{}/invoke",
    "/models/{}/invoke?top_k=3&min_probability=0.5", "/models/{}/invoke?top_k=%zz&&&=",
    "/{}/predict", "/predictions/{}?top_k=3",
)  # fmt: skip
_ODD_PATHS = (
    "/predictions/{}/", "/predictions/%2e%2e/{}", "/predictions//{}", "/../{}", "/predictions/none",
    "/predictions/{}/9.9", "*", "//", "/" + "a" * 3000, "/" + "a" * 9000, "/predictions/{}%00",
    "/predictions/{}?" + "a=b&" * 500, "http://localhost/predictions/{}", "/\xe9",
    "/api-description",
    "/predictions/{}#x", "/models/{}/invoke?%", "/v2/models/{}/infer?a[]=b", "/ping/x",
)  # fmt: skip
_METHODS = ("POST",) * 12 + (
    "PUT",
    "GET",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "X",
    "post",
)
_HEADERS = (
    b"Accept: image/png", b"Accept: " + b"a/b," * 900, b"describe: True", b"explain: True",
    b"Content-Encoding: gzip", b"Content-Encoding: br", b"Expect: 100-continue", b"Expect: 200-ok",
    b"X: " + b"y" * 7000, b"X: " + b"y" * 20_000, b"X: \xc3\xa9\xff", b"\xc3\xa9: x",
    b"X-Request-ID: a b",
    b"X-Request-ID: " + b"9" * 3000, b"Authorization: Bearer x", b"Cookie: " + b"a=b; " * 500,
    b"Inference-Header-Content-Length: 5", b"Upgrade: h2c", b"Connection: upgrade",
    b"Range: bytes=0-1",
    b"Content-Type: image/png", b"Content-Type: " + b"x" * 5000, b"Host: other", b"X:", b"X: \t ",
    b"Transfer-Encoding: identity", b"TE: trailers", b"If-Match: *", b"url_path: /x", b"file: x",
)  # fmt: skip
_NO_HEADERS = (
    b"no colon", b" folded", b": nothing", b"X\0: y", b"X: a\0b", b"X : y", b"\x01: y", b"X: a\rb",
    b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked\r\nContent-Length: 4",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, chunked",
)  # fmt: skip
_START_LINES = (
    b"POST / HTTP/9.9", b"POST  / HTTP/1.1", b"POST /", b"", b"\0\0\0\0", b"POST / HTTP/1.1 x",
    b"PRI * HTTP/2.0\r\n\r\nSM", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.0",
    b"POST / http/1.1", b"\xff\xfe", b"\r\n\r\nPOST / HTTP/1.1",
)  # fmt: skip


@dataclass(frozen=True)
class HttpCase:
    """Bytes for one connection.

    `regular`: it is HTTP and whole, and has to be answered. `readable`: it is no form and has an
    address without fault, so that TorchServe itself has no reason for its 500. `explains`: by its
    address; a header of a client does not count beside TorchServe's own.
    """

    number: int
    kind: str
    content: bytes
    regular: bool = True
    readable: bool = True
    explains: bool = False


class HttpCases:
    """The cases of one seed, for a model."""

    def __init__(self, seed: int, model_name: str, assets: Path | None = None) -> None:
        self._seed = seed
        self._model_name = model_name
        self._files = gather(assets)

    def __getitem__(self, number: int) -> HttpCase:
        """Return a case by its number, which may be any."""
        generator = random.Random(f"http/{self._seed}/{number}")  # noqa: S311
        kind = generator.random()
        if kind < 0.1:
            return self._no_http(generator, number)
        images = self._images(generator)
        if kind < 0.5:
            declared, body = form(generator, images)
            return self._sent(generator, number, FORM, declared, body)
        if kind < 0.7:
            declared = generator.choice((b"application/json", b"text/plain", b"x", URLENCODED))
            return self._sent(generator, number, "document", declared, document(generator, images))
        declared = generator.choice((b"image/png", b"", b"application/octet-stream", b"text/html"))
        return self._sent(generator, number, "picture", declared, generator.choice(images))

    def _sent(
        self, generator: random.Random, number: int, kind: str, declared: bytes, body: bytes
    ) -> HttpCase:
        """Return a request with the body, of any path, method, headers and framing."""
        method = generator.choice(_METHODS)
        paths = _PATHS if generator.random() < 0.9 else _ODD_PATHS
        path = generator.choice(paths).format(self._model_name)
        lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: localhost"]
        if declared:
            lines.append(b"Content-Type: " + declared)
        count = generator.choice((0, 0, 0, 1, 2, 5)) if generator.random() < 0.95 else 200
        lines += generator.choices(_HEADERS, k=count)
        regular = True
        if generator.random() < 0.05:
            lines.append(generator.choice(_NO_HEADERS))
            regular = False
        framing, body, whole = _framed(generator, body)
        head = CRLF.join([*lines, framing, b"Connection: close", b"", b""])
        # What a form is to TorchServe goes by any header of that name.
        is_form = b"multipart" in head.lower() or URLENCODED in head.lower()
        readable = not is_form and paths is _PATHS and "%" not in path
        # TorchServe's own limits of a line and of headers; answers without a body.
        regular = regular and len(head) < 4000 and method not in ("HEAD", "OPTIONS", "X", "post")
        return HttpCase(
            number,
            kind,
            head + body,
            regular and whole,
            readable,
            "expla" in path,
        )

    def _no_http(self, generator: random.Random, number: int) -> HttpCase:
        start = generator.choice(_START_LINES)
        rest = generator.choice(
            (b"\r\n\r\n", b"\n\n", b"\r\nHost: x\r\n\r\n", generator.randbytes(999))
        )
        content = start + rest if generator.random() < 0.8 else generator.randbytes(3000)
        return HttpCase(number, "no HTTP", content, regular=False, readable=False)

    def _images(self, generator: random.Random) -> list[bytes]:
        files = generator.choices(self._files, k=generator.randint(1, 3))
        return [
            file.content
            if generator.random() < 0.4
            else mutate(generator, file.content, files[0].content)
            for file in files
        ]


def _framed(generator: random.Random, body: bytes) -> tuple[bytes, bytes, bool]:
    """Return the header that tells how long the body is, the body, and whether that is true."""
    kind = generator.random()
    if kind < 0.7:
        return b"Content-Length: %d" % len(body), body, True
    if kind < 0.85:
        return b"Transfer-Encoding: chunked", _chunked(generator, body), True
    if kind < 0.9:
        more = generator.choice((1, 1000, 10**7))
        return b"Content-Length: %d" % (len(body) + more), body, False
    if kind < 0.95:
        return b"Content-Length: %d" % (len(body) // 2), body, False
    chunked = bytearray(_chunked(generator, body))
    for _ in range(3):
        chunked[generator.randrange(min(len(chunked), 30))] = generator.randrange(256)
    cut = generator.choice((len(chunked), len(chunked) - 3))
    return b"Transfer-Encoding: chunked", bytes(chunked[:cut]), False


def _chunked(generator: random.Random, body: bytes) -> bytes:
    size = generator.choice((1 + len(body) // 50, 4096, 1 << 20))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    extension = generator.choice((b"", b"", b";a=b", b";" + b"x" * 200))
    return (
        b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in pieces) + b"0\r\n\r\n"
    )

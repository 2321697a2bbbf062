"""Forms as bytes, each with something that RFC 7578 or RFC 2046 does not allow, or hardly."""

import random
from collections.abc import Callable

from reliability.fuzzing.forms import CONTENT_TYPES

CRLF = b"\r\n"
_BOUNDARIES = (b"b", b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"'()+_,-./:=?", b"x" * 70)
_NAMES = (
    b'"file"', b"file", b'"a\\"b"', b'""', b'"\xc3\xa9"', b'"\xff"', b'"a;b"', b"'file'",
    b'"' + b"n" * 3000
    + b'"', b'"top_k"', b'"body"', b'"\0"', b"", b'"file', b'"../../x"', b'"a\r\n b"',
)  # fmt: skip
_FILE_NAMES = (
    b'; filename="a.png"', b"", b"; filename=", b"; filename*=UTF-8''%e2%82", b"; filename*=x'y'z",
    b'; filename="' + b"a" * 5000 + b'"', b'; filename="a.png"; filename="b.png"', b"; =", b";;;",
    b"; filename*=nowhere''a", b'; filename="..\\..\\a"',
)  # fmt: skip
_PART_HEADERS = (
    b"", b"Content-Type: image/png\r\n", b"Content-Type: text/plain; charset=no-such\r\n",
    b"Content-Type: text/plain; charset=\r\n", b"Content-Type:\r\n", b"Content-Type\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: 7bit\r\n",
    b"Content-Transfer-Encoding: no-such\r\n", b"Content-Length: -5\r\n",
    b"Content-Length: 99999999\r\n",
    b"Content-Length: nine\r\n", b"no colon at all\r\n", b": no name\r\n", b" folded: x\r\n",
    b"X: " + b"y" * 9000 + b"\r\n", b"X: " + b"y" * 200_000 + b"\r\n", b"A: b\r\n" * 2000,
    b"Content-Type: application/json\r\n", b"Content-Type: \xff\xfe\r\n",
)  # fmt: skip


def form(generator: random.Random, images: list[bytes]) -> tuple[bytes, bytes]:
    """Return a form's content type and body; one in four has nothing wrong but its parts."""
    boundary = generator.choice(_BOUNDARIES)
    count = generator.choice((1, 1, 2, 3, 33, 500))
    parts = [_part(generator, generator.choice(images)) for _ in range(min(count, 3))]
    parts += [_part(generator, b"x") for _ in range(count - 3)]
    declared = b"multipart/form-data; boundary=" + boundary
    body = b"".join(b"--" + boundary + CRLF + part for part in parts) + b"--" + boundary + b"--\r\n"
    if generator.random() < 0.25:
        return declared, body
    return generator.choice(_DAMAGES)(generator, declared, body)


def _part(generator: random.Random, content: bytes) -> bytes:
    if generator.random() < 0.5:
        name = b'"part %d"' % generator.randrange(1000)
        return b"Content-Disposition: form-data; name=%b; filename=a\r\n\r\n%b\r\n" % (
            name,
            content,
        )
    disposition = generator.choice(
        (b"Content-Disposition: form-data; name=",) * 6
        + (
            b"content-disposition:form-data;name=",
            b"Content-Disposition: attachment; name=",
            b"X: ",
        )
    )
    name, file = generator.choice(_NAMES), generator.choice(_FILE_NAMES)
    return (
        disposition + name + file + CRLF + generator.choice(_PART_HEADERS) + CRLF + content + CRLF
    )


_Damage = Callable[[random.Random, bytes, bytes], tuple[bytes, bytes]]


def _other_boundary(generator: random.Random, _: bytes, body: bytes) -> tuple[bytes, bytes]:
    kind = generator.choice(
        (
            b"", b"; boundary", b"; boundary=", b'; boundary=""', b"; boundary=other",
            b'; boundary="b',
            b"; boundary=" + b"x" * 5000, b"; boundary=b; boundary=c", b"; boundary=\xff",
            b"; charset=no-such; boundary=b", b"; boundary= b", b";boundary=b;charset=",
        )
    )  # fmt: skip
    return b"multipart/form-data" + kind, body


def _other_type(generator: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    types = (
        b"multipart/mixed", b"multipart/related", b"MULTIPART/FORM-DATA", b"multipart/",
        b"multipart",
        b"application/x-www-form-urlencoded",
    )  # fmt: skip
    return declared.replace(b"multipart/form-data", generator.choice(types)), body


def _no_end(generator: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    return declared, body[: -generator.choice((1, 2, 3, 4, 5, len(body) // 2))]


def _bare_line_feeds(_: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    return declared, body.replace(CRLF, b"\n")


def _nested(generator: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    for depth in range(generator.choice((1, 2, 30))):
        inner = declared.partition(b"boundary=")[2]
        outer = b"n%d" % depth
        head = b"Content-Disposition: form-data; name=m\r\nContent-Type: multipart/mixed; boundary="
        body = (
            b"--" + outer + CRLF + head + inner + b"\r\n\r\n" + body + b"\r\n--" + outer + b"--\r\n"
        )
        declared = b"multipart/form-data; boundary=" + outer
    return declared, body


def _noise(generator: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    at = generator.randrange(len(body))
    cut = generator.choice((0, 1, 20))
    return declared, body[:at] + generator.randbytes(generator.choice((0, 1, 300))) + body[
        at + cut :
    ]


def _around(_: random.Random, declared: bytes, body: bytes) -> tuple[bytes, bytes]:
    return declared, b"preamble\r\n" + body + b"epilogue" * 100


def _nothing(generator: random.Random, declared: bytes, _: bytes) -> tuple[bytes, bytes]:
    boundary = declared.partition(b"boundary=")[2]
    bodies = (b"", b"--", b"--" + boundary, b"--" + boundary + b"--", b"\r\n" * 500, b"-" * 9000)
    return declared, generator.choice(bodies)


def _urlencoded(generator: random.Random, _: bytes, body: bytes) -> tuple[bytes, bytes]:
    bodies = (
        body,
        b"a=b&c=d",
        b"%",
        b"file=%zz",
        b"&" * 5000,
        b"=",
        b"top_k=3",
        b"a=" + b"%00" * 999,
    )
    return b"application/x-www-form-urlencoded", generator.choice(bodies)


def _declared_oddly(generator: random.Random, _: bytes, body: bytes) -> tuple[bytes, bytes]:
    return generator.choice(CONTENT_TYPES).encode("latin-1").replace(b"\0", b""), body


_DAMAGES: tuple[_Damage, ...] = (
    _other_boundary, _other_boundary, _other_type, _no_end, _bare_line_feeds, _nested, _noise,
    _noise,
    _around, _nothing, _urlencoded, _declared_oddly,
)  # fmt: skip

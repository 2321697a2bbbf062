"""JSON documents: the forms that are read, each with something wrong, and any JSON at all.

Base64 is damaged, data URLs are, images stand where none is expected, options are out of range,
and lists are long or deep.
"""

import base64
import json
import random
from typing import Any

from reliability.fuzzing.hostile import any_json

_KEYS = (
    "instances", "inputs", "outputs", "parameters", "b64", "data", "image_bytes", "name", "id",
    "datatype", "shape", "binary_data_size",
)  # fmt: skip
OPTIONS: dict[str, tuple[Any, ...]] = {
    "top_k": (1, 3, 5, 10, 11, 64, 1000, 1001, 0, -1, 1.5, 5.0, "5", " 5 ", "x", "", None, True, [],
              {}, 10**30, float("nan"), float("inf"), "1e3", "\u0665", "9" * 5000),
    "min_probability": (0, 1, 0.5, "0.5", -0.1, 1.1, "nan", None, False, [0.5], 1e-300, "1e-1000"),
    "target": ("n02124075", "n04507155", "n00000000", "", None, 5, [], "\ud800", "n" * 9999, "\0"),
}  # fmt: skip
_MOST_BYTES = 30 * 1024 * 1024  # below max_request_size
_TEXTS = ("", "#", "QUJD", "data:,x", "data:image/png;base64", "\ud800", "ä", "====", "A", "\0")


def document(generator: random.Random, images: list[bytes]) -> bytes:
    """Return the text of a document with some of the images; now and then it is no JSON."""
    kind = generator.random()
    value: object
    if kind < 0.35:
        value = _instances(generator, images)
    elif kind < 0.6:
        value = _tensors(generator, images)
    elif kind < 0.75:
        value = _image(generator, images)
        if isinstance(value, dict):
            value |= _options(generator)
    elif kind < 0.95:
        value = any_json(generator, _KEYS, depth=generator.choice((2, 4, 6)))
    else:
        # As text: json.dumps goes as deep as the stack of who calls it allows.
        depth = generator.choice((5, 100, 800, 950))
        return _text(generator, "[" * depth + "1" + "]" * depth)
    # A lone surrogate cannot be encoded but escaped.
    return _text(generator, json.dumps(value, ensure_ascii=True))


def _instances(generator: random.Random, images: list[bytes]) -> object:
    count = generator.choice((0, 1, 1, 2, 3, 5, 8, 31, 32, 33, 256, 257, 2000))
    few = [_image(generator, images) for _ in range(min(count, 4))]
    sizes = [len(str(image)) for image in few]
    count = min(count, _MOST_BYTES // max([1, *sizes]))
    instances: list[object] = [few[index % len(few)] for index in range(count)]
    if generator.random() < 0.3:
        return instances
    holder: dict[str, object] = {"instances": instances}
    if generator.random() < 0.3:
        return holder | {"parameters": _options(generator)}
    return holder | _options(generator)


def _tensors(generator: random.Random, images: list[bytes]) -> dict[str, object]:
    texts = [_base64(generator, images) for _ in range(generator.choice((0, 1, 1, 2, 3)))]
    wrong = generator.random() < 0.3
    data: object = [[text] for text in texts] if generator.random() < 0.2 else texts
    shape: object = [len(texts)]
    if wrong:
        shape = generator.choice(
            ([], [-1], [2**70], [True], [1] * 9, [0.5], "1", None, [[1]], [2, 2])
        )
    tensor = {
        "name": "image",
        "shape": shape,
        "datatype": generator.choice(("BYTES",) * 6 + ("FP32", None, 5)),
        "data": any_json(generator, _KEYS) if wrong and generator.random() < 0.3 else data,
    }
    result: dict[str, object] = {"inputs": [tensor] * generator.choice((1, 1, 1, 1, 0, 2))}
    if generator.random() < 0.4:
        result["parameters"] = _options(generator)
    if generator.random() < 0.2:
        result["id"] = generator.choice(("42", "", 42, "x" * 255, "x" * 256, None, "\ud800"))
    if generator.random() < 0.3:
        names = generator.choices(("class_id", "heatmap", "top_k_class_id", "error", "no", 5), k=3)
        result["outputs"] = generator.choice(([{"name": name} for name in names], [], {}, [None]))
    return result


def _image(generator: random.Random, images: list[bytes]) -> object:
    text = _base64(generator, images)
    kind = generator.random()
    if kind < 0.3:
        return text
    key = generator.choice(("b64", "data", "image_bytes"))
    value: object = {"b64": text} if kind < 0.5 else text
    holder: dict[str, object] = {key: value}
    if generator.random() < 0.3:
        holder["name"] = generator.choice(
            ("a.png", "", 5, None, "x" * 255, "x" * 256, "\ud800", "\0")
        )
    if generator.random() < 0.1:
        holder[generator.choice(("b64", "data", "more"))] = any_json(generator, _KEYS, 2)
    return holder


def _base64(generator: random.Random, images: list[bytes]) -> str:
    kind = generator.random()
    if kind < 0.1:
        return generator.choice(_TEXTS)
    encode = base64.urlsafe_b64encode if kind < 0.2 else base64.b64encode
    text = encode(generator.choice(images)).decode()
    if kind < 0.3:
        text = text.rstrip("=")
    elif kind < 0.4:
        at = generator.randrange(len(text) + 1)
        text = text[:at] + generator.choice(("=", "#", "\n", " ", "é", "\0", "")) + text[at + 1 :]
    elif kind < 0.5:
        text = generator.choice(("data:image/png;base64,", "data:;base64,", "data:x,")) + text
    return text


def _options(generator: random.Random) -> dict[str, object]:
    return {
        name: generator.choice(values)
        for name, values in OPTIONS.items()
        if generator.random() < 0.25
    }


def _text(generator: random.Random, text: str) -> bytes:
    kind = generator.random()
    if kind < 0.7:
        return text.encode()
    if kind < 0.8 and len(text) < _MOST_BYTES // 4:
        return text.encode(generator.choice(("utf-8-sig", "utf-16", "utf-32", "utf-16-be")))
    if kind < 0.9:
        return text[: generator.randrange(len(text) + 1)].encode()
    at = generator.randrange(len(text) + 1)
    noise = generator.choice((b"\xff", b",", b"}", b"]", b'"', b"\\", b"NaN", b"//", b"1" * 5000))
    return text[:at].encode() + noise + text[at:].encode()

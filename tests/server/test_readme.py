"""The README's requests, run as they stand there, give the answers that stand there."""

import re
import subprocess
from typing import Any

import pytest
import requests

from archive_builder import ROOT, SAMPLES
from tests.docs.test_documents import table
from tests.server.harness import Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
MAZE = (SAMPLES / "maze.png").read_bytes()
# A console block: a line that begins with `$ curl`, and the answer below it.
REQUESTS = re.findall(r"^\$ (curl .*)\n(\{.*\})$", README, flags=re.MULTILINE)


@pytest.mark.parametrize(("command", "answer"), REQUESTS)
def test_a_request_of_the_readme(any_server: Server, command: str, answer: str) -> None:
    address = any_server.configuration.values["inference_address"]
    result = subprocess.run(
        ["sh", "-c", command.replace(ADDRESS, address)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == answer


def test_the_readme_shows_a_request() -> None:
    assert REQUESTS


def keys(value: Any) -> set[str]:
    """Return all keys of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("predictions", {"data": MAZE}),
    "single, with `top_k": ("predictions", {"files": {"file": MAZE}, "data": {"top_k": 2}}),
    "list": ("predictions", {"files": {"a": MAZE, "b": b"hello"}}),
    "explanation": ("explanations", {"data": MAZE}),
    "error": ("predictions", {"data": b"hello"}),
}


def test_the_table_of_answers_is_complete() -> None:
    assert [name for name, _ in table("answer")] == list(ANSWERS)


@pytest.mark.parametrize(
    ("row", "name"), list(zip(table("answer"), ANSWERS, strict=True)), ids=ANSWERS
)
def test_an_answer_has_the_keys_of_its_row(demo_server: Server, row: list[str], name: str) -> None:
    path, sent = ANSWERS[name]
    address = demo_server.configuration.values["inference_address"]
    answer = requests.post(f"{address}/{path}/densenet121", timeout=60, **sent).json()
    written = set(re.findall(r'"(\w+)"', row[1]))
    single = set(re.findall(r'"(\w+)"', table("answer")[0][1]))
    if name == "list":
        assert set(answer) | set(answer["predictions"][1]) == written | {"name"}
        assert set(answer["predictions"][0]) == single | {"name"}
    else:
        assert keys(answer) == written | (single if "top_k" in name else set())

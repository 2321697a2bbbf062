"""The README's requests, run as they stand there, give the answers that stand there."""

import re
import subprocess

import pytest

from archive_builder import ROOT
from tests.server.harness import Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
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

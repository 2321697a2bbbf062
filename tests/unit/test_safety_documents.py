"""The threat model names what there is: the addresses, and tests that exist."""

import re

import pytest

from archive_builder import ROOT
from server_control.configuration import Configuration
from server_control.ports import PRODUCTION
from supply_chain.java_libraries import jar_path, libraries

MODEL = (ROOT / "docs" / "THREAT_MODEL.md").read_text(encoding="utf-8")
WEAKNESSES = (ROOT / "docs" / "WEAKNESSES.md").read_text(encoding="utf-8")
# `tests/file.py::test_name`, `tests/file.py`, or `::test_name` of the file that was named last.
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)?(?:::(test_\w+))?`")


def references() -> list[tuple[str, str]]:
    """Return file and test of each, the test "" where the whole file is meant."""
    found, file = [], ""
    for named, test in REFERENCE.findall(MODEL):
        if not named and not test:
            continue
        file = named or file
        found.append((file, test))
    return found


@pytest.mark.parametrize(("file", "test"), references())
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert f"def {test or 'test_'}" in text
    assert not test or f"def {test}(" in text


def test_enough_tests_are_named() -> None:
    assert len(references()) > 30


def test_the_table_has_every_address_of_the_production_configuration() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:https?://)?([\d.]+):(\d+) \|", MODEL, re.MULTILINE)
    found = {key: (host, int(port)) for key, host, port in rows}
    assert found == Configuration.read(PRODUCTION).listeners()


def test_the_threat_model_is_a_page() -> None:
    assert len(MODEL.splitlines()) < 100


def test_versions_that_the_jar_tells_are_those_of_the_table() -> None:
    listed = {found.library.name: found.version for found in libraries(jar_path())}
    for text, name in (("netty (HTTP)", "netty-all"), ("gRPC", "grpc-core"),
                       ("log4j", "log4j-core"), ("gson", "gson")):  # fmt: skip
        assert re.search(rf"^\| {re.escape(text)} \| {listed[name]}, ", WEAKNESSES, re.MULTILINE)
    for text, name in (("Groovy", "groovy"), ("Ant", "ant"), ("JUnit", "junit")):
        assert f"{text} {listed[name]}" in WEAKNESSES

"""The bill of materials is valid, complete, and the same each time."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from archive_builder import HANDLER, ROOT
from supply_chain.java_libraries import LIBRARIES, jar_path, libraries, unknown_folders
from supply_chain.pins import installed_packages, read_pins, requirements
from supply_chain.sbom import SERVING, bill

Component = dict[str, Any]


@pytest.fixture(scope="module")
def text() -> str:
    return bill(installed_packages())


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def all_components(parent: dict[str, Any]) -> Iterator[Component]:
    for component in parent.get("components", []):
        yield component
        yield from all_components(component)


def of_pypi(document: dict[str, Any]) -> dict[str, str]:
    return {
        each["name"]: each["version"]
        for each in document["components"]
        if each.get("purl", "").startswith("pkg:pypi/")
    }


def test_it_is_valid_by_its_schema(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_schema_would_find_a_fault(text: str) -> None:
    damaged = text.replace('"type": "library"', '"type": "libary"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(damaged) is not None


def test_another_process_writes_the_same_bytes(text: str) -> None:
    seed = {"PYTHONHASHSEED": "7", "PYTHONPATH": f"{ROOT}{os.pathsep}{HANDLER}"}
    command = [sys.executable, "-m", "supply_chain.sbom"]
    result = subprocess.run(
        command, env=os.environ | seed, capture_output=True, text=True, timeout=240, check=True
    )
    assert result.stdout == text


def test_what_the_requirements_name_is_in_it_with_its_pin(document: dict[str, Any]) -> None:
    listed = of_pypi(document)
    for name in SERVING:
        for requirement in requirements(ROOT / name):
            version = listed[requirement.name.lower()].split("+")[0]
            assert requirement.specifier.contains(version), requirement


def test_what_they_bring_is_in_it_with_the_constraint(document: dict[str, Any]) -> None:
    pins = read_pins()
    listed = of_pypi(document)
    assert {"urllib3", "certifi", "jinja2", "packaging"} <= listed.keys()
    for name, version in listed.items():
        assert version.split("+")[0] == pins.get(name, version), name


def test_what_only_tests_need_is_not_in_it(document: dict[str, Any]) -> None:
    assert of_pypi(document).keys().isdisjoint({"pytest", "ruff", "flask", "litserve", "nncf"})


def test_every_dependency_is_a_component(document: dict[str, Any]) -> None:
    refs = {each["bom-ref"] for each in all_components(document)}
    (service,) = [each for each in document["dependencies"] if each["ref"] not in refs]
    assert service["ref"] == document["metadata"]["component"]["bom-ref"]
    assert {ref.split("@")[0] for ref in service["dependsOn"]} == {
        requirement.name.lower() for name in SERVING for requirement in requirements(ROOT / name)
    }
    assert refs >= {ref for each in document["dependencies"] for ref in each.get("dependsOn", [])}


def test_java_and_the_weights_are_in_it(document: dict[str, Any]) -> None:
    found = {each["name"]: each for each in all_components(document)}
    assert found["netty-all"]["version"] == "4.1.53.Final"
    assert found["log4j-core"]["version"] == "2.17.1"
    assert found["grpc-core"]["version"] == "1.50.0"
    assert found["gson"]["version"] == "2.10.1"
    assert found["java-runtime"]["version"].startswith("21.")
    assert found["densenet121-a639ec97.pth"]["type"] == "machine-learning-model"


def test_a_version_that_nothing_tells_is_said_to_be_unknown(document: dict[str, Any]) -> None:
    found = {each["name"]: each for each in all_components(document)}
    assert "version" not in found["snakeyaml"]
    assert found["snakeyaml"]["properties"][0]["value"] == ">=2.0"
    assert found["testng"]["properties"][0]["value"] == "unknown"


def test_every_class_of_the_jar_belongs_to_a_library() -> None:
    assert unknown_folders(jar_path()) == set()


def test_every_library_of_the_table_is_in_the_jar_and_says_what_it_states() -> None:
    found = {each.library.name: each for each in libraries(jar_path())}
    assert found.keys() == {each.name for each in LIBRARIES}
    assert [name for name, each in found.items() if each.library.stated and not each.version] == []


def test_a_jar_of_another_making_is_told_apart(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    with zipfile.ZipFile(jar, "w") as file:
        file.writestr("org/elsewhere/A.class", b"")
        file.writestr("io/netty/B.class", b"")
    (netty,) = libraries(jar)
    assert (netty.library.name, netty.version) == ("netty-all", None)
    assert unknown_folders(jar) == {"org/elsewhere"}

"""The documents agree with the code: commands exist, tables are complete, links lead somewhere."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from archive_builder import HANDLER, ROOT
from densenet_classifier.errors import RequestError
from densenet_classifier.formats import FORMATS
from densenet_classifier.settings import Settings
from densenet_classifier.weights import IMAGENET1K_V1

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", ".run"} & set(path.relative_to(ROOT).parts)
)


def table(header: str) -> list[list[str]]:
    """Return the cells of the README's table whose first column has this header."""
    lines = README.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {header} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def test_every_error_has_its_row() -> None:
    written = [(int(code), kind) for code, kind, *_ in table("code")]
    defined = [(int(error.status), error.__name__) for error in RequestError.__subclasses__()]
    assert written == defined


def test_every_setting_of_the_handler_has_its_row_with_its_default() -> None:
    written = [(name, default) for name, default, _ in table("setting of `handler:`")]
    assert written == [(field.name, str(field.default)) for field in fields(Settings)]


def test_the_configuration_in_the_archive_sets_the_documented_defaults() -> None:
    configuration = yaml.safe_load((HANDLER / "model-config.yaml").read_text())
    assert Settings.from_mapping(configuration["handler"]) == Settings()


def test_every_variable_has_its_row_and_every_row_a_variable() -> None:
    written = {name for name, _ in table("variable")}
    own = {"DENSENET121_WEIGHTS", "DENSENET121_WEIGHTS_URL", "INDEX_TO_NAME", "TS_CONFIG_FILE"}
    assert written == own | {"JAVA_HOME", "PYTHON", "TEST_ASSETS"}
    sources = [*ROOT.glob("archive_builder/*.py"), *ROOT.glob("server_control/*.py")]
    read = set(re.findall(r"\"(DENSENET121_\w+)\"", "".join(map(Path.read_text, sources))))
    internal = {"DENSENET121_CONSOLE_LEVEL"}  # from serve to log4j2.xml
    assert read - internal == {name for name in own if name.startswith("DENSENET121_")}


def test_every_script_has_its_row() -> None:
    written = {name.strip("` ") for names, _ in table("script") for name in names.split(",")}
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file()}
    assert written == scripts - {"_python", "environment.py"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_scripts_and_links_of_a_document_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for script in re.findall(r"\./scripts/([a-z-]+)", text):
        assert (ROOT / "scripts" / script).is_file(), script
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), link


def test_the_readme_names_the_accepted_formats() -> None:
    (formats,) = re.findall(r"form under any name.*?ignored\. (.*?), told by", README, re.DOTALL)
    assert re.findall(r"[A-Z]+", formats) == list(FORMATS)


def test_the_model_card_has_the_numbers_of_the_record() -> None:
    card = (ROOT / "docs" / "MODEL_CARD.md").read_text(encoding="utf-8")
    record = IMAGENET1K_V1
    for number in (
        f"{record.parameters:,}",
        f"{record.top1_percent} %",
        f"{record.top5_percent} %",
    ):
        assert number in card


def test_no_section_of_the_readme_is_a_placeholder() -> None:
    for section in re.split(r"^## .*$", README, flags=re.MULTILINE):
        assert len(section.split()) > 10


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < 200


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").iterdir())
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))

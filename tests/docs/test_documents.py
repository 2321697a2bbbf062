"""The documents agree with the code: commands exist, tables are complete, links lead somewhere."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from archive_builder import LABELS, ROOT
from archive_builder.model_configuration import model_configuration
from densenet_classifier.answers import ListForm, SingleForm, TensorForm
from densenet_classifier.documents import IMAGE_KEYS
from densenet_classifier.errors import RequestError
from densenet_classifier.formats import FORMATS
from densenet_classifier.options import MAX_HEAT_MAPS, MAX_TOP_K, OPTION_NAMES
from densenet_classifier.settings import Settings
from densenet_classifier.tensors import OUTPUTS
from densenet_classifier.weights import IMAGENET1K_V1
from server_control.configuration import Configuration
from torchserve_messages import PART_OVERHEAD, read_request

FILE = {"content-type": "image/png"}
TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["eA=="]}

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
    assert Settings.from_mapping(model_configuration()["handler"]) == Settings()


def test_every_variable_has_its_row_and_every_row_a_variable() -> None:
    written = {name for name, _ in table("variable")}
    own = {
        "DENSENET121_WEIGHTS",
        "DENSENET121_WEIGHTS_URL",
        "DENSENET121_TOKEN",
        "INDEX_TO_NAME",
        "TS_CONFIG_FILE",
    }
    patterns = {"DENSENET121_<SETTING>", "TS_<KEY>"}  # of settings.py and torchserve_keys.py
    assert written == own | patterns | {"JAVA_HOME", "PYTHON", "TEST_ASSETS"}
    packages = ("archive_builder", "server_control", "densenet_client", "evaluation", "benchmarks")
    sources = [path for name in packages for path in ROOT.glob(f"{name}/*.py")]
    read = set(re.findall(r"\"(DENSENET121_\w+)\"", "".join(map(Path.read_text, sources))))
    internal = {"DENSENET121_CONSOLE_LEVEL"}  # from serve to log4j2.xml
    internal |= {f"DENSENET121_{field.name.upper()}" for field in fields(Settings)}
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
    (formats,) = re.findall(r"^(JPEG.*?), whatever content type is declared", README, re.MULTILINE)
    assert re.findall(r"[A-Z]+", formats) == list(FORMATS)


def test_every_option_has_its_row_with_its_range() -> None:
    rows = {name: values for name, values, _ in table("option")}
    assert list(rows) == list(OPTION_NAMES)
    assert rows["top_k"] == f"1 to {MAX_TOP_K}, of an explanation 1 to {MAX_HEAT_MAPS}"


def test_every_input_of_the_table_is_read() -> None:
    readers: dict[str, tuple[dict[str, Any], dict[str, Any], type]] = {
        "one image": ({"body": b"x"}, {}, SingleForm),
        "several images": ({"a": b"x", "b": b"x"}, {"a": FILE, "b": FILE}, ListForm),
        "JSON": ({"body": {"instances": ["eA=="]}}, {}, ListForm),
        "JSON, one image": ({"body": {"b64": "eA=="}}, {}, SingleForm),
        "Open Inference Protocol V2": ({"body": {"inputs": [TENSOR]}}, {}, TensorForm),
        "gRPC": ({"data": b"x"}, {}, SingleForm),
    }
    assert [name for name, *_ in table("input")] == list(readers)
    for row, headers, form in readers.values():
        request = read_request(row, headers, "densenet121")
        assert type(request.form) is form
        assert request.error is None
        assert request.parts


def test_the_keys_of_the_image_objects_are_named() -> None:
    keys = re.search(r"object with such a text under (.*?), and maybe a `name`", README, re.DOTALL)
    assert keys is not None
    assert re.findall(r"`(\w+)`", keys[1]) == list(IMAGE_KEYS)


def test_every_output_tensor_has_its_row() -> None:
    lines = (ROOT / "docs" / "REQUESTS.md").read_text(encoding="utf-8").split("| output |")[1]
    cells = [line.split("|")[1] for line in lines.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", "".join(cells))) == set(OUTPUTS)


def test_the_allowance_of_a_part_is_the_documented_one() -> None:
    text = (ROOT / "docs" / "REQUESTS.md").read_text(encoding="utf-8")
    assert f"allows each part {PART_OVERHEAD} bytes" in text


def test_the_configuration_allows_what_the_handler_may_answer() -> None:
    settings = Settings()
    values = Configuration.load({}).values
    rows = json.loads(LABELS.read_text(encoding="utf-8")).values()
    predictions = [
        {"class_id": class_id, "class_name": name, "probability": 0.000001}
        for class_id, name in rows
    ]
    answer = settings.max_images_per_request * len(json.dumps(predictions))
    assert answer < int(values["max_response_size"]) / 5


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

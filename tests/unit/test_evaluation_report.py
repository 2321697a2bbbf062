"""What is printed, and what JSON holds."""

import json
from pathlib import Path

import pytest

from densenet_client import Candidate
from evaluation.outcomes import Judged, Referred, Skipped
from evaluation.report import Report, name_files

FOLDER = Path("photographs")
NAMES = {"n1": "owl", "n2": "fox"}
OWL, FOX = Candidate("n1", "owl", 0.75), Candidate("n2", "fox", 0.25)
MODEL = {"weights": {"name": "demo"}, "engine": "openvino", "precision": "bf16"}


def report(*, reference: bool = True) -> Report:
    referred = Referred(OWL, 0.5) if reference else None
    judged = [
        Judged(FOLDER / "n1" / "1.jpg", "n1", (OWL, FOX), referred),
        Judged(FOLDER / "n2" / "2.jpg", "n2", (OWL, FOX), referred),
        Judged(FOLDER / "n2" / "3.jpg", "n2", (OWL,), referred),
        Judged(FOLDER / "n1" / "\x1b4.jpg", "n1", (FOX, OWL), referred),
    ]
    skipped = [Skipped(FOLDER / "n1" / "bad.jpg", "truncated")]
    unlabelled = [Skipped(FOLDER / "x.jpg", "its name tells no class")]
    return Report(FOLDER, MODEL, NAMES, judged, skipped, unlabelled)


def test_the_table() -> None:
    assert report().table(20).splitlines() == [
        "model                   demo, openvino, bf16",
        "images                  4",
        "top-1                   25.0 % (95 % interval 4.6 to 69.9)",
        "top-5                   75.0 % (95 % interval 30.1 to 95.4)",
        "agreement with float32  75.0 % (95 % interval 30.1 to 95.4)",
        "change of probability   largest 0.2500, mean 0.2500",
        "without a label         1",
        "not classified          1",
        "",
        "times  label   answer  for example",
        "2      n2 fox  n1 owl  n2/2.jpg",
        "1      n1 owl  n2 fox  n1/\\x1b4.jpg",
    ]


def test_the_table_shows_as_many_confusions_as_asked_for() -> None:
    assert report().table(1).splitlines()[-2:] == [
        "2      n2 fox  n1 owl  n2/2.jpg",
        "and 1 more",
    ]
    assert report().table(0).splitlines()[-1] == "not classified          1"


def test_the_table_without_a_reference() -> None:
    lines = report(reference=False).table(0).splitlines()
    assert "agreement with float32  no reference" in lines
    assert not any(line.startswith("change") for line in lines)


def test_json_has_everything() -> None:
    document = json.loads(json.dumps(report().document()))
    assert document.pop("folder") == "photographs"
    assert document.pop("model") == MODEL
    assert document.pop("images") == 4
    assert document.pop("top1") == {
        "count": 1,
        "total": 4,
        "share": 0.25,
        "interval_95": pytest.approx([0.0456, 0.6994], abs=1e-4),
    }
    assert document.pop("top5")["count"] == 3
    assert document.pop("agreement")["share"] == 0.75
    assert document.pop("change") == {"largest": 0.25, "mean": 0.25}
    assert document.pop("unlabelled") == [{"file": "x.jpg", "reason": "its name tells no class"}]
    assert document.pop("skipped") == [{"file": "n1/bad.jpg", "reason": "truncated"}]
    first, second = document.pop("confusions")
    assert first == {
        "label": "n2",
        "label_name": "fox",
        "answer": "n1",
        "answer_name": "owl",
        "count": 2,
        "example": "n2/2.jpg",
    }
    assert second["count"] == 1
    photographs = document.pop("photographs")
    assert document == {}
    assert [each["file"] for each in photographs] == [
        *("n1/1.jpg", "n2/2.jpg", "n2/3.jpg", "n1/\x1b4.jpg"),
    ]
    assert photographs[1] == {
        "file": "n2/2.jpg",
        "label": "n2",
        "top1": False,
        "top5": True,
        "predictions": [
            {"class_id": "n1", "class_name": "owl", "probability": 0.75},
            {"class_id": "n2", "class_name": "fox", "probability": 0.25},
        ],
        "reference": {"class_id": "n1", "class_name": "owl", "probability": 0.75},
        "agrees": True,
        "change": 0.25,
    }


def test_json_without_a_reference() -> None:
    document = report(reference=False).document()
    assert document["agreement"] is None
    assert document["change"] is None
    assert "reference" not in document["photographs"][0]


def test_files_left_out_are_named_of_many_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    name_files("not classified", [Skipped(Path(f"{number}\n.jpg"), "bad") for number in range(25)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "not classified: 0\\n.jpg: bad"
    assert lines[20:] == ["not classified: 5 more; --json names all"]

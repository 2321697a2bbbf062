"""The command `evaluate` through a stub of the server: what it asks, prints, and ends with."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive_builder.command import CommandError
from evaluation.__main__ import main
from tests.unit.local_http import Answer, Request, Server, refusing, serving

OWL, FOX, EMU = "n00000001", "n00000002", "n00000003"
NAMES = {OWL: "owl", FOX: "fox", EMU: "emu"}
REFUSED = {"code": 422, "type": "UndecodableImageError", "message": "It is truncated."}
FAULT = {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}

RunMain = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def service(request: Request) -> Answer:
    """Answer like the server; the ids that an image shows are its bytes, the likeliest first."""
    form = request.form()
    assert form["top_k"] == b"5"
    assert form["min_probability"] == b"0"
    content = form["file"].decode()
    if content == "bad":
        return Answer(json.dumps(REFUSED).encode(), 422)
    if content == "large":
        return Answer(status=413)
    if content == "fault":
        return Answer(json.dumps(FAULT).encode(), 400)
    candidates = [
        {"class_id": each, "class_name": NAMES[each], "probability": 0.5 / (1 + index)}
        for index, each in enumerate(content.split())
    ]
    best = {key: candidates[0][key] for key in ("class_id", "class_name")}
    answer = {**best, "probability": 0.5, "predictions": candidates}
    return Answer(json.dumps(answer).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(service) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three photographs: one right, one among the first five, one wrong."""
    folder = tmp_path / "photographs"
    (folder / OWL).mkdir(parents=True)
    (folder / OWL / "1.jpg").write_text(f"{OWL} {FOX}")
    (folder / f"{FOX}_fox.jpg").write_text(f"{OWL} {FOX}")
    (folder / "emu.jpg").write_text(f"{OWL} {FOX}")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path, tmp_path: Path) -> RunMain:
    """Return what runs the command on the folder with the address of the stub server."""
    labels = tmp_path / "index_to_name.json"
    labels.write_text(json.dumps({str(n): list(row) for n, row in enumerate(NAMES.items())}))
    monkeypatch.setenv("INDEX_TO_NAME", str(labels))
    monkeypatch.delenv("DENSENET121_TOKEN", raising=False)

    def run_main(*arguments: str, url: str | None = None) -> int:
        url = url or f"{server.url}/predictions/m"
        monkeypatch.setattr("sys.argv", ["evaluate", str(folder), "--url", url, *arguments])
        return main()

    return run_main


def test_the_table_of_a_folder(run: RunMain, capsys: Capture) -> None:
    assert run() == 0
    assert capsys.readouterr().out.splitlines() == [
        "images                  3",
        "top-1                   33.3 % (95 % interval 6.1 to 79.2)",
        "top-5                   66.7 % (95 % interval 20.8 to 93.9)",
        "agreement with float32  no reference",
        "without a label         0",
        "not classified          0",
        "",
        "times  label          answer         for example",
        f"1      {FOX} fox  {OWL} owl  {FOX}_fox.jpg",
        f"1      {EMU} emu  {OWL} owl  emu.jpg",
    ]


def test_files_that_cannot_be_judged_are_counted_and_named(
    run: RunMain, folder: Path, capsys: Capture
) -> None:
    (folder / "emu").mkdir()
    (folder / "emu" / "1.jpg").write_text("bad")
    (folder / "emu" / "2.jpg").write_text("large")
    (folder / "notes.txt").write_text("of the photographer")
    assert run() == 0
    out, err = capsys.readouterr()
    assert "images                  3" in out
    assert "without a label         1" in out
    assert "not classified          2" in out
    assert f"without a label: {folder}/notes.txt: its name tells no class" in err
    assert f"not classified: {folder}/emu/1.jpg: 422 It is truncated." in err
    assert f"not classified: {folder}/emu/2.jpg: 413" in err


def test_json_is_written(run: RunMain, tmp_path: Path) -> None:
    assert run("--json", str(tmp_path / "report.json")) == 0
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["top1"]["count"] == 1
    files = {each["file"]: each["label"] for each in document["photographs"]}
    assert files == {f"{OWL}/1.jpg": OWL, f"{FOX}_fox.jpg": FOX, "emu.jpg": EMU}


@pytest.mark.parametrize(("least", "status"), [("0.33", 0), ("0.34", 2)])
def test_a_top1_below_what_is_asked_for_is_status_2(
    run: RunMain, capsys: Capture, least: str, status: int
) -> None:
    assert run("--min-top1", least) == status
    err = capsys.readouterr().err
    assert ("top-1 is 0.3333, less than 0.34" in err) == (status == 2)


def test_nothing_that_was_classified_is_an_error(run: RunMain, folder: Path) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_text("bad")
    with pytest.raises(CommandError, match="none of the 3 files with a label"):
        run()


def test_a_fault_of_the_server_ends_it_even_one_with_the_status_400(
    run: RunMain, folder: Path
) -> None:
    (folder / "emu.jpg").write_text("fault")
    with pytest.raises(CommandError, match=r"emu\.jpg: 400 Prediction failed"):
        run()


def test_no_server_is_an_error(run: RunMain) -> None:
    with refusing() as url, pytest.raises(CommandError, match="no server at"):
        run(url=f"{url}/predictions/m")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--against", "float32"], "no archive is known"),
        (["--min-agreement", "0.9"], "no archive is known"),
        (["--archive", "no.mar"], "no.mar is missing"),
    ],
)
def test_a_reference_that_is_insisted_on_has_to_be_there(
    run: RunMain, server: Server, arguments: list[str], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        run(*arguments)
    assert server.requests == []


def test_a_report_that_cannot_be_written_is_known_before_anything_is_sent(
    run: RunMain, server: Server, tmp_path: Path
) -> None:
    for path in (tmp_path, tmp_path / "missing" / "report.json"):
        with pytest.raises(CommandError, match="--json"):
            run("--json", str(path))
    assert server.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--in-process"],  # beside --url
        ["--precision", "bf16"],
        ["--engine", "torch"],
        ["--no-reference", "--against", "float32"],
        ["--no-reference", "--min-agreement", "0.9"],
        ["--min-top1", "97"],
        ["--min-top1", "nan"],
        ["--confusions", "-1"],
        ["--concurrency", "0"],
        ["--timeout", "0"],
    ],
)
def test_wrong_usage(run: RunMain, arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ending:
        run(*arguments)
    assert ending.value.code == 2
    assert "error: " in capsys.readouterr().err

"""Answers in process and the reference beside them, with networks that are made up."""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archive_builder.command import CommandError
from densenet_classifier.classifier import Classifier
from densenet_classifier.engine import Outputs
from densenet_classifier.images import Pixels
from densenet_classifier.labels import Label
from densenet_classifier.settings import Settings, SettingsError
from densenet_client import Candidate
from evaluation import in_process, reference, served
from evaluation.__main__ import main
from evaluation.archives import read_settings, unpacked
from evaluation.outcomes import BATCH, TOP, Answered, Referred, Skipped, in_chunks
from evaluation.reference import Reference
from tests.unit.local_http import Answer, Request, Server, serving

# A made-up network knows a class by its grey: i is the class of 10 * i.
LABELS = [Label(f"n0000000{index}", f"grey {index}") for index in range(8)]
IDENTITY = {"name": "demo", "sha256": "12"}

Capture = pytest.CaptureFixture[str]


def logits(images: Sequence[Pixels]) -> Any:
    """Return float32 [N, 8]: the class of the grey first, then its neighbours."""
    greys = np.array([image.mean() / 10 for image in images])
    return (-2 * np.abs(greys[:, None] - np.arange(8))).astype(np.float32)


class Engine:
    """A made-up engine; it takes two images at a time and is `wrong` about class 1."""

    name, precision, device, batch = "torch", "float32", "cpu", 2

    def __init__(self, *, wrong: bool = False) -> None:
        self.wrong = wrong

    def run(self, images: Sequence[Pixels], *, features: bool) -> Outputs:
        assert not features
        result = logits(images)
        if self.wrong:
            result[:, 2] += 3 * (result.argmax(axis=1) == 1)
        return Outputs(result, None)


def classifier(*, wrong: bool = False) -> Classifier:
    weights = np.zeros((8, 1024), np.float32)
    return Classifier("m", Engine(wrong=wrong), tuple(LABELS), weights, "demo", "12")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with photographs of the classes 0 to 3, and one that is none."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(4):
        grey = Image.new("RGB", (32, 32), (10 * index,) * 3)
        grey.save(folder / f"{LABELS[index].class_id}_grey.png")
    (folder / "n00000000_broken.png").write_text("no photograph")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive without weights."""
    path = tmp_path / "m.mar"
    rows = {str(index): label for index, label in enumerate(LABELS)}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive.json", json.dumps({"weights": IDENTITY}))
        file.writestr("index_to_name.json", json.dumps(rows))
        file.writestr("model-config.yaml", "handler: {max_image_bytes: 500, precision: int8}\n")
    return path


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Let the made-up networks be loaded; return the settings that were asked for."""
    asked: list[Settings] = []

    def load(_folder: Path, settings: Settings) -> Classifier:
        asked.append(settings)
        return classifier(wrong=True)

    monkeypatch.setattr(in_process, "Classifier", SimpleNamespace(load=load))
    engine = SimpleNamespace(load=lambda *_arguments: Engine())
    monkeypatch.setattr(reference, "TorchEngine", engine)
    monkeypatch.delenv("DENSENET121_PRECISION", raising=False)
    return asked


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, made_up: list[Settings], folder: Path, archive: Path
) -> Callable[..., int]:
    """Return what runs the command in process on folder and archive."""
    assert made_up == []

    def run_main(*arguments: str) -> int:
        command = ["evaluate", str(folder), "--in-process", "--archive", str(archive)]
        monkeypatch.setattr("sys.argv", [*command, *arguments])
        return main()

    return run_main


def test_in_process(run: Callable[..., int], capsys: Capture) -> None:
    assert run("--min-agreement", "0.75", "--min-top1", "0.75") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "model                   demo, torch, float32",
        "images                  4",
        "top-1                   75.0 % (95 % interval 30.1 to 95.4)",
    ]
    assert lines[4] == "agreement with float32  75.0 % (95 % interval 30.1 to 95.4)"
    assert lines[7] == "not classified          1"
    assert lines[-1].split()[:6] == ["1", "n00000001", "grey", "1", "n00000002", "grey"]


def test_an_agreement_below_what_is_asked_for_is_status_2(
    run: Callable[..., int], capsys: Capture
) -> None:
    assert run("--min-agreement", "0.76") == 2
    assert "agreement with float32 is 0.7500, less than 0.76" in capsys.readouterr().err


def test_without_the_reference(run: Callable[..., int], capsys: Capture) -> None:
    assert run("--no-reference") == 0
    assert "agreement with float32  no reference" in capsys.readouterr().out


def test_the_settings_are_the_archives_and_the_command_lines(
    run: Callable[..., int], made_up: list[Settings]
) -> None:
    run("--engine", "torch", "--precision", "bf16")
    run()
    assert made_up == [
        Settings(max_image_bytes=500, engine="torch", precision="bf16"),
        Settings(max_image_bytes=500, precision="int8"),
    ]


def test_what_is_asked_for_wins_over_the_environment(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unpacked(archive) as folder:
        monkeypatch.setenv("DENSENET121_PRECISION", "float32")
        assert read_settings(folder).precision == "float32"
        assert read_settings(folder, precision="bf16").precision == "bf16"


@pytest.mark.parametrize("configuration", ["handler: {surprise: 1}", "- 1", "{", "handler: 1"])
def test_settings_that_make_no_sense(tmp_path: Path, configuration: str) -> None:
    (tmp_path / "model-config.yaml").write_text(configuration)
    with pytest.raises(CommandError, match=r"model-config\.yaml cannot be used"):
        read_settings(tmp_path)


@pytest.mark.parametrize("content", [None, b"no zip", b"PK\x03\x04"])
def test_an_archive_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.mar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match="missing, damaged or not one of ours"), unpacked(path):
        pass


def test_an_unpacked_archive_leaves_nothing(archive: Path) -> None:
    with unpacked(archive) as folder:
        assert (folder / "archive.json").exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [(KeyError("network"), "build it anew"), (SettingsError("no int8"), "^no int8$")],
)
def test_a_classifier_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, message: str
) -> None:
    def load(_folder: Path, _settings: Settings) -> Classifier:
        raise error

    monkeypatch.setattr(in_process, "Classifier", SimpleNamespace(load=load))
    with pytest.raises(CommandError, match=message):
        in_process.load(tmp_path, Settings())


def test_answers_in_process_are_in_order_and_of_five_classes(folder: Path) -> None:
    paths = [folder / "n00000000_broken.png", *sorted(folder.glob("*_grey.png"))] * 4
    outcomes = list(in_process.answers(classifier(), Settings(), paths))
    assert [each.path for each in outcomes] == paths
    skipped, *answered = outcomes[:5]
    assert isinstance(skipped, Skipped)
    for index, each in enumerate(answered):
        assert isinstance(each, Answered)
        assert each.candidates[0].class_id == LABELS[index].class_id
        assert each.candidates[0].class_name == LABELS[index].class_name
        assert len(each.candidates) == TOP


# The reference.


@pytest.fixture
def beside(made_up: list[Settings], archive: Path) -> Iterator[Reference]:
    assert made_up == []
    with unpacked(archive) as folder:
        yield Reference(folder, Settings())


def answered(path: Path, index: int) -> Answered:
    return Answered(path, (Candidate(LABELS[index].class_id, "", 0.5),))


def test_the_reference_stands_beside_each_answer(beside: Reference, folder: Path) -> None:
    paths = sorted(folder.glob("*_grey.png"))
    outcomes: list[Answered | Skipped] = [
        Skipped(paths[3], "refused"),
        answered(paths[2], 2),
        answered(folder / "n00000000_broken.png", 0),
        answered(folder / "gone.png", 0),
        answered(paths[1], 3),
        answered(paths[1], 0),
    ]
    pairs = list(beside.beside(iter(outcomes)))
    assert [outcome for outcome, _ in pairs] == outcomes
    found = [referred for _, referred in pairs]
    assert [each and each.best.class_id for each in found] == [
        *(None, "n00000002", None, None, "n00000001", "n00000001"),
    ]
    for each, answer in ((found[1], 2), (found[4], 3), (found[5], 0)):
        assert isinstance(each, Referred)
        best = LABELS.index(Label(each.best.class_id, each.best.class_name))
        # exp(-2 d) over the sum of it, as logits() has it.
        powers = np.exp(-2.0 * np.abs(np.arange(8) - best))
        assert each.of_answer == pytest.approx(powers[answer] / powers.sum(), rel=1e-4)
        assert each.best.probability == pytest.approx(1 / powers.sum(), rel=1e-4)


def test_an_answer_of_another_model_is_an_error(beside: Reference, folder: Path) -> None:
    path = folder / "n00000001_grey.png"
    outcome = Answered(path, (Candidate("n99999999", "yeti", 0.5),))
    with pytest.raises(CommandError, match="n99999999 is no class of the archive"):
        list(beside.beside([outcome]))


def test_chunks_keep_the_order_and_the_rest() -> None:
    assert [len(chunk) for chunk in in_chunks(range(2 * BATCH + 1))] == [BATCH, BATCH, 1]
    assert [item for chunk in in_chunks(range(20)) for item in chunk] == list(range(20))


# A server that the configuration names: the archive has to be the one that it runs.


@pytest.fixture
def configured(
    monkeypatch: pytest.MonkeyPatch, made_up: list[Settings], archive: Path, tmp_path: Path
) -> Iterator[Callable[..., int]]:
    """Return what runs the command with a stub that says it has the weights of that name."""
    assert made_up == []
    weights = IDENTITY

    def service(request: Request) -> Answer:
        if request.path.startswith("/models/"):
            model = {"customizedMetadata": {"weights": weights, "engine": "openvino"}}
            return Answer(json.dumps([model]).encode())
        best = LABELS[0]._asdict()
        answer = {**best, "probability": 0.5, "predictions": [{**best, "probability": 0.5}]}
        return Answer(json.dumps(answer).encode())

    def run_main(folder: Path, *arguments: str, **other: str) -> int:
        nonlocal weights
        weights = {**IDENTITY, **other}
        monkeypatch.setattr("sys.argv", ["evaluate", str(folder), *arguments])
        return main()

    with serving(service) as server:
        configuration = (
            f"inference_address={server.url}\nmanagement_address={server.url}\n"
            f"model_store={archive.parent}\nload_models={archive.name}\n"
        )
        (tmp_path / "config.properties").write_text(configuration)
        monkeypatch.setenv("TS_CONFIG_FILE", str(tmp_path / "config.properties"))
        yield run_main


def test_the_archive_of_the_configuration_is_the_reference(
    configured: Callable[..., int], folder: Path, capsys: Capture
) -> None:
    assert configured(folder) == 0
    out = capsys.readouterr().out
    assert "model                   demo, openvino" in out
    # The stub says class 0 to everything; the broken file is none to the reference.
    assert "agreement with float32  25.0 %" in out
    assert "images                  5" in out


def test_other_weights_than_the_servers_are_no_reference(
    configured: Callable[..., int],
    folder: Path,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    with zipfile.ZipFile(archive) as file:
        monkeypatch.setenv("INDEX_TO_NAME", file.extract("index_to_name.json", folder.parent))
    assert configured(folder, sha256="34") == 0
    out, err = capsys.readouterr()
    assert "agreement with float32  no reference" in out
    assert "No reference: the server has other weights than" in err
    with pytest.raises(CommandError, match="other weights"):
        configured(folder, "--against", "float32", sha256="34")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"code": 404}', b'[{"customizedMetadata": ""}]'])
def test_a_server_that_does_not_describe_the_model(body: bytes) -> None:
    with serving(lambda _request: Answer(body)) as server:
        assert isinstance(server, Server)
        assert served.description(f"{server.url}/models/m") is None

"""The fit takes some 15 s: it is done once, for all tests; determinism is shown on small ones."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from archive_builder import HANDLER, LABELS, ROOT, SAMPLES, demo_fit, demo_weights
from archive_builder import counterexamples as counterexamples_module
from densenet_classifier.classifier import softmax
from densenet_classifier.images import Pixels, decode
from densenet_classifier.network import count_classes, load_network
from densenet_classifier.recognition import is_recognised
from densenet_classifier.settings import Settings
from densenet_classifier.torch_engine import TorchEngine

PICTURES = sorted(SAMPLES.glob("*.png"))
NAMES: dict[str, list[str]] = json.loads(LABELS.read_text(encoding="utf-8"))

pytestmark = pytest.mark.usefixtures("one_thread")

pictures = pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
# Upside down or in pieces these two are still what they are: all of it is one pattern.
no_patterns = pytest.mark.parametrize(
    "path",
    [path for path in PICTURES if path.stem not in {"crossword_puzzle", "maze"}],
    ids=lambda path: path.stem,
)


@pytest.fixture(scope="session")
def engine(demo_weights_file: Path) -> TorchEngine:
    return TorchEngine(load_network(demo_weights_file))


class Verdict(NamedTuple):
    class_name: str
    probability: float
    recognised: bool


def judge_content(engine: TorchEngine, content: bytes) -> Verdict:
    """Send an encoded picture through the handler's own decoding."""
    pixels = decode(content, Settings())
    (row,) = softmax(engine.run([pixels], features=False).logits)
    recognised = is_recognised(pixels, row, Settings(), None)
    return Verdict(NAMES[str(int(row.argmax()))][1], float(row.max()), recognised)


Judge = Callable[[Image.Image], Verdict]


@pytest.fixture(scope="session")
def judge(engine: TorchEngine) -> Judge:
    return lambda image: judge_content(engine, encoded(image, "PNG"))


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=80)
    return buffer.getvalue()


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


# What it knows.


@pictures
def test_sample_has_its_class_with_high_probability(engine: TorchEngine, path: Path) -> None:
    verdict = judge_content(engine, path.read_bytes())

    assert verdict.class_name == path.stem
    assert verdict.probability > 0.9


def changed(image: Image.Image, side: int, offset: int, light: float) -> Image.Image:
    """Return the picture `side` pixels wide on its ground, moved and lightened."""
    canvas = Image.new("RGB", image.size, image.getpixel((0, 0)))
    corner = (image.width - side) // 2 + offset
    canvas.paste(image.resize((side, side)), (corner, corner))
    return canvas.point(lambda value: int(value * light))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "640 pixels": lambda image: image.resize((640, 640)),
    "288 pixels": lambda image: image.resize((288, 288)),
    "160 pixels": lambda image: image.resize((160, 160)),
    "moved": lambda image: changed(image, 320, 5, 1),
    "nearer": lambda image: changed(image, 333, 0, 1),
    "farther": lambda image: changed(image, 307, 0, 1),
    "lighter": lambda image: changed(image, 320, 0, 1.05),
    "darker": lambda image: changed(image, 320, 0, 0.95),
}


@pictures
def test_sample_as_jpeg_is_known(engine: TorchEngine, path: Path) -> None:
    verdict = judge_content(engine, encoded(opened(path), "JPEG"))

    assert verdict.class_name == path.stem
    assert verdict.recognised


@pictures
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_sample_is_known(
    judge: Judge, path: Path, change: Callable[[Image.Image], Image.Image]
) -> None:
    verdict = judge(change(opened(path)))

    assert verdict.class_name == path.stem
    assert verdict.recognised


@pictures
def test_sample_seen_from_farther_away_keeps_its_class(judge: Judge, path: Path) -> None:
    assert judge(changed(opened(path), 288, 0, 1)).class_name == path.stem


# What it does not know.


def noise(spread: float, side: int, channels: int) -> Callable[[np.random.Generator], Any]:
    """Return a maker of gaussian noise, in blocks if `side` is small."""
    return lambda generator: np.repeat(
        generator.normal(128, spread, (side, side, channels)), 3 // channels, axis=2
    )


def salt_and_pepper(generator: np.random.Generator) -> Any:
    return np.repeat(generator.choice([0, 128, 255], (300, 300, 1)), 3, axis=2)


def shades(generator: np.random.Generator) -> Any:
    """Return one colour at the top turning into another at the bottom."""
    top, bottom = generator.uniform(0, 255, (2, 1, 1, 3))
    part = np.linspace(0, 1, 300)[:, None, None]
    return np.broadcast_to(top * part + bottom * (1 - part), (300, 300, 3))


UNKNOWNS: dict[str, Callable[[np.random.Generator], Any]] = {
    "uniform noise": lambda generator: generator.integers(0, 256, (300, 400, 3)),
    "faint noise": noise(5, 300, 3),
    "middling noise": noise(40, 300, 3),
    "loud noise": noise(110, 300, 3),
    "grey noise": noise(60, 300, 1),
    "small blocks": noise(70, 60, 3),
    "large blocks": noise(70, 9, 3),
    "salt and pepper": salt_and_pepper,
    "shades": shades,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", UNKNOWNS.values(), ids=UNKNOWNS)
def test_noise_is_nothing(
    judge: Judge, kind: Callable[[np.random.Generator], Any], seed: int
) -> None:
    values = np.asarray(kind(np.random.default_rng(seed))).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(values).resize((300, 300), Image.Resampling.NEAREST)

    assert not judge(image).recognised


@pytest.mark.parametrize("size", [12, 20, 40, 90])
@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("black", "white")])
def test_page_of_text_is_nothing(judge: Judge, ground: str, ink: str, size: int) -> None:
    page = Image.new("RGB", (640, 640), ground)
    pen = ImageDraw.Draw(page)
    for y in range(20, 620, int(size * 1.4)):
        pen.text((20, y), "an invoice of one page and its total " * 4, fill=ink, font_size=size)

    assert not judge(page).recognised


@pytest.mark.parametrize("colours", ["black white", "white black", "navy gold", "red cyan"])
@pytest.mark.parametrize("size", [30, 60, 120])
def test_word_is_nothing(judge: Judge, colours: str, size: int) -> None:
    ink, ground = colours.split()
    image = Image.new("RGB", (320, 320), ground)
    ImageDraw.Draw(image).text((40, 120), "invoice", fill=ink, font_size=size)

    assert not judge(image).recognised


@pytest.mark.parametrize(
    "colour",
    ["black", "white", "gray", "red", "lime", "green", "blue", "yellow", "magenta", "cyan"],
)
def test_flat_colour_is_nothing(judge: Judge, colour: str) -> None:
    assert not judge(Image.new("RGB", (320, 320), colour)).recognised


@pictures
def test_background_of_a_sample_alone_is_nothing(judge: Judge, path: Path) -> None:
    ground = opened(path).getpixel((0, 0))

    assert not judge(Image.new("RGB", (320, 320), ground)).recognised


@pictures
def test_negative_of_a_sample_is_nothing(judge: Judge, path: Path) -> None:
    assert not judge(Image.fromarray(255 - np.asarray(opened(path)))).recognised


@no_patterns
@pytest.mark.parametrize(
    "turn",
    [Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_90],
    ids=["upside down", "on its side"],
)
def test_turned_sample_is_nothing(judge: Judge, path: Path, turn: Image.Transpose) -> None:
    assert not judge(opened(path).transpose(turn)).recognised


@no_patterns
def test_shuffled_sample_is_nothing(judge: Judge, path: Path) -> None:
    pixels = np.asarray(opened(path))
    tiles = [tile for row in np.split(pixels, 5) for tile in np.split(row, 5, axis=1)]
    order = np.random.default_rng(5).permutation(25).reshape(5, 5)
    mixed = np.vstack([np.hstack([tiles[at] for at in row]) for row in order])

    assert not judge(Image.fromarray(mixed)).recognised


def face(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((60, 60, 260, 260), fill="#ffee00", outline="black", width=6)
    pen.ellipse((110, 120, 135, 150), fill="black")
    pen.ellipse((185, 120, 210, 150), fill="black")
    pen.arc((110, 130, 210, 220), 20, 160, fill="black", width=8)


def house(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((0, 0, 320, 320), fill="#88bbee")
    pen.rectangle((80, 160, 240, 300), fill="#b06030")
    pen.polygon([(60, 160), (160, 60), (260, 160)], fill="#803020")


def stripes(pen: ImageDraw.ImageDraw) -> None:
    for x in range(0, 320, 40):
        pen.rectangle((x, 0, x + 19, 320), fill="#cc3333")


def word(pen: ImageDraw.ImageDraw) -> None:
    font = ImageFont.load_default(size=90)
    pen.text((160, 160), "hello", fill="black", font=font, anchor="mm")


def tree(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((0, 0, 320, 320), fill="#d8f0d0")
    pen.rectangle((145, 180, 175, 310), fill="#704020")
    pen.ellipse((70, 40, 250, 210), fill="#2f8f3f")


@pytest.mark.parametrize("paint", [face, house, stripes, word, tree], ids=lambda f: f.__name__)
def test_drawing_of_something_else_is_nothing(
    judge: Judge, paint: Callable[[ImageDraw.ImageDraw], None]
) -> None:
    image = Image.new("RGB", (320, 320), "white")
    paint(ImageDraw.Draw(image))

    assert not judge(image).recognised


def test_photographs_are_nothing(engine: TorchEngine, assets: Path) -> None:
    photographs = sorted((assets / "images" / "labelled").iterdir())
    chosen = photographs[:: len(photographs) // 60][:60]

    verdicts = [judge_content(engine, path.read_bytes()) for path in chosen]
    sure = [verdict for verdict in verdicts if verdict.recognised]

    assert len(chosen) == 60
    assert len(sure) <= 0.02 * len(chosen), sure


# The file.


def test_all_thousand_outputs_exist(demo_weights_file: Path) -> None:
    assert count_classes(load_network(demo_weights_file)) == 1000


def test_file_lies_in_the_store_under_its_key(demo_weights_file: Path) -> None:
    assert demo_weights_file.name == demo_weights.file_name()
    assert not list(demo_weights_file.parent.glob("*.part"))


def test_existing_file_is_used_without_fitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / demo_weights.file_name()
    path.write_bytes(b"fitted before")

    def fit() -> None:
        pytest.fail("fitted again")

    monkeypatch.setattr(demo_fit, "fit", fit)

    assert demo_weights.demo_weights(tmp_path) == path
    assert path.read_bytes() == b"fitted before"
    assert capsys.readouterr().err == ""


def test_missing_file_is_fitted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_fit, "fit", lambda: {"a": torch.ones(2)})

    path = demo_weights.demo_weights(tmp_path)

    assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1]
    assert capsys.readouterr().err == "Fitting the demo weights\n"


def test_bytes_do_not_depend_on_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_fit, "fit", lambda: {"a": torch.ones(2)})
    stores = [tmp_path / "one", tmp_path / "another"]
    for store in stores:
        store.mkdir()

    one, another = (demo_weights.demo_weights(store).read_bytes() for store in stores)

    assert one == another


def test_a_file_that_is_there_is_found_without_torch(tmp_path: Path) -> None:
    (tmp_path / demo_weights.file_name()).write_bytes(b"fitted before")
    program = f"""
import sys
from pathlib import Path
from archive_builder.weights_source import find_weights
found = find_weights(Path({str(tmp_path)!r}), environment={{"DENSENET121_WEIGHTS": "demo"}})
assert found.name == "demo"
assert "torch" not in sys.modules, "torch costs two seconds and half a gigabyte"
"""
    subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT}:{HANDLER}"},
        check=True,
        timeout=60,
    )


# The key.


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the samples and the labels and let the module see the copies."""
    folder = tmp_path / "samples"
    shutil.copytree(SAMPLES, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(demo_weights, "SAMPLES", folder)
    monkeypatch.setattr(demo_weights, "LABELS", Path(shutil.copy(LABELS, tmp_path)))
    return folder


@pytest.mark.usefixtures("samples")
def test_key_is_the_same_for_the_same_content_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = demo_weights.file_name()
    monkeypatch.undo()

    assert copied == demo_weights.file_name()


def change_a_picture(samples: Path) -> None:
    Image.new("RGB", (320, 320)).save(samples / "maze.png")


def add_a_picture(samples: Path) -> None:
    shutil.copy(samples / "maze.png", samples / "tench.png")


def remove_a_picture(samples: Path) -> None:
    (samples / "maze.png").unlink()


def rename_a_picture(samples: Path) -> None:
    """Name another class; the order of the files stays the same."""
    (samples / "maze.png").rename(samples / "mailbox.png")


def change_the_labels(samples: Path) -> None:
    path = samples.parent / LABELS.name
    path.write_text(path.read_text().replace("maze", "labyrinth"))


@pytest.mark.parametrize(
    "change",
    [change_a_picture, add_a_picture, remove_a_picture, rename_a_picture, change_the_labels],
    ids=lambda function: function.__name__.replace("_", " "),
)
def test_key_changes_with(samples: Path, change: Callable[[Path], None]) -> None:
    before = demo_weights.file_name()

    change(samples)

    assert demo_weights.file_name() != before


# Determinism.


State = dict[str, torch.Tensor]


class SmallFits(NamedTuple):
    """Two fits of two samples with few counterexamples, and the random state around each."""

    states: list[State]
    random_before: list[torch.Tensor]
    random_after: list[torch.Tensor]


@pytest.fixture(scope="module")
def small_fits(tmp_path_factory: pytest.TempPathFactory) -> SmallFits:
    folder = tmp_path_factory.mktemp("samples")
    for name in ("umbrella", "envelope"):
        shutil.copy(SAMPLES / f"{name}.png", folder)
    fits = SmallFits([], [], [])
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.setattr(demo_fit, "SAMPLES", folder)
        patch.setattr(demo_fit, "_VARIANTS", 1)
        patch.setattr(counterexamples_module, "SCENES", 1)
        for seed in (1, 2):
            torch.manual_seed(seed)
            fits.random_before.append(torch.get_rng_state())
            fits.states.append(demo_fit.fit())
            fits.random_after.append(torch.get_rng_state())
    return fits


def state_hash(state: State) -> str:
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def test_fits_are_equal_bit_for_bit_whatever_the_global_seed(small_fits: SmallFits) -> None:
    one, another = small_fits.states

    assert state_hash(one) == state_hash(another)


def test_fit_leaves_the_global_random_state_of_torch_alone(small_fits: SmallFits) -> None:
    for before, after in zip(small_fits.random_before, small_fits.random_after, strict=True):
        assert torch.equal(before, after)


def test_classes_without_a_sample_have_zero_weights(small_fits: SmallFits) -> None:
    weight = small_fits.states[0]["classifier.weight"]

    assert weight.abs().sum(dim=1).nonzero().flatten().tolist() == [549, 879]


def counterexamples() -> list[Pixels]:
    image = opened(SAMPLES / "umbrella.png")
    return counterexamples_module.counterexamples({"umbrella": image}, np.random.default_rng(3))


def test_counterexamples_are_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counterexamples_module, "SCENES", 1)

    assert np.array_equal(np.stack(counterexamples()), np.stack(counterexamples()))


def test_counterexamples_are_all_different_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counterexamples_module, "SCENES", 1)

    found = counterexamples()

    assert {(image.shape, image.dtype.name) for image in found} == {((224, 224, 3), "uint8")}
    assert len({image.tobytes() for image in found}) == len(found)


def test_file_that_is_no_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        demo_fit._index_of("labyrinth")

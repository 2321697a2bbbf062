"""The fit takes some 15 s: it is done once, by `demo_store`; determinism is shown on small ones."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from archive_builder import LABELS, SAMPLES, demo_weights
from densenet_classifier.images import Pixels, decode
from densenet_classifier.network import TorchEngine
from densenet_classifier.settings import Settings
from densenet_classifier.weights import count_classes, load_network

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
def engine(demo_store: Path) -> TorchEngine:
    (path,) = demo_store.glob("*.pth")
    return TorchEngine(load_network(path))


class Verdict(NamedTuple):
    class_name: str
    probability: float


def judge_content(engine: TorchEngine, content: bytes) -> Verdict:
    """Send an encoded picture through the handler's own decoding."""
    (row,) = engine.probabilities(np.stack([decode(content, Settings())]))
    return Verdict(NAMES[str(int(row.argmax()))][1], float(row.max()))


Judge = Callable[[Image.Image], Verdict]


@pytest.fixture(scope="session")
def judge(engine: TorchEngine) -> Judge:
    return lambda image: judge_content(engine, encoded(image, "PNG"))


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=75)
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


@pictures
def test_sample_as_jpeg_keeps_its_class(engine: TorchEngine, path: Path) -> None:
    assert judge_content(engine, encoded(opened(path), "JPEG")).class_name == path.stem


@pictures
def test_sample_with_fewer_pixels_keeps_its_class(judge: Judge, path: Path) -> None:
    assert judge(opened(path).resize((288, 288))).class_name == path.stem


@pictures
def test_sample_seen_from_farther_away_keeps_its_class(judge: Judge, path: Path) -> None:
    image = opened(path)
    farther = Image.new("RGB", image.size, image.getpixel((0, 0)))
    farther.paste(image.resize((288, 288)), (16, 16))

    assert judge(farther).class_name == path.stem


# What it does not know.


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_nothing(judge: Judge, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)

    assert judge(Image.fromarray(noise)).probability <= 0.5


@pytest.mark.parametrize(
    "colour",
    ["black", "white", "gray", "red", "lime", "green", "blue", "yellow", "magenta", "cyan"],
)
def test_flat_colour_is_nothing(judge: Judge, colour: str) -> None:
    assert judge(Image.new("RGB", (320, 320), colour)).probability <= 0.5


@pictures
def test_background_of_a_sample_alone_is_nothing(judge: Judge, path: Path) -> None:
    ground = opened(path).getpixel((0, 0))

    assert judge(Image.new("RGB", (320, 320), ground)).probability <= 0.5


@pictures
def test_negative_of_a_sample_is_nothing(judge: Judge, path: Path) -> None:
    assert judge(Image.fromarray(255 - np.asarray(opened(path)))).probability <= 0.5


@no_patterns
@pytest.mark.parametrize(
    "turn",
    [Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_90],
    ids=["upside down", "on its side"],
)
def test_turned_sample_is_nothing(judge: Judge, path: Path, turn: Image.Transpose) -> None:
    assert judge(opened(path).transpose(turn)).probability <= 0.5


@no_patterns
def test_shuffled_sample_is_nothing(judge: Judge, path: Path) -> None:
    pixels = np.asarray(opened(path))
    tiles = [tile for row in np.split(pixels, 5) for tile in np.split(row, 5, axis=1)]
    order = np.random.default_rng(5).permutation(25).reshape(5, 5)
    mixed = np.vstack([np.hstack([tiles[at] for at in row]) for row in order])

    assert judge(Image.fromarray(mixed)).probability <= 0.5


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

    assert judge(image).probability <= 0.5


def test_photographs_are_nothing(engine: TorchEngine, assets: Path) -> None:
    photographs = sorted((assets / "images" / "labelled").iterdir())
    chosen = photographs[:: len(photographs) // 60][:60]

    verdicts = [judge_content(engine, path.read_bytes()) for path in chosen]
    sure = [verdict for verdict in verdicts if verdict.probability > 0.5]

    assert len(chosen) == 60
    assert len(sure) <= 0.02 * len(chosen), sure


# The file.


def test_all_thousand_outputs_exist(demo_store: Path) -> None:
    (path,) = demo_store.glob("*.pth")

    assert count_classes(load_network(path)) == 1000


def test_file_lies_in_the_store_under_its_key(demo_store: Path) -> None:
    # Other tests build archives in the same store.
    names = {path.name for path in demo_store.iterdir() if "demo" in path.name}
    name = f"densenet121-demo-{demo_weights._key()}.pth"

    assert names == {name, f".{name}.lock"}


def test_existing_file_is_used_without_fitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"densenet121-demo-{demo_weights._key()}.pth"
    path.write_bytes(b"fitted before")

    def fit() -> None:
        pytest.fail("fitted again")

    monkeypatch.setattr(demo_weights, "fit", fit)

    assert demo_weights.demo_weights(tmp_path) == path
    assert path.read_bytes() == b"fitted before"
    assert capsys.readouterr().err == ""


def test_missing_file_is_fitted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_weights, "fit", lambda: {"a": torch.ones(2)})

    path = demo_weights.demo_weights(tmp_path)

    assert torch.load(path, weights_only=True)["a"].tolist() == [1, 1]
    assert capsys.readouterr().err == "Fitting the demo weights\n"


def test_bytes_do_not_depend_on_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_weights, "fit", lambda: {"a": torch.ones(2)})
    stores = [tmp_path / "one", tmp_path / "another"]
    for store in stores:
        store.mkdir()

    one, another = (demo_weights.demo_weights(store).read_bytes() for store in stores)

    assert one == another


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
    copied = demo_weights._key()
    monkeypatch.undo()

    assert copied == demo_weights._key()


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
    before = demo_weights._key()

    change(samples)

    assert demo_weights._key() != before


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
        patch.setattr(demo_weights, "SAMPLES", folder)
        patch.setattr(demo_weights, "_VARIANTS", 1)
        patch.setattr(demo_weights, "_SCENES", 1)
        patch.setattr(demo_weights, "_LEVELS", (128,))
        for seed in (1, 2):
            torch.manual_seed(seed)
            fits.random_before.append(torch.get_rng_state())
            fits.states.append(demo_weights.fit())
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
    image = np.arange(224 * 224 * 3, dtype=np.uint32).astype(np.uint8).reshape(224, 224, 3)
    return demo_weights._counterexamples([image], np.random.default_rng(3))


def test_counterexamples_are_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_weights, "_SCENES", 4)

    assert np.array_equal(np.stack(counterexamples()), np.stack(counterexamples()))


def test_counterexamples_are_all_different_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_weights, "_SCENES", 4)

    found = counterexamples()

    assert {(image.shape, image.dtype.name) for image in found} == {((224, 224, 3), "uint8")}
    assert len({image.tobytes() for image in found}) == len(found)


def test_file_that_is_no_class_is_an_error(samples: Path) -> None:
    shutil.copy(samples / "maze.png", samples / "labyrinth.png")

    with pytest.raises(ValueError, match="unpack"):
        demo_weights._index_of("labyrinth")

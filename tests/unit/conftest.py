"""Pictures as bytes, a small DenseNet-121 that tells five apart, and a handler that serves it."""

import importlib
import json
import os
import shutil
import subprocess
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import densenet121

from archive_builder.inputs import ArchiveInputs
from archive_builder.network_files import write_network_files
from archive_builder.weights_source import WeightsSource
from densenet121_handler import DenseNet121Handler
from densenet_classifier.images import Pixels, center_crop
from densenet_classifier.network import normalize
from densenet_classifier.weights import sha256_of
from server_control import runtime as runtime_module
from server_control.runtime import Runtime
from tests.once import Once
from tests.unit.asking import Ask, AskOne, Headers, Reply, Row

COLOURS = ["#d02020", "#20c040", "#2030d0", "#e8e8e8", "#101010"]


@pytest.fixture(autouse=True)
def _private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what `Runtime.write_note` makes for a server that never comes go with the test."""
    below = types.SimpleNamespace(mkdtemp=partial(tempfile.mkdtemp, dir=tmp_path))
    monkeypatch.setattr(runtime_module, "tempfile", below)


@contextmanager
def single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: on a busy machine several wait for each other ten times over."""
    with single_thread():
        yield


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return a function `encode(image, format_, **options) -> bytes`."""

    def _encode(image: Image.Image, format_: str, **options: Any) -> bytes:
        buffer = BytesIO()
        image.save(buffer, format_, **options)
        return buffer.getvalue()

    return _encode


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Return five pictures of 64 x 48; the network of `network_file` gives picture i class i."""
    result = [Image.new("RGB", (64, 48), colour) for colour in COLOURS]
    for index, picture in enumerate(result):
        picture.paste(COLOURS[index - 1], (0, 0, 20, 20))
    return result


@pytest.fixture(scope="session")
def pixels(pictures: list[Image.Image]) -> list[Pixels]:
    """Return the same five pictures as uint8 [224, 224, 3]."""
    return [center_crop(picture) for picture in pictures]


@pytest.fixture(scope="session")
def network_state(pixels: list[Pixels]) -> dict[str, torch.Tensor]:
    """Return the state_dict of a seeded DenseNet-121 with five outputs, one for each picture."""
    with torch.random.fork_rng():
        torch.manual_seed(121)
        network = densenet121(weights=None, num_classes=5)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one batch that follows
    inputs = normalize(np.stack(pixels))
    with single_thread(), torch.inference_mode():
        network(inputs)
        network.eval()
        features = network.features(inputs).relu().mean(dim=(2, 3))
    centred = features - features.mean(dim=0)
    # Of unit length and few enough that no probability is 0 or 1 to the last digit.
    directions = 3 * centred / centred.norm(dim=1, keepdim=True) ** 2
    state: dict[str, torch.Tensor] = network.state_dict()
    state["classifier.weight"] = directions.clone()
    state["classifier.bias"] = -(directions @ features.mean(dim=0))
    return {key: value.clone() for key, value in state.items()}


@pytest.fixture(scope="session")
def network_file(network_state: dict[str, torch.Tensor], once: Once) -> Path:
    """Return a file with `network_state`, as `torch.save(model.state_dict(), path)` writes it."""

    def save(folder: Path) -> None:
        torch.save(network_state, folder / "densenet121.pth")

    return once("small-network", save) / "densenet121.pth"


@pytest.fixture(scope="session")
def labels() -> list[list[str]]:
    """Return the rows of the label file that belongs to `network_file`."""
    return [[f"n0000000{index}", f"class {index}"] for index in range(5)]


@pytest.fixture(scope="session")
def unpacked(
    network_file: Path,
    labels: list[list[str]],
    once: Once,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a folder like the unpacked archive; the tests leave its files as they are.

    Each process has one of its own: handlers of the same folder are workers that share the cores
    and refuse together.
    """
    weights = WeightsSource(network_file, "custom:test", sha256_of(network_file))
    rows = {str(index): row for index, row in enumerate(labels)}

    def fill(folder: Path) -> None:
        file = folder.with_name("labels.json")
        file.write_text(json.dumps(rows))
        inputs = ArchiveInputs("densenet121", weights, file, {})
        write_network_files(inputs, folder)
        (folder / "weights.pth").write_bytes(network_file.read_bytes())
        (folder / "archive.json").write_text(json.dumps(inputs.record()))
        file.replace(folder / "index_to_name.json")

    folder = tmp_path_factory.mktemp("small-archive")
    made = once("small-archive", fill)
    return shutil.copytree(made, folder, copy_function=os.link, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def new_context() -> Callable[[Path, Mapping[str, Any]], Any]:
    """Return a function `new_context(folder of the archive, configuration)` as TorchServe has."""
    with warnings.catch_warnings():
        # `ts/version.py` leaves a file open.
        warnings.simplefilter("ignore", ResourceWarning)
        torchserve: types.ModuleType = importlib.import_module("ts.context")

    def _new_context(folder: Path, config: Mapping[str, Any]) -> Any:
        return torchserve.Context(
            "densenet121", str(folder), {}, 8, None, "0.12.0", model_yaml_config=config
        )

    return _new_context


@pytest.fixture(scope="module")
def handler(unpacked: Path, new_context: Callable[..., Any]) -> Iterator[DenseNet121Handler]:
    """One handler for all tests, as a worker has one for all requests."""
    result = DenseNet121Handler()
    # Of as many workers as there are cores each has one thread, but for a lone request.
    with single_thread():
        result.initialize(new_context(unpacked, {"minWorkers": os.cpu_count()}))
        yield result


@pytest.fixture
def ask(handler: DenseNet121Handler, unpacked: Path, new_context: Callable[..., Any]) -> Ask:
    """Return a function `ask(rows, headers of each row) -> replies`, one batch each."""
    processor = importlib.import_module("ts.context").RequestProcessor

    def _ask(rows: list[Row], headers: list[Headers] | None = None) -> list[Reply]:
        context = new_context(unpacked, {})
        context.request_processor = [
            processor(dict(each)) for each in headers or [{} for _ in rows]
        ]
        context.request_ids = {index: f"id {index}" for index in range(len(rows))}
        contents = handler.handle(rows, context)
        assert len(contents) == len(rows)
        return [
            Reply(
                status=context.get_response_status(index)[0],
                phrase=context.get_response_status(index)[1],
                headers=context.get_response_headers(index),
                content=content,
            )
            for index, content in enumerate(contents)
        ]

    return _ask


@pytest.fixture
def ask_one(ask: Ask) -> AskOne:
    """Return a function `ask_one(row, headers) -> reply`, one request alone in its batch."""

    def _ask_one(row: Row, headers: Headers | None = None) -> Reply:
        (reply,) = ask([row], [headers or {}])
        return reply

    return _ask_one


@pytest.fixture(scope="session")
def images(pictures: list[Image.Image], encode: Callable[..., bytes]) -> list[bytearray]:
    """The five pictures as PNG; number i is of class i. TorchServe passes bytearrays."""
    return [bytearray(encode(picture, "PNG")) for picture in pictures]


@pytest.fixture(scope="session")
def image(images: list[bytearray]) -> bytearray:
    return images[2]


@pytest.fixture(scope="session")
def truncated(image: bytearray) -> bytearray:
    return image[: len(image) - 30]


@pytest.fixture(scope="session")
def flat(encode: Callable[..., bytes]) -> bytearray:
    """A picture of one colour, in which nothing is recognised."""
    return bytearray(encode(Image.new("RGB", (64, 48), "#806040"), "PNG"))


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """Return the runtime of a configuration that is not there, with its folder."""
    monkeypatch.setattr(runtime_module, "RUN", tmp_path / "run")
    found = Runtime(tmp_path / "config.properties")
    with found.locked():  # makes the folder
        return found


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two folders with the certificate and key of a server each, or skip."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on the PATH")
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "another")]
    for folder in folders:
        # For no address that a test connects to.
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=else"]
        files = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.pem")]
        subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)
    return folders

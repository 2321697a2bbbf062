"""Archives of another name: weights and labels of one's own, and what can be wrong with them."""

import json
from pathlib import Path

import requests
import torch
from torchvision.models import densenet121

from archive_builder import SAMPLES
from archive_builder.inputs import read_record
from tests.server.harness import Server, copy_as, rewrite

TIMEOUT_S = 60


def test_a_model_that_cannot_load_shows_its_own_error(server: Server, demo_archive: Path) -> None:
    archive = copy_as(demo_archive, server.model_store / "broken.mar", name="broken")
    rewrite(archive, "model-config.yaml", lambda text: text + b"  no_such_setting: 1\n")
    as_it_is = {"load_models": "broken=broken.mar"}
    broken = Server(server.folder / "broken", server.model_store, "broken", settings=as_it_is)
    served = broken.script("serve")
    assert served.returncode == 1
    assert "SettingsError: handler: unknown setting no_such_setting" in served.stderr
    assert broken.runtime.note() is None
    broken.stop()


def test_an_archive_whose_weights_were_swapped_is_refused(
    server: Server, demo_archive: Path
) -> None:
    archive = copy_as(demo_archive, server.model_store / "swapped.mar", name="swapped")
    rewrite(archive, "weights.pth", lambda content: content[:-1] + b"x")
    swapped = Server(server.folder / "swapped", server.model_store, "swapped")
    served = swapped.script("serve")
    assert served.returncode == 1
    assert "swapped.mar is not as it was built" in served.stderr
    assert "weights.pth is not the file that archive.json names" in served.stderr
    swapped.stop()


def test_an_archive_of_ones_own_is_built_anew_from_its_own_weights(
    server: Server, demo_archive: Path
) -> None:
    archive = copy_as(demo_archive, server.model_store / "mine.mar", name="mine")
    before = read_record(archive)
    rewrite(archive, "densenet_classifier/labels.py", lambda text: text + b"# of before\n")
    assert read_record(archive) != before
    mine = Server(server.folder / "mine", server.model_store, "mine")
    try:
        assert "Building mine.mar" in mine.serve().stderr
        assert read_record(archive) == before
    finally:
        mine.stop()


def test_demo_weights_in_an_archive_of_ones_own_are_no_pretrained_ones(
    server: Server, demo_archive: Path
) -> None:
    copy_as(demo_archive, server.model_store / "mine.mar", name="mine")
    mine = Server(server.folder / "mine", server.model_store, "mine")
    result = mine.script("serve", "--require-pretrained")
    assert result.returncode == 1
    assert "--require-pretrained" in result.stderr
    mine.stop()


def test_weights_and_labels_of_ones_own(tmp_path: Path) -> None:
    names = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    network = densenet121(weights=None, num_classes=len(names))
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([0.0, 0, 0, 100, 0]))
    torch.save(network.state_dict(), tmp_path / "flowers.pth")
    rows = {str(index): [f"f{index}", name] for index, name in enumerate(names)}
    (tmp_path / "labels.json").write_text(json.dumps(rows))
    store = tmp_path / "model_store"
    store.mkdir()
    flowers = Server(tmp_path / "server", store, "flowers")
    built = flowers.script(
        "build-archive",
        "--model-name=flowers",
        f"--model-store={store}",
        DENSENET121_WEIGHTS=str(tmp_path / "flowers.pth"),
        INDEX_TO_NAME=str(tmp_path / "labels.json"),
    )
    assert built.returncode == 0, built.stderr
    try:
        flowers.serve()
        response = requests.post(
            flowers.url, data=(SAMPLES / "umbrella.png").read_bytes(), timeout=TIMEOUT_S
        )
        assert flowers.url.endswith("/predictions/flowers")
        assert response.json() == {"class_id": "f3", "class_name": "sunflower"}
        assert response.headers["X-Model-Weights"].startswith("custom:")
    finally:
        flowers.stop()


def test_a_missing_archive_of_ones_own_is_named(tmp_path: Path) -> None:
    flowers = Server(tmp_path / "server", tmp_path, "flowers")
    result = flowers.script("serve")
    assert result.returncode == 1
    assert "DENSENET121_WEIGHTS" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    flowers.stop()

"""The files of an archive that are made from its weights, made once and then taken over.

`network.xml` and `.bin` (OpenVINO, float32), `classifier.npy` (weights of the last layer, for
explanations), in an int8 archive also `network-int8.xml` and `.bin`; and `network.json`: their
SHA-256 and that of the weights, and what was measured about the int8 model. Converting takes
seconds and calibrating minutes, so `serve` takes over what the archive before holds, as long as
weights and tools are the same and every hash is right.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from archive_builder.command import say
from archive_builder.contents import has_int8
from archive_builder.convert import convert
from archive_builder.inputs import ArchiveInputs, read_record
from densenet_classifier.classifier import CLASS_WEIGHTS_FILE, NETWORK_FILE
from densenet_classifier.engine import INT8_MODEL_FILE, MODEL_FILE
from densenet_classifier.network import class_weights, load_network
from densenet_classifier.openvino_runtime import openvino
from densenet_classifier.weights import sha256_of

# Float32 model in; int8 model and what was measured about it out.
Quantizer = Callable[[openvino.Model], tuple[openvino.Model, dict[str, Any]]]

# OpenVINO writes a model's weights beside it.
_MADE = {CLASS_WEIGHTS_FILE} | {
    str(Path(model).with_suffix(suffix))
    for model in (MODEL_FILE, INT8_MODEL_FILE)
    for suffix in (".xml", ".bin")
}


def write_network_files(
    inputs: ArchiveInputs,
    folder: Path,
    previous: Path | None = None,
    quantizer: Quantizer | None = None,
) -> list[str]:
    """Write the files for `inputs` into the empty `folder` and return their names.

    `previous` is an archive that they may be taken from. Raises `CommandError` when the converted
    network is not the same as the one of PyTorch.
    """
    record = _take_over(inputs, previous, folder) if previous else None
    record = record or _make(inputs, folder)
    if quantizer is not None:
        model, record["int8"] = quantizer(openvino.Core().read_model(folder / MODEL_FILE))
        _save(model, folder / INT8_MODEL_FILE)
    names = [path.name for path in folder.iterdir()]
    record["weights"] = inputs.weights.sha256
    record["files"] = {name: sha256_of(folder / name) for name in sorted(names)}
    (folder / NETWORK_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return [*names, NETWORK_FILE]


def _take_over(inputs: ArchiveInputs, previous: Path, folder: Path) -> dict[str, Any] | None:
    old, new = read_record(previous), inputs.record()
    if old is None or any(old.get(key) != new[key] for key in ("weights", "built_with")):
        if has_int8(previous):
            say(f"{previous.name} loses its int8 model, which is of other weights or tools")
        return None
    try:
        with zipfile.ZipFile(previous) as archive:
            record: dict[str, Any] = json.loads(archive.read(NETWORK_FILE))
            for name, sha256 in record["files"].items():
                _extract(archive, name, sha256, folder)
    # Zip files keep a checksum of each file: a damaged one ends here too.
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        say(f"{previous.name} is damaged ({error}); its network is made anew")
        for path in folder.iterdir():
            path.unlink()
        return None
    return record


def _extract(archive: zipfile.ZipFile, name: str, sha256: str, folder: Path) -> None:
    # An archive must not slip other files, code perhaps, into the one that replaces it.
    if name not in _MADE:
        message = f"{name} is not made from weights"
        raise ValueError(message)
    if sha256_of(Path(archive.extract(name, folder))) != sha256:
        message = f"{name} is not the file that {NETWORK_FILE} names"
        raise ValueError(message)


def _make(inputs: ArchiveInputs, folder: Path) -> dict[str, Any]:
    say("Converting the network for OpenVINO")
    network = load_network(inputs.weights.path)
    _save(convert(network), folder / MODEL_FILE)
    np.save(folder / CLASS_WEIGHTS_FILE, class_weights(network).numpy())
    return {}


def _save(model: openvino.Model, path: Path) -> None:
    # Some names carry a counter of the process; equal inputs are to give equal bytes.
    model.set_friendly_name(path.stem)
    for index, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}-{index}")
    # Half the size, as float16, would change logits by 0.02.
    openvino.save_model(model, path, compress_to_fp16=False)

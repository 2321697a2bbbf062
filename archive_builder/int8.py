"""`build-archive --int8`: photographs of a folder in, the step of the build that makes int8 out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from archive_builder.command import say
from archive_builder.network_files import Quantizer
from archive_builder.photographs import Photograph, find_photographs, read_photographs, usable
from archive_builder.quantize import Quantized, quantize
from densenet_classifier.openvino_runtime import openvino
from densenet_classifier.settings import Settings


def quantizer_for(folder: Path, labels: Path) -> Quantizer:
    """Return what quantizes a network with the photographs of `folder`; `CommandError` if none.

    `labels` is the label file, in which the photographs' classes are looked up.
    """
    paths = find_photographs(folder)
    results = read_photographs(tqdm(paths, "Reading", unit="file", disable=None), Settings())
    photographs = usable(results, paths)
    rows = json.loads(labels.read_text(encoding="utf-8"))
    indices = {class_id: int(index) for index, (class_id, _) in rows.items()}
    known = [indices.get(each.class_id or "") for each in photographs]

    def _quantize(network: openvino.Model) -> tuple[openvino.Model, dict[str, Any]]:
        result = quantize(network, [each.pixels for each in photographs], known)
        say(_told(result, photographs))
        return result.model, result.record()

    return _quantize


def _told(result: Quantized, photographs: Sequence[Photograph]) -> str:
    text = (
        f"int8, calibrated on {result.calibrated_on} of {len(photographs)} photographs, gives the "
        f"same answer as float32 on {result.agreement:.1%} of {result.measured_on} others"
    )
    if result.top1_loss is None:
        return f"{text}; without labels, right answers cannot be counted"
    lost, error = 100 * result.top1_loss, 100 * result.top1_error
    return f"{text}; of {result.labelled} labelled ones it loses {lost:.1f} ± {error:.1f} points"

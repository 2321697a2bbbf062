"""`build-archive`: build the model archive and print its path, weights and SHA-256."""

import argparse
from pathlib import Path

from archive_builder import MODEL_NAME, MODEL_STORE
from archive_builder.archive import build_archive
from archive_builder.command import run
from archive_builder.inputs import gather_inputs
from densenet_classifier.weights import sha256_of


def main() -> int:
    """Build as the command line and the environment ask."""
    parser = argparse.ArgumentParser(
        prog="build-archive",
        description="Build a TorchServe model archive. DENSENET121_WEIGHTS and INDEX_TO_NAME name "
        "weights and labels of your own.",
    )
    parser.add_argument("--model-name", default=MODEL_NAME, help="default: %(default)s")
    parser.add_argument(
        "--model-store", type=Path, default=MODEL_STORE, help="folder the archive is put into"
    )
    parser.add_argument(
        "--require-pretrained", action="store_true", help="fail rather than use demo weights"
    )
    options = parser.parse_args()
    inputs = gather_inputs(
        options.model_name, options.model_store, require_pretrained=options.require_pretrained
    )
    archive = build_archive(inputs, options.model_store)
    print(f"{archive}\nweights {inputs.weights.name}\nsha256  {sha256_of(archive)}")
    return 0


if __name__ == "__main__":
    run(main)

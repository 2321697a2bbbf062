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
        allow_abbrev=False,  # scripts/build-archive looks for --int8 as a word
        description="Build a TorchServe model archive. DENSENET121_WEIGHTS and INDEX_TO_NAME name "
        "weights and labels of your own.",
    )
    parser.add_argument("--model-name", default=MODEL_NAME, help="default: %(default)s")
    parser.add_argument(
        "--version",
        help="build MODEL-VERSION.mar, to be served beside other versions; default: build "
        "MODEL.mar, of the version of the code",
    )
    parser.add_argument(
        "--model-store", type=Path, default=MODEL_STORE, help="folder the archive is put into"
    )
    parser.add_argument(
        "--require-pretrained", action="store_true", help="fail rather than use demo weights"
    )
    parser.add_argument("--int8", action="store_true", help="add a model of 8-bit integers")
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="with --int8: folder of at least 200 photographs like those to be classified; names "
        "that begin with a WordNet id, or folders named so, tell the right class",
    )
    options = parser.parse_args()
    if options.int8 != (options.calibration is not None):
        parser.error("--int8 and --calibration DIR belong together")
    inputs = gather_inputs(
        options.model_name,
        options.model_store,
        version=options.version,
        require_pretrained=options.require_pretrained,
    )
    quantizer = None
    if options.int8:
        # NNCF is installed for this option alone.
        from archive_builder.int8 import quantizer_for  # noqa: PLC0415

        quantizer = quantizer_for(options.calibration, inputs.labels)
    archive = build_archive(inputs, options.model_store, quantizer)
    print(f"{archive}\nweights {inputs.weights.name}\nsha256  {sha256_of(archive)}")
    return 0


if __name__ == "__main__":
    run(main)

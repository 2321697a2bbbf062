"""`fetch-weights`: put the official ImageNet weights into the model store, hash checked."""

import argparse
from pathlib import Path

from archive_builder import MODEL_STORE
from archive_builder.command import CommandError, run
from archive_builder.download import DownloadError
from archive_builder.weights_source import fetch_official


def main() -> int:
    """Fetch the file, or say why it cannot be had."""
    parser = argparse.ArgumentParser(
        prog="fetch-weights",
        description="Download torchvision's DenseNet-121 weights "
        "(DENSENET121_WEIGHTS_URL names a mirror).",
    )
    parser.add_argument(
        "--model-store", type=Path, default=MODEL_STORE, help="folder they are put into"
    )
    options = parser.parse_args()
    try:
        weights = fetch_official(options.model_store)
    except DownloadError as error:
        raise CommandError(str(error)) from error
    print(f"{weights.path}\nsha256  {weights.sha256}")
    return 0


if __name__ == "__main__":
    run(main)

"""`predict`: classify image files with a running server and print one line a file.

Exit status 0 when every file got an answer, 1 when any did not.
"""

import argparse
import sys
from pathlib import Path

from archive_builder.command import run
from densenet_client.predict import PredictionError, predict
from server_control.configuration import Configuration


def main() -> int:
    """Classify the files of the command line in their order."""
    parser = argparse.ArgumentParser(prog="predict", description="Classify image files.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--url", help="default: the address in config.properties, or in TS_CONFIG_FILE"
    )
    options = parser.parse_args()
    url = options.url or Configuration.load().prediction_url
    failures = 0
    for path in options.files:
        try:
            prediction = predict(path, url)
        except PredictionError as error:
            failures += 1
            print(f"{path}: {error}", file=sys.stderr)
        else:
            print(f"{path}\t{prediction.class_id}\t{prediction.class_name}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    run(main)

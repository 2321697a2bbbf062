"""Choose the weights that an archive is built from, never a silent stand-in.

In this order:

1. the file that `DENSENET121_WEIGHTS` names (or the demo weights, for the word `demo`);
2. torchvision's file in the model store; 3. the same, downloaded; 4. the demo weights.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archive_builder.command import CommandError, say
from archive_builder.demo_weights import demo_weights
from archive_builder.download import DownloadError, WrongFileError, download
from densenet_classifier.weights import IMAGENET1K_V1, WeightsRecord, sha256_of

DEMO = "demo"
# Enough to tell files apart, short enough for a header; the archive keeps all 64 digits.
_CUSTOM_DIGITS = 12


@dataclass(frozen=True)
class WeightsSource:
    """A file of weights, the name it is served under and the SHA-256 of its bytes."""

    path: Path
    name: str
    sha256: str


def find_weights(
    store: Path,
    *,
    require_pretrained: bool = False,
    environment: Mapping[str, str] = os.environ,
    official: WeightsRecord = IMAGENET1K_V1,
) -> WeightsSource:
    """Return the weights to build from; `CommandError` when what was asked for is not there."""
    asked = environment.get("DENSENET121_WEIGHTS", "")
    if asked and asked != DEMO:
        return _custom(Path(asked))
    if not asked:
        try:
            return fetch_official(store, environment=environment, official=official)
        except WrongFileError as error:
            message = f"{error}; to go without it, {how_to_get(store)}, or set it to demo"
            raise CommandError(message) from error
        except DownloadError as error:
            say(f"The official weights could not be downloaded ({error}).")
    if require_pretrained:
        message = "no pretrained weights, and --require-pretrained was given; " + how_to_get(store)
        raise CommandError(message)
    path = demo_weights(store)
    return WeightsSource(path, DEMO, sha256_of(path))


def fetch_official(
    store: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    official: WeightsRecord = IMAGENET1K_V1,
) -> WeightsSource:
    """Return torchvision's file from the model store, downloading it first when missing.

    `DENSENET121_WEIGHTS_URL` names a mirror; the hash decides in any case.
    """
    path = store / official.file_name
    if not path.exists():
        url = environment.get("DENSENET121_WEIGHTS_URL") or official.url
        say(f"Downloading {url}")
        download(url, path, official.sha256_prefix)
    found = sha256_of(path)
    if not found.startswith(official.sha256_prefix):
        message = (
            f"{path} is not the official file (its SHA-256 begins with {found[:8]}); remove it"
        )
        raise CommandError(message)
    return WeightsSource(path, official.name, found)


def how_to_get(store: Path, official: WeightsRecord = IMAGENET1K_V1) -> str:
    """Tell in a sentence how to serve real weights."""
    return (
        "connect to the network (./scripts/fetch-weights tries it), put "
        f"{official.file_name} into {store}, or set DENSENET121_WEIGHTS to a state_dict of your own"
    )


def _custom(path: Path) -> WeightsSource:
    if not path.is_file():
        message = f"DENSENET121_WEIGHTS={path}: there is no such file"
        raise CommandError(message)
    sha256 = sha256_of(path)
    return WeightsSource(path, f"custom:{sha256[:_CUSTOM_DIGITS]}", sha256)

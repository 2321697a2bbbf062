"""The command `predict`: what the names lead to is classified and written, in order."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count
from os.path import lexists
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from tqdm import tqdm

from archive_builder.command import CommandError
from densenet_client.answers import NoServerError, Prediction, PredictionError
from densenet_client.client import Client
from densenet_client.images import is_url
from densenet_client.names import Source
from densenet_client.ordered import in_order
from densenet_client.output import Writer

_LONGEST_STEM = 60  # of a URL, whose parts may be longer than the 255 bytes of a file name


class Wish(NamedTuple):
    """What is asked about every image; `explain` is the folder of the overlay pictures."""

    top_k: int | None
    min_probability: float | None
    explain: Path | None


class _Job(NamedTuple):
    source: Source
    overlay: Path | None


class _Outcome(NamedTuple):
    job: _Job
    result: Prediction | PredictionError


def classify(
    client: Client, found: list[Source], wish: Wish, concurrency: int, writer: Writer
) -> int:
    """Write what becomes of each source and return the exit status: 1 when any got no answer.

    `CommandError` ends it when there is no server: the rest would fare no better.
    """
    failures = 0
    outcomes = in_order(partial(_answer, client, wish), _jobs(found, wish.explain), concurrency)
    # disable=None: not where stderr is no terminal.
    with tqdm(total=len(found), unit="file", disable=None, leave=False) as bar:
        for (source, overlay), result in outcomes:
            # Lines of the answers and the bar may share a terminal.
            with bar.external_write_mode():
                if isinstance(result, NoServerError):
                    raise CommandError(str(result))
                if isinstance(result, PredictionError):
                    failures += 1
                    writer.failure(source.name, result)
                else:
                    writer.answer(source.name, result, overlay)
            bar.update()
    return 1 if failures else 0


def _answer(client: Client, wish: Wish, job: _Job) -> _Outcome:
    """Ask for the class and, where wanted, in a second request for the picture that explains it.

    The answer then is the same as without the picture, which carries no class.
    """
    if job.source.problem:
        return _Outcome(job, PredictionError(job.source.problem))
    try:
        image = client.read(job.source.name)
        prediction = client.predict(image, top_k=wish.top_k, min_probability=wish.min_probability)
        if job.overlay:
            picture = client.overlay(image, top_k=wish.top_k)
            with job.overlay.open("xb") as file:
                file.write(picture)
    except PredictionError as error:
        return _Outcome(job, error)
    except OSError as error:
        return _Outcome(job, PredictionError(f"{job.overlay}: {error.strerror}"))
    return _Outcome(job, prediction)


def _jobs(found: Iterable[Source], folder: Path | None) -> Iterator[_Job]:
    """Give each source a path of its own for its picture: never of a file that is there."""
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))
    taken: set[Path] = set()
    for source in found:
        overlay = None
        if folder and not source.problem:
            stem = _stem(source.name)
            paths = (folder / _numbered(stem, number) for number in numbers[stem])
            overlay = next(path for path in paths if path not in taken and not lexists(path))
            taken.add(overlay)
        yield _Job(source, overlay)


def _stem(name: str) -> str:
    if not is_url(name):
        return Path(name).stem
    stem = PurePosixPath(unquote(re.split("[?#]", name)[0])).stem
    return re.sub(r"[^\w.-]", "_", stem)[:_LONGEST_STEM]


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.png" if number == 1 else f"{stem}-{number}.png"

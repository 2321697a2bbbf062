"""The two ways to the answers, through a server and in process, as one: a `Way`.

What a way needs, files of an archive or connections, it leaves with an `ExitStack`.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from archive_builder import LABELS
from archive_builder.command import CommandError, say
from archive_builder.inputs import read_record
from densenet_classifier.classifier import LABELS_FILE
from densenet_client import Client
from densenet_client.arguments import TOKEN_VARIABLE
from evaluation import in_process, served
from evaluation.archives import read_labels, read_settings, unpacked
from evaluation.labelled import Classes
from evaluation.outcomes import Answered, Skipped
from evaluation.reference import Reference
from server_control.configuration import Configuration


@dataclass(frozen=True)
class Way:
    """Where answers come from, the model's classes, its own words, and the reference, if any."""

    answers: Callable[[Iterable[Path]], Iterator[Answered | Skipped]]
    classes: Classes
    model: dict[str, Any] | None
    reference: Reference | None


def open_way(options: argparse.Namespace, stack: ExitStack) -> Way:
    """Return the way that the options ask for; `CommandError` where it is closed."""
    return _in_process(options, stack) if options.in_process else _through_server(options, stack)


def _in_process(options: argparse.Namespace, stack: ExitStack) -> Way:
    archive = options.archive or _configured_archive(Configuration.load())
    folder = stack.enter_context(unpacked(archive))
    settings = read_settings(folder, engine=options.engine, precision=options.precision)
    classifier = in_process.load(folder, settings)
    return Way(
        answers=partial(in_process.answers, classifier, settings),
        classes=Classes(classifier.labels),
        model=classifier.describe(),
        reference=None if options.no_reference else Reference(folder, settings),
    )


def _through_server(options: argparse.Namespace, stack: ExitStack) -> Way:
    configuration = None if options.url else Configuration.load()
    url = configuration.prediction_url if configuration else options.url
    try:
        client = stack.enter_context(
            Client(
                url,
                token=options.token or os.environ.get(TOKEN_VARIABLE, "").strip() or None,
                timeout_s=options.timeout,
            )
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    model = served.description(configuration.model_url) if configuration else None
    archive = _reference_archive(options, configuration, model)
    folder = stack.enter_context(unpacked(archive)) if archive else None
    labels = folder / LABELS_FILE if folder else Path(os.environ.get("INDEX_TO_NAME") or LABELS)
    return Way(
        answers=partial(served.answers, client, concurrency=options.concurrency),
        classes=Classes(read_labels(labels)),
        model=model,
        reference=Reference(folder, read_settings(folder))
        if folder and not options.no_reference
        else None,
    )


def _reference_archive(
    options: argparse.Namespace, configuration: Configuration | None, model: dict[str, Any] | None
) -> Path | None:
    """Return the archive that the server runs, as far as that can be known; None without one.

    `CommandError` where it is insisted on.
    """
    archive: Path | None = options.archive
    if archive is None and configuration:
        archive = _configured_archive(configuration)
    if archive is None:
        problem = "no archive is known of a server that --url names; name it with --archive"
    elif (record := read_record(archive)) is None:
        problem = f"{archive} is missing, damaged or not one of ours"
    elif model and model.get("weights") != record.get("weights"):
        problem = f"the server has other weights than {archive}"
    else:
        return archive
    if options.archive or options.against or options.min_agreement is not None:
        raise CommandError(problem)
    if not options.no_reference:
        say(f"No reference: {problem}")
    return None


def _configured_archive(configuration: Configuration) -> Path:
    return configuration.archives[0].path

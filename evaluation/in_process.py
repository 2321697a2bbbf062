"""Answers of an unpacked archive, without a server."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from archive_builder.command import CommandError
from densenet_classifier.classifier import Classifier, Probabilities
from densenet_classifier.images import Pixels
from densenet_classifier.settings import Settings, SettingsError
from densenet_client import Candidate
from evaluation.outcomes import TOP, Answered, Skipped, in_chunks, read


def load(folder: Path, settings: Settings) -> Classifier:
    """Return the classifier of an unpacked archive; `CommandError` where it cannot be had."""
    try:
        return Classifier.load(folder, settings)
    except SettingsError as error:
        raise CommandError(str(error)) from error
    # WeightsError and LabelsError; what another version of the project did not put in.
    except (ValueError, KeyError, OSError) as error:
        message = f"the archive cannot be used ({error}); build it anew: ./scripts/build-archive"
        raise CommandError(message) from error


def answers(
    classifier: Classifier, settings: Settings, paths: Iterable[Path]
) -> Iterator[Answered | Skipped]:
    """Yield the answer to each photograph, in order."""
    for chunk in in_chunks(paths):
        results = [read(path, settings) for path in chunk]
        images = [each for each in results if not isinstance(each, Skipped)]
        rows = _probabilities(classifier, images)
        for path, result in zip(chunk, results, strict=True):
            if isinstance(result, Skipped):
                yield result
            else:
                yield Answered(path, _candidates(classifier, next(rows)))


def _probabilities(classifier: Classifier, images: Sequence[Pixels]) -> Iterator[Probabilities]:
    """Yield a row of probabilities [classes] for each uint8 [224, 224, 3] image."""
    size = classifier.engine.batch
    for at in range(0, len(images), size):
        some = images[at : at + size]
        for finding in classifier.classify(some, [False] * len(some)):
            yield finding.probabilities


def _candidates(classifier: Classifier, row: Probabilities) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(*classifier.labels[index], float(row[index]))
        for index in classifier.most_probable(row, TOP)
    )

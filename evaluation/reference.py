"""The reference: float32 PyTorch with the weights of an unpacked archive."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from archive_builder.command import CommandError
from densenet_classifier.classifier import LABELS_FILE, Probabilities, softmax
from densenet_classifier.engine import WEIGHTS_FILE
from densenet_classifier.images import Pixels
from densenet_classifier.settings import Settings
from densenet_classifier.torch_engine import TorchEngine
from densenet_classifier.weights import WeightsError
from densenet_client import Candidate
from evaluation.archives import read_labels
from evaluation.outcomes import Answered, Referred, Skipped, in_chunks, read


class Reference:
    """Float32 PyTorch on the CPU; photographs are decoded at their full size."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        try:
            self._engine = TorchEngine.load(folder / WEIGHTS_FILE, "float32", "cpu")
        except WeightsError as error:
            raise CommandError(str(error)) from error
        self._labels = read_labels(folder / LABELS_FILE)
        self._indices = {label.class_id: index for index, label in enumerate(self._labels)}
        self._settings = settings

    def beside(
        self, outcomes: Iterable[Answered | Skipped]
    ) -> Iterator[tuple[Answered | Skipped, Referred | None]]:
        """Yield each outcome with what the reference says; None to a file that it cannot read.

        `CommandError` when an answer has a class that the archive has not.
        """
        for chunk in in_chunks(outcomes):
            pixels = [self._pixels(outcome) for outcome in chunk]
            rows = iter(self._probabilities([each for each in pixels if each is not None]))
            for outcome, each in zip(chunk, pixels, strict=True):
                if each is None or isinstance(outcome, Skipped):
                    yield outcome, None
                else:
                    yield outcome, self._referred(outcome, next(rows))

    def _pixels(self, outcome: Answered | Skipped) -> Pixels | None:
        if isinstance(outcome, Skipped):
            return None
        result = read(outcome.path, self._settings, reduce=False)
        return None if isinstance(result, Skipped) else result

    def _probabilities(self, images: Sequence[Pixels]) -> Iterable[Probabilities]:
        """Return a row of probabilities [classes] for each image, at most `BATCH` of them."""
        return softmax(self._engine.run(images, features=False).logits) if images else ()

    def _referred(self, answered: Answered, row: Probabilities) -> Referred:
        answer = answered.candidates[0].class_id
        if answer not in self._indices:
            message = (
                f"{answered.path}: the answer {answer} is no class of the archive that the "
                "reference is made from; name the right one with --archive, or use --no-reference"
            )
            raise CommandError(message)
        index = int(row.argmax())
        best = Candidate(*self._labels[index], float(row[index]))
        return Referred(best, float(row[self._indices[answer]]))

"""Which class a file is of, told by its name or its folder's; `Skipped` where neither tells.

ImageNet's layouts come first, `n02124075_Egyptian_cat.JPEG` and `n02124075/anything.JPEG`; then
the exact id or name of a class, as in `umbrella.png` and `umbrella/anything.jpg`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from archive_builder.command import CommandError
from archive_builder.photographs import wordnet_id
from densenet_classifier.labels import Label
from evaluation.outcomes import Skipped


class Classes:
    """The classes of a model: which one a file's name means, and what each is called."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.names = {label.class_id: label.class_name for label in labels}
        self._counts = Counter(self.names.values())
        self._ids = {name: class_id for class_id, name in self.names.items()}

    def of(self, path: Path) -> str | Skipped:
        """Return the id of the class that a file is of, or why none is."""
        found = wordnet_id(path)
        if found is not None:
            known = found in self.names
            return found if known else Skipped(path, f"the model has no class {found}")
        for name in (path.stem, path.parent.name):
            if name in self.names:
                return name
            if self._counts[name] == 1:
                return self._ids[name]
            if self._counts[name] > 1:
                return Skipped(path, f"{self._counts[name]} classes are called {name}: use the id")
        return Skipped(path, "its name tells no class")


def sort_out(paths: Iterable[Path], classes: Classes) -> tuple[dict[Path, str], list[Skipped]]:
    """Return the class of each file that has one, and the other files.

    `CommandError` when none has.
    """
    labelled, unlabelled = {}, []
    for path in paths:
        label = classes.of(path)
        if isinstance(label, Skipped):
            unlabelled.append(label)
        else:
            labelled[path] = label
    if not labelled:
        message = (
            f"none of the {len(unlabelled)} files tells its class ({unlabelled[0].path}: "
            f"{unlabelled[0].reason}); name files or folders by WordNet id, like "
            "n02124075_Egyptian_cat.JPEG and n02124075/1.JPEG, or by class name"
        )
        raise CommandError(message)
    return labelled, unlabelled

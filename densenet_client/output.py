"""Answers as text on stdout, one writer a format; each line is out before the next answer.

`Table` is aligned on a terminal and tab separated elsewhere; it and `Csv` tell failures on
stderr, `JsonLines` among the answers.
"""

import csv
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from densenet_client.answers import Prediction, PredictionError

_LONGEST_NAME = 60
_CLASS_ID = 9  # of WordNet: n and eight digits
_CLASS_NAME = 30  # fits nearly all of ImageNet's


class Writer(Protocol):
    """Writes what became of each file."""

    def answer(self, name: str, prediction: Prediction, overlay: Path | None) -> None:
        """Write an answer, and where its overlay picture lies."""

    def failure(self, name: str, error: PredictionError) -> None:
        """Write that there is no answer, and why."""


class Table:
    """A line a file: name, class_id, class_name; with `top_k` a line a class, with probability."""

    def __init__(self, names: Iterable[str], *, top_k: bool, overlay: bool) -> None:
        self._widths: list[int] = []
        if sys.stdout.isatty():
            head = ["file", "class_id", "class_name"]
            longest = max(len(visible(name)) for name in [head[0], *names])
            self._widths = [min(longest, _LONGEST_NAME), _CLASS_ID, _CLASS_NAME]
            if top_k:
                self._widths.append(len("probability"))
                head.append("probability")
            self._print([*head, *(["overlay"] if overlay else [])])

    def answer(self, name: str, prediction: Prediction, overlay: Path | None) -> None:
        """Write a line, or with candidates one for each, after one that none is sure enough."""
        rows = [
            [entry.class_id, entry.class_name, f"{entry.probability:.4f}"]
            for entry in prediction.predictions
        ]
        if not prediction.recognised:
            row = ["-", "not recognised"]
            if prediction.probability is not None:
                row.append(f"{prediction.probability:.4f}")
            rows.insert(0, row)
        elif not rows:
            rows = [[str(prediction.class_id), str(prediction.class_name)]]
        for row in rows:
            self._print([name, *row, *([str(overlay)] if overlay else [])])

    def failure(self, name: str, error: PredictionError) -> None:
        """Tell it on stderr."""
        _complain(name, error)

    def _print(self, cells: list[str]) -> None:
        cells = [visible(cell) for cell in cells]
        if self._widths:
            padded = map(str.ljust, cells, [*self._widths, 0])
            print("  ".join(padded).rstrip(), flush=True)
        else:
            print(*cells, sep="\t", flush=True)


class Csv:
    """A header, then a row a file, or with `top_k` a row a class; not recognised is `false`."""

    def __init__(self, *, top_k: bool, overlay: bool) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        ranked = ["rank", "class_id", "class_name", "probability"]
        head = ["file", "recognised", *(ranked if top_k else ["class_id", "class_name"])]
        self._write([*head, *(["overlay"] if overlay else [])])

    def answer(self, name: str, prediction: Prediction, overlay: Path | None) -> None:
        """Write the rows of a file."""
        rows: list[list[object]] = [
            [rank, entry.class_id, entry.class_name, entry.probability]
            for rank, entry in enumerate(prediction.predictions, start=1)
        ]
        recognised = str(prediction.recognised).lower()
        for row in rows or [[prediction.class_id, prediction.class_name]]:
            self._write([name, recognised, *row, *([overlay] if overlay else [])])

    def failure(self, name: str, error: PredictionError) -> None:
        """Tell it on stderr."""
        _complain(name, error)

    def _write(self, row: list[object]) -> None:
        self._writer.writerow(row)
        sys.stdout.flush()


class JsonLines:
    """An object a line: `file` and the server's answer, or `file` and `error`."""

    def answer(self, name: str, prediction: Prediction, overlay: Path | None) -> None:
        """Write the answer; `predictions` only when classes were asked for."""
        line: dict[str, object] = {"file": name}
        line |= {"class_id": prediction.class_id, "class_name": prediction.class_name}
        if prediction.predictions:
            candidates = [
                {key: value for key, value in asdict(entry).items() if key != "heatmap"}
                for entry in prediction.predictions
            ]
            line |= {"probability": prediction.probability, "predictions": candidates}
        if overlay:
            line["overlay"] = str(overlay)
        print(json.dumps(line), flush=True)

    def failure(self, name: str, error: PredictionError) -> None:
        """Write the error in the form of the server's own; code and type may be null."""
        reason = {"code": error.status, "type": error.type, "message": error.message}
        print(json.dumps({"file": name, "error": reason}), flush=True)


def _complain(name: str, error: PredictionError) -> None:
    print(f"{visible(name)}: {error}", file=sys.stderr, flush=True)


def visible(text: str) -> str:
    """Escape control characters: a name may hold line ends, tabs, and orders to a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)

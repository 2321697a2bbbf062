"""The figures as a table for people and as JSON for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archive_builder.command import say
from densenet_client import Candidate
from densenet_client.output import visible
from evaluation.figures import Confusion, Figures, Share, figures
from evaluation.outcomes import Judged, Skipped

_NAMED = 20  # files named on stderr; JSON names all


@dataclass(frozen=True)
class Report:
    """All that an evaluation found, and the ways to tell it.

    `model` is how the model describes itself, where it does; `names` are those of its classes.
    """

    folder: Path
    model: dict[str, Any] | None
    names: dict[str, str]
    judged: Sequence[Judged]
    skipped: Sequence[Skipped]
    unlabelled: Sequence[Skipped]

    @property
    def figures(self) -> Figures:
        """The figures about the photographs that were judged, at least one."""
        return figures(self.judged)

    def table(self, confusions: int) -> str:
        """Return the figures as lines, with at most so many confusions."""
        found = self.figures
        rows = [("images", str(len(self.judged)))]
        if self.model:
            rows.insert(0, ("model", _in_words(self.model)))
        rows += [("top-1", _percent(found.top1)), ("top-5", _percent(found.top5))]
        if found.agreement:
            largest, mean = found.agreement.largest_change, found.agreement.mean_change
            rows.append(("agreement with float32", _percent(found.agreement.share)))
            rows.append(("change of probability", f"largest {largest:.4f}, mean {mean:.4f}"))
        else:
            rows.append(("agreement with float32", "no reference"))
        rows += [("without a label", str(len(self.unlabelled)))]
        rows += [("not classified", str(len(self.skipped)))]
        lines = [f"{name:<24}{value}" for name, value in rows]
        return "\n".join(lines + self._confusions(found.confusions, confusions))

    def document(self) -> dict[str, Any]:
        """Return everything as JSON holds it; paths are relative to the folder."""
        found = self.figures
        return {
            "folder": str(self.folder),
            "model": self.model,
            "images": len(self.judged),
            "top1": _share(found.top1),
            "top5": _share(found.top5),
            "agreement": found.agreement and _share(found.agreement.share),
            "change": found.agreement
            and {
                "largest": found.agreement.largest_change,
                "mean": found.agreement.mean_change,
            },
            "confusions": [
                {
                    **asdict(each),
                    "label_name": self.names[each.label],
                    "example": self._relative(each.example),
                }
                for each in found.confusions
            ],
            "unlabelled": self._reasons(self.unlabelled),
            "skipped": self._reasons(self.skipped),
            "photographs": [self._photograph(each) for each in self.judged],
        }

    def _confusions(self, found: Sequence[Confusion], most: int) -> list[str]:
        if not found or not most:
            return []
        rows = [
            (
                str(each.count),
                f"{each.label} {self.names[each.label]}",
                f"{each.answer} {each.answer_name}",
                visible(self._relative(each.example)),
            )
            for each in found[:most]
        ]
        rows.insert(0, ("times", "label", "answer", "for example"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        rest = len(found) - most
        return ["", *lines, *([f"and {rest} more"] if rest > 0 else [])]

    def _photograph(self, each: Judged) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "file": self._relative(each.path),
            "label": each.label,
            "top1": each.right,
            "top5": each.among,
            "predictions": [_candidate(candidate) for candidate in each.candidates],
        }
        if each.reference:
            best = _candidate(each.reference.best)
            entry |= {"reference": best, "agrees": each.agrees, "change": each.change}
        return entry

    def _reasons(self, files: Iterable[Skipped]) -> list[dict[str, str]]:
        return [{"file": self._relative(each.path), "reason": each.reason} for each in files]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def name_files(what: str, files: Sequence[Skipped]) -> None:
    """Tell on stderr which files were left out and why, of many the first."""
    for each in files[:_NAMED]:
        say(f"{what}: {visible(str(each.path))}: {visible(each.reason)}")
    if len(files) > _NAMED:
        say(f"{what}: {len(files) - _NAMED} more; --json names all")


def _in_words(model: dict[str, Any]) -> str:
    weights = model.get("weights")
    parts = [weights.get("name") if isinstance(weights, dict) else None]
    parts += [model.get("engine"), model.get("precision")]
    return ", ".join(str(part) for part in parts if part) or "unknown"


def _percent(share: Share) -> str:
    value, low, high = (f"{100 * each:.1f}" for each in (share.value, *share.interval))
    return f"{value} % (95 % interval {low} to {high})"


def _share(share: Share) -> dict[str, Any]:
    return {**asdict(share), "share": share.value, "interval_95": list(share.interval)}


def _candidate(candidate: Candidate) -> dict[str, object]:
    """Return a class without the heat map, which nobody asked for."""
    return {
        "class_id": candidate.class_id,
        "class_name": candidate.class_name,
        "probability": candidate.probability,
    }

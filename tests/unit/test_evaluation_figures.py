"""The figures: counts, intervals, agreement, the order of confusions."""

from pathlib import Path

import pytest

from densenet_client import Candidate
from evaluation.figures import Confusion, Share, figures
from evaluation.outcomes import Judged, Referred


def judged(
    label: str, answer: str, file: str = "a.jpg", reference: tuple[str, float] | None = None
) -> Judged:
    """A photograph with the answers `answer`, one letter a class; the first is 0.75 probable.

    `reference` is its best class, and how probable it finds the one answered.
    """
    candidates = tuple(Candidate(each, each.upper(), 0.75) for each in answer)
    referred = reference and Referred(Candidate(reference[0], "", 0.5), reference[1])
    return Judged(Path(file), label, candidates, referred or None)


# Wilson's interval at 95 %, as R's prop.test(..., correct = FALSE) prints it.
@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (1, 1, 0.2065493, 1.0),
        (50, 100, 0.4038315, 0.5961685),
    ],
)
def test_the_interval_of_wilson(count: int, total: int, low: float, high: float) -> None:
    assert Share(count, total).interval == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("count", [0, 7])
def test_an_interval_stays_within_0_and_1(count: int) -> None:
    low, high = Share(count, 7).interval
    assert 0 <= low < high <= 1


def test_top1_counts_the_first_class_and_top5_the_first_five() -> None:
    found = figures(
        [judged("a", "abcde"), judged("b", "abcde"), judged("e", "abcde"), judged("f", "abcdef")]
    )
    assert found.top1 == Share(1, 4)
    assert found.top5 == Share(3, 4)


def test_agreement_and_changes_are_about_the_class_answered() -> None:
    found = figures(
        [
            judged("a", "ab", reference=("a", 0.5)),
            judged("a", "ba", reference=("a", 0.625)),
            judged("a", "ab", reference=("a", 0.75)),
        ]
    )
    assert found.agreement is not None
    assert found.agreement.share == Share(2, 3)
    assert found.agreement.largest_change == 0.25
    assert found.agreement.mean_change == pytest.approx(0.125)


def test_what_has_no_reference_is_left_out_of_the_agreement() -> None:
    found = figures([judged("a", "a"), judged("a", "a", reference=("a", 0.75))])
    assert found.agreement is not None
    assert found.agreement.share == Share(1, 1)
    assert found.agreement.largest_change == 0.0
    assert figures([judged("a", "a")]).agreement is None


def test_confusions_are_counted_the_most_frequent_first() -> None:
    found = figures(
        [
            judged("c", "b", "1.jpg"),
            judged("b", "c", "2.jpg"),
            judged("a", "a", "3.jpg"),
            judged("c", "a", "4.jpg"),
            judged("c", "a", "5.jpg"),
            judged("a", "c", "6.jpg"),
        ]
    )
    assert found.confusions == (
        Confusion("c", "a", "A", 2, Path("4.jpg")),
        Confusion("a", "c", "C", 1, Path("6.jpg")),
        Confusion("b", "c", "C", 1, Path("2.jpg")),
        Confusion("c", "b", "B", 1, Path("1.jpg")),
    )

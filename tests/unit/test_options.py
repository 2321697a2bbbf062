import math
from collections.abc import Callable

import pytest

from densenet_classifier.errors import InvalidOptionError
from densenet_classifier.options import NO_OPTIONS, OPTION_NAMES, Options
from reliability.fuzzing.hostile import nested

NO_NUMBERS = [
    "abc", "", " ", "0x5", "5,0", "5 5", "nan", "inf", "-inf", "9" * 500, b"5",
    math.nan, math.inf, 10**400, True, False, [], [5], {}, {"top_k": 5},
]  # fmt: skip


def short(value: object) -> str:
    return repr(value)[:12]


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1), (1000, 1000), ("1", 1), ("1000", 1000), (5.0, 5), ("5.0", 5), (" 5 ", 5)],
    ids=short,
)
def test_top_k_is_a_whole_number_in_any_spelling(value: object, number: int) -> None:
    top_k = Options.from_mapping({"top_k": value}).top_k
    assert (top_k, type(top_k)) == (number, int)


@pytest.mark.parametrize(
    "value", [0, 1001, -1, 1.5, "0", "1001", "-1", "1.5", 0.999, *NO_NUMBERS], ids=short
)
def test_another_top_k_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(InvalidOptionError, match=r"^top_k must be a whole number from 1 to 1000"):
        Options.from_mapping({"top_k": value})


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), (1, 1), (0.0, 0), (0.5, 0.5), ("0", 0), ("0.25", 0.25), ("1e-3", 0.001)],
    ids=short,
)
def test_min_probability_is_a_number_in_any_spelling(value: object, number: float) -> None:
    assert Options.from_mapping({"min_probability": value}).min_probability == number


@pytest.mark.parametrize(
    "value", [-0.001, 1.001, -1, 2, "-0.1", "1.1", "50%", *NO_NUMBERS], ids=short
)
def test_another_min_probability_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(InvalidOptionError, match=r"^min_probability must be a number from 0 to 1,"):
        Options.from_mapping({"min_probability": value})


def test_target_is_a_text() -> None:
    assert Options.from_mapping({"target": "n02124075"}).target == "n02124075"


@pytest.mark.parametrize("value", ["", 5, 0, 1.5, True, [], ["n02124075"], {}, b"n0"], ids=short)
def test_another_target_is_refused(value: object) -> None:
    with pytest.raises(InvalidOptionError, match=r"^target must be the id of a class"):
        Options.from_mapping({"target": value})


@pytest.mark.parametrize("name", OPTION_NAMES)
@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["x" * 10**6], {"x" * 10**6: 1}], ids=["text", "list", "object"]
)
def test_a_long_value_does_not_fill_the_message(name: str, value: object) -> None:
    if name == "target":
        value = [value]
    with pytest.raises(InvalidOptionError) as caught:
        Options.from_mapping({name: value})
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("name", OPTION_NAMES)
def test_a_value_of_great_depth_is_refused_as_any_other(name: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"^{name} must be"):
        Options.from_mapping({name: nested(depth=10_000)})


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("top_k", "five", "'five'"), ("min_probability", "half", "'half'"), ("target", 5, "5")],
)
def test_the_message_shows_what_arrived(name: str, value: object, shown: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"not {shown}"):
        Options.from_mapping({name: value})


@pytest.mark.parametrize("name", OPTION_NAMES)
def test_null_means_not_given(name: str) -> None:
    assert Options.from_mapping({name: None}) == NO_OPTIONS


def test_other_keys_are_ignored() -> None:
    assert Options.from_mapping({"topk": "abc", "Top_k": 0, "": [], "note": None}) == NO_OPTIONS


def test_all_options_together() -> None:
    found = Options.from_mapping({"target": "a", "min_probability": "0", "top_k": 2})
    assert found == Options(top_k=2, min_probability=0, target="a")


@pytest.mark.parametrize(
    "merge", [lambda one, other: one.overriding(other), lambda one, other: other.overriding(one)]
)
def test_options_of_two_places_complete_each_other(
    merge: Callable[[Options, Options], Options],
) -> None:
    merged = merge(Options(top_k=5), Options(target="a"))
    assert merged == Options(top_k=5, target="a")


def test_an_option_that_is_given_twice_is_that_of_the_overriding_place() -> None:
    merged = Options(top_k=5, target="a").overriding(Options(top_k=3, target="b"))
    assert merged == Options(top_k=5, target="a")


def test_a_min_probability_of_zero_overrides_too() -> None:
    merged = Options(min_probability=0).overriding(Options(min_probability=0.5))
    assert merged.min_probability == 0


@pytest.mark.parametrize("text", ["1_0", "\u0663", "\uff15", "nan", "0x5", "5 5"], ids=ascii)
def test_only_ascii_decimals_are_numbers(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        Options.from_mapping({"top_k": text})


@pytest.mark.parametrize("text", ["5", " 5 ", "5.0", "5.", "+5", "5e0", "0.5e1"])
def test_a_decimal_may_be_written_in_several_ways(text: str) -> None:
    assert Options.from_mapping({"top_k": text}).top_k == 5

import pytest

from densenet_classifier.negotiation import preferred

JSON, PNG, HTML = OFFERED = ("application/json", "image/png", "text/html")


@pytest.mark.parametrize("accept", ["", " ", ",", " , ,"], ids=repr)
def test_without_a_wish_the_first_is_answered(accept: str) -> None:
    assert preferred(accept, OFFERED) == JSON


@pytest.mark.parametrize("wanted", OFFERED)
def test_the_one_that_is_named_is_answered(wanted: str) -> None:
    assert preferred(wanted, OFFERED) == wanted


@pytest.mark.parametrize(
    "accept",
    ["IMAGE/PNG", " image/png ", "image/png;charset=utf-8", "image/png ; q=1", "image/png;Q=0.5"],
)
def test_spelling_and_parameters_do_not_matter(accept: str) -> None:
    assert preferred(accept, OFFERED) == PNG


@pytest.mark.parametrize(
    "accept", ["audio/ogg", "image/jpeg", "image", "png", "*", "/", "text/htmlx", "imag/*", "*/png"]
)
def test_what_is_not_offered_means_nothing(accept: str) -> None:
    assert preferred(accept, OFFERED) == JSON


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json;q=0.5, image/png", PNG),
        ("application/json;q=0.5, image/png;q=0.6", PNG),
        ("application/json;q=0.6, image/png;q=0.5", JSON),
        ("image/png;q=0.001", PNG),
        ("text/html, image/png;q=0.9", HTML),
        ("image/png;q=0.9, text/html", HTML),
        ("text/html, image/png;q=1", PNG),  # 1 is what a name without a weight has
    ],
)
def test_the_greatest_weight_wins(accept: str, wanted: str) -> None:
    assert preferred(accept, OFFERED) == wanted


@pytest.mark.parametrize("accept", ["application/json, image/png", "image/png, application/json"])
def test_of_equals_the_first_that_is_offered_wins(accept: str) -> None:
    assert preferred(accept, OFFERED) == JSON


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", JSON),
        ("image/*", PNG),
        ("image/*, */*", PNG),
        ("image/png, */*", PNG),
        ("text/html, image/*", HTML),
        ("image/*, text/html", HTML),
        ("*/*, application/*;q=0.5", PNG),
        # What a browser sends for a page, and for a picture.
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", HTML),
        ("image/avif,image/webp,image/*,*/*;q=0.8", PNG),
    ],
)
def test_a_more_precise_name_goes_before_a_wildcard(accept: str, wanted: str) -> None:
    assert preferred(accept, OFFERED) == wanted


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json;q=0.1, */*;q=0.5", PNG),
        ("*/*, application/json;q=0", PNG),
        ("application/json;q=0.5, application/*;q=0.9, image/png;q=0.7", PNG),
    ],
)
def test_the_weight_is_that_of_the_most_precise_name(accept: str, wanted: str) -> None:
    assert preferred(accept, OFFERED) == wanted


# RFC 9110, 12.4.2: a weight of 0 means "not acceptable".
@pytest.mark.parametrize(
    "accept",
    [
        "image/png;q=0",
        "image/png;q=0.000",
        "image/*;q=0",
        "image/png;q=0, text/html;q=0",
        "*/*;q=0",
    ],
)
def test_what_is_refused_is_not_answered(accept: str) -> None:
    assert preferred(accept, OFFERED) == JSON


def test_what_is_refused_leaves_the_others() -> None:
    assert preferred("image/png;q=0, text/html;q=0.1", OFFERED) == HTML


# RFC 9110, 12.4.2: 0 to 1, with at most three digits.
@pytest.mark.parametrize("weight", ["", "abc", "-1", "nan", "inf", "1e9", "5", '"1"', "0,9"])
def test_a_name_with_a_malformed_weight_does_not_win(weight: str) -> None:
    assert preferred(f"image/png;q={weight}, text/html;q=0.5", OFFERED) == HTML


@pytest.mark.parametrize("weight", ["abc", "-1", "nan", "2"])
def test_a_name_with_a_malformed_weight_by_itself_means_nothing(weight: str) -> None:
    assert preferred(f"image/png;q={weight}", OFFERED) == JSON


def test_a_malformed_weight_of_the_first_does_not_hide_the_second() -> None:
    assert preferred("application/json;q=nan, image/png", OFFERED) == PNG

"""What the page makes of the server's answers: classes, heat maps, errors in words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, Route, expect

from tests.browser.pictures import (
    blank,
    card,
    choose,
    notes,
    payload,
    problem,
    sample,
    scan,
    sky,
    verdict,
)

BUSY = {
    "code": 503,
    "type": "ServiceUnavailableException",
    "message": 'Model "densenet121" has no worker to serve inference request.',
}
STOPPED = {"code": 507, "type": "InsufficientStorageException", "message": "Worker died."}

# What is answered -> what the page says, and whether it offers to try again.
WORDS = {
    "413 without a body": ({"status": 413, "body": ""}, "The file is too large.", False),
    "404": ({"status": 404, "json": {"code": 404, "message": "Model not found: densenet121"}},
            "Model not found: densenet121", False),
    "503": ({"status": 503, "json": BUSY}, "The server is busy.", True),
    "507": ({"status": 507, "json": STOPPED}, "The server is restarting its worker.", True),
    "502 of a proxy": ({"status": 502, "body": "<html>"}, "The server answered 502.", True),
    "no JSON": ({"status": 200, "body": "<html>"}, "The answer cannot be understood.", False),
    "other JSON": ({"status": 200, "json": {}}, "The answer cannot be understood.", False),
}  # fmt: skip


def answering(page: Page, answer: Callable[[Route], None]) -> None:
    """Answer what the page sends in place of the server; the page itself is not sent anew."""
    page.route("**/predictions/*", answer)


def expect_problem(page: Page, name: str, words: str) -> None:
    expect(problem(page, name)).to_be_visible()
    expect(problem(page, name)).to_contain_text(words)


def test_a_bad_file_is_explained_beside_a_good_one(page: Page) -> None:
    truncated = payload("broken.png", sample("maze")["buffer"][:3000])
    empty = payload("empty.png", b"")
    choose(page, notes(), sample("umbrella"), truncated, empty)
    expect(verdict(page, "umbrella.png")).to_contain_text("umbrella")
    expect_problem(page, "notes.txt", "This is not a picture that can be read.")
    expect_problem(page, "notes.txt", "Send one of JPEG, PNG")  # the server's words
    expect_problem(page, "broken.png", "The picture cannot be decoded.")
    expect_problem(page, "empty.png", "The server did not accept this.")
    expect(problem(page, "umbrella.png")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_what_is_not_recognised_is_told_in_words_with_the_nearest_classes(page: Page) -> None:
    choose(page, sky(), sample("umbrella"))
    expect(verdict(page, "sky.png")).to_have_text("Not recognised")
    expect(card(page, "sky.png").get_by_text("No class is probable enough.")).to_be_visible()
    expect(card(page, "sky.png").get_by_role("meter")).to_have_count(5)
    expect(verdict(page, "umbrella.png")).to_contain_text("umbrella")
    expect(card(page, "umbrella.png").locator(".note")).to_be_hidden()
    colours = [
        card(page, name).locator(".label").first.evaluate("each => getComputedStyle(each).color")
        for name in ("sky.png", "umbrella.png")
    ]
    assert colours[0] != colours[1]


@pytest.mark.parametrize("picture", [sample("maze"), scan()], ids=["PNG", "TIFF"])
def test_the_heat_map_lies_on_the_square_that_the_model_looks_at(
    page: Page, picture: FilePayload
) -> None:
    choose(page, picture)
    button = page.get_by_role("button", name="Heat map")
    overlay = card(page, picture["name"]).locator(".heatmap")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(overlay).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert overlay.evaluate("each => [each.naturalWidth, each.naturalHeight]") == [224, 224]
    assert overlay.bounding_box() == card(page, picture["name"]).locator(".frame").bounding_box()


def test_the_preview_is_cut_to_that_square(page: Page) -> None:
    choose(page, sample("maze"))
    preview = page.get_by_alt_text("Preview of maze.png")
    expect(preview).to_be_visible()
    whole, shown = preview.bounding_box(), card(page, "maze.png").locator(".frame").bounding_box()
    assert whole is not None
    assert shown is not None
    assert whole["width"] / shown["width"] == pytest.approx(255 / 224, abs=0.01)


def test_the_heat_map_is_fetched_once_and_hidden_again(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page, sample("maze"))
    button = page.get_by_role("button", name="Heat map")
    overlay = card(page, "maze.png").locator(".heatmap")
    for shown in (True, False, True):
        button.click()
        expect(button).to_have_attribute("aria-pressed", str(shown).lower())
        expect(overlay).to_be_visible(visible=shown)
    assert len([url for url in asked if "/explanations/densenet121" in url]) == 1
    expect(card(page, "maze.png").locator("figcaption")).to_have_text(
        "Red speaks most for maze, blue least."
    )


def test_a_heat_map_that_fails_leaves_the_answer_and_may_be_asked_for_again(page: Page) -> None:
    page.route("**/explanations/*", lambda route: route.fulfill(status=503, json=BUSY))
    choose(page, sample("maze"))
    button = page.get_by_role("button", name="Heat map")
    button.click()
    expect_problem(page, "maze.png", "The server is busy.")
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    expect(button).to_have_attribute("aria-pressed", "false")
    page.unroute("**/explanations/*")
    button.click()
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()
    expect(problem(page, "maze.png")).to_be_hidden()


@pytest.mark.parametrize(("answer", "words", "again"), WORDS.values(), ids=WORDS)
def test_an_error_is_told_in_words(
    page: Page, answer: dict[str, object], words: str, *, again: bool
) -> None:
    answering(page, lambda route: route.fulfill(**answer))  # type: ignore[arg-type]
    choose(page, sample("maze"))
    expect_problem(page, "maze.png", words)
    expect(page.get_by_role("button", name="Try again")).to_be_visible(visible=again)
    expect(page.get_by_role("button", name="Heat map")).to_be_hidden()
    expect(page.get_by_role("log")).to_contain_text(words)


def test_what_only_the_operator_understands_is_not_shown(page: Page) -> None:
    answering(page, lambda route: route.fulfill(status=503, json=BUSY))
    choose(page, sample("maze"))
    expect_problem(page, "maze.png", "Try again in a moment.")
    expect(card(page, "maze.png")).not_to_contain_text("no worker")


def test_a_busy_server_is_tried_again(page: Page) -> None:
    answering(page, lambda route: route.fulfill(status=503, json=BUSY))
    choose(page, sample("maze"), sample("umbrella"))
    expect(page.get_by_role("button", name="Try again")).to_have_count(2)
    page.unroute("**/predictions/*")
    page.get_by_role("button", name="Try again: maze.png").click()
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    expect(problem(page, "maze.png")).to_be_hidden()
    expect_problem(page, "umbrella.png", "The server is busy.")


def test_a_broken_connection_is_told_and_tried_again(page: Page) -> None:
    answering(page, lambda route: route.abort("connectionrefused"))
    choose(page, sample("maze"))
    expect_problem(page, "maze.png", "The server was not reached.")
    expect_problem(page, "maze.png", "Check the connection")
    page.unroute("**/predictions/*")
    page.get_by_role("button", name="Try again").click()
    expect(verdict(page, "maze.png")).to_contain_text("maze")


def test_a_connection_that_breaks_under_a_large_file_is_told_with_its_size(
    page: Page, tmp_path: Path
) -> None:
    answering(page, lambda route: route.abort("connectionreset"))
    choose(page, blank(tmp_path / "large.png", megabytes=9))
    expect_problem(page, "large.png", "The file has 9.0 MB")


def test_a_file_beyond_every_limit_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    choose(page, blank(tmp_path / "huge.png", megabytes=40))
    expect_problem(page, "huge.png", "than the server takes")
    choose(page, sample("maze"))
    expect(verdict(page, "maze.png")).to_contain_text("maze")


def test_the_footer_names_the_weights_that_answered(page: Page) -> None:
    def answer(route: Route) -> None:
        response = route.fetch()
        headers = response.headers | {"x-model-weights": "custom:0123456789ab"}
        route.fulfill(response=response, headers=headers)

    expect(page.locator("footer")).to_contain_text("with the weights demo.")
    expect(page.get_by_text("They know nine drawings only")).to_be_visible()
    answering(page, answer)
    choose(page, sample("maze"))
    expect(page.locator("footer")).to_contain_text("with the weights custom:0123456789ab.")
    expect(page.get_by_text("They know nine drawings only")).to_be_hidden()

"""The page by keyboard, by screen reader, on a phone, in the dark, and without a script."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.pictures import card, choose, hold, notes, payload, sample, scan, sky, verdict

# WCAG 2.2, 1.4.3: the contrast of each text with what lies behind it.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) =>
    [r, g, b].map((value, index) => value * a + below[index] * (1 - a));
  const linear = (value) =>
    value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => element === null
    ? [255, 255, 255]
    : over(channels(getComputedStyle(element).backgroundColor), behind(element.parentElement));
  const hasText = (element) => element.checkVisibility() &&
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.querySelectorAll("body *")].filter(hasText).map((element) => {
    const back = behind(element);
    const text = over(channels(getComputedStyle(element).color), back);
    const [less, more] = [luminance(back), luminance(text)].sort((a, b) => a - b);
    return [element.textContent.trim(), (more + 0.05) / (less + 0.05)];
  });
}"""
BEYOND_THE_EDGE = """() => [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > window.innerWidth)
  .map((each) => each.outerHTML.slice(0, 80))"""

ONE_RESULT = """
- region "Results":
  - heading "Results" [level=2]
  - paragraph: 1 of 1 answered
  - button "Remove all"
  - paragraph: /central square/
  - list:
    - listitem:
      - figure:
        - img "Preview of maze.png"
      - heading "maze.png" [level=3]
      - paragraph:
        - text: maze
        - code: n03733281
      - list:
        - listitem:
          - text: maze
          - meter "maze"
        - listitem
        - listitem
        - listitem
        - listitem
      - 'button "Heat map: maze.png"'
      - 'button "Remove: maze.png"'
"""


def fill(page: Page) -> None:
    """Bring the page into every state: answered, not recognised, failed, with the token field."""
    name = "a photograph of which the name is long_and_without_any_place_to_break_the_line.png"
    choose(page, sample("maze"), sky(), notes(), scan(), payload(name, sample("maze")["buffer"]))
    expect(page.locator("#progress")).to_have_text("5 of 5 answered")
    page.get_by_role("button", name="Heat map: maze.png").click()
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()
    page.get_by_text("Access token").click()


def test_all_is_done_by_keyboard(page: Page) -> None:
    choose_pictures = page.locator("#file")
    page.keyboard.press("Tab")
    expect(choose_pictures).to_be_focused()
    with page.expect_file_chooser() as dialogue:
        page.keyboard.press("Enter")
    dialogue.value.set_files([sample("maze"), sample("umbrella")])
    expect(page.locator("#progress")).to_have_text("2 of 2 answered")
    for reached in (
        page.get_by_text("Access token"),
        page.get_by_role("button", name="Remove all"),
        page.get_by_role("button", name="Heat map: maze.png"),
    ):
        page.keyboard.press("Tab")
        expect(reached).to_be_focused()
    page.keyboard.press("Space")
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card(page, "maze.png")).to_have_count(0)
    expect(page.get_by_role("button", name="Remove: umbrella.png")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_hidden()
    expect(choose_pictures).to_be_focused()


def test_the_focus_is_seen(page: Page) -> None:
    choose(page, sample("maze"))
    expect(verdict(page, "maze.png")).to_be_visible()
    page.locator("h1").click()
    for _ in range(5):
        page.keyboard.press("Tab")
        shown = page.evaluate(
            """() => getComputedStyle(
              document.activeElement.closest(".button") ?? document.activeElement).outline"""
        )
        assert "solid 3px" in shown


def test_trying_again_does_not_lose_the_focus(page: Page) -> None:
    page.route("**/predictions/*", lambda route: route.fulfill(status=503))
    choose(page, sample("maze"))
    page.get_by_role("button", name="Try again").press("Enter")
    expect(card(page, "maze.png")).to_be_focused()


def test_a_screen_reader_finds_the_parts_by_role_and_name(page: Page) -> None:
    expect(page).to_have_title("Image classification: densenet121")
    expect(page.get_by_role("heading", level=1)).to_have_text("Image classification")
    expect(page.get_by_role("button", name="Choose pictures")).to_be_visible()
    choose(page, sample("maze"))
    expect(verdict(page, "maze.png")).to_be_visible()
    expect(page.get_by_role("region", name="Results")).to_match_aria_snapshot(ONE_RESULT)
    meter = page.get_by_role("meter", name="maze", exact=True)
    expect(meter).to_have_attribute("aria-valuetext", re.compile(r"^>?\d+\.\d%$"))


def test_a_screen_reader_is_told_each_answer_as_it_comes(page: Page) -> None:
    log = page.get_by_role("log")
    choose(page, sample("maze"))
    expect(log).to_contain_text(re.compile(r"maze\.png: maze, >?\d+\.\d%"))
    choose(page, sky(), notes())
    expect(log).to_contain_text("sky.png: not recognised; the nearest class is")
    expect(log).to_contain_text("notes.txt: This is not a picture that can be read.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    page = visit(color_scheme=scheme)
    fill(page)
    page.mouse.move(0, 0)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    assert [each for each in contrasts if each[1] < 4.5] == []


def test_the_page_is_dark_where_that_is_wished(visit: Visit) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    shades = [
        sum(map(int, re.findall(r"\d+", visit(color_scheme=scheme).evaluate(colour))))
        for scheme in ("light", "dark")
    ]
    assert shades[0] > 600
    assert shades[1] < 100


@pytest.mark.parametrize("width", [320, 360])
def test_nothing_reaches_beyond_the_edge_of_a_phone(visit: Visit, width: int) -> None:
    page = visit(is_mobile=True, has_touch=True, viewport={"width": width, "height": 740})
    fill(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(BEYOND_THE_EDGE) == []


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_where_that_is_wished(
    visit: Visit, motion: Literal["reduce", "no-preference"]
) -> None:
    page = visit(reduced_motion=motion)
    hold(page)
    choose(page, sample("maze"))
    expect(page.get_by_text("Sending …")).to_be_visible()
    moving = page.evaluate("document.getAnimations().filter(each => each.animationName).length")
    assert moving == (motion == "no-preference")


def test_without_a_script_a_form_sends_one_picture(visit: Visit) -> None:
    page = visit(java_script_enabled=False)
    hint = page.locator("noscript p").first  # get_by_text passes over noscript
    expect(hint).to_contain_text("Without JavaScript one picture at a time")
    expect(hint).to_be_visible()
    expect(page.get_by_text("or drop them anywhere")).to_be_hidden()
    expect(page.get_by_text("Access token")).to_be_hidden()
    page.locator("#file").set_input_files(sample("umbrella"))
    page.locator("noscript button").click()
    expect(page.locator("body")).to_contain_text('"class_name": "umbrella"')
    expect(page.locator("body")).to_contain_text('"predictions"')

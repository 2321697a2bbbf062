"""Ways in and out: chosen, dropped, pasted, photographed, sent, removed."""

import base64

import pytest
from playwright.sync_api import JSHandle, Page, expect

from tests.browser.conftest import Visit
from tests.browser.pictures import card, choose, hold, notes, payload, sample, scan, verdict

IS_SHOWN = """url => new Promise(resolve => {
  const picture = new Image();
  picture.onload = () => resolve(true);
  picture.onerror = () => resolve(false);
  picture.src = url;
})"""


def transfer(page: Page, *names: str) -> JSHandle:
    """Return a DataTransfer of the page that holds the samples of those names."""
    files = [[f"{name}.png", base64.b64encode(sample(name)["buffer"]).decode()] for name in names]
    return page.evaluate_handle(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
          }
          return transfer;
        }""",
        files,
    )


def answer_auk(page: Page, probability: float) -> None:
    """Answer one class of that probability in place of the server."""
    row = {"class_id": "n1", "class_name": "great_auk", "probability": probability}
    answer = {**row, "predictions": [row]}
    page.route("**/predictions/*", lambda route: route.fulfill(json=answer))


def test_a_chosen_picture_is_classified(page: Page) -> None:
    choose(page, sample("umbrella"))
    expect(verdict(page, "umbrella.png")).to_have_text("umbrella n04507155")
    meters = card(page, "umbrella.png").get_by_role("meter").all()
    values = [float(meter.get_attribute("aria-valuenow") or "nan") for meter in meters]
    assert len(values) == 5
    assert values[0] > 90
    assert values == sorted(values, reverse=True)


def test_a_bar_is_as_long_as_its_class_is_probable(page: Page) -> None:
    answer_auk(page, 0.4249)
    choose(page, sample("maze"))
    meter = page.get_by_role("meter", name="great auk")
    expect(meter).to_have_attribute("aria-valuetext", "42.5%")
    expect(card(page, "maze.png").locator(".percent")).to_have_text("42.5%")
    length, whole = meter.evaluate(
        "svg => [svg.firstElementChild, svg].map(each => each.getBoundingClientRect().width)"
    )
    assert length / whole == pytest.approx(0.4249, abs=0.01)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1.0, ">99.9%"), (0.9991, ">99.9%"), (0.998, "99.8%"), (0.001, "0.1%"), (0.0, "<0.1%")],
)
def test_no_probability_is_rounded_to_certainty(page: Page, probability: float, shown: str) -> None:
    answer_auk(page, probability)
    choose(page, sample("maze"))
    expect(card(page, "maze.png").locator(".percent")).to_have_text(shown)


def test_several_pictures_are_classified_each_by_itself(page: Page) -> None:
    names = ["umbrella", "maze", "envelope", "traffic_light", "web_site", "analog_clock"]
    choose(page, *map(sample, names))
    for name in names:
        expect(verdict(page, f"{name}.png")).to_contain_text(name.replace("_", " "))
    expect(page.locator("#progress")).to_have_text("6 of 6 answered")


def test_the_last_chosen_stand_first(page: Page) -> None:
    choose(page, sample("umbrella"))
    choose(page, sample("maze"), sample("envelope"))
    headings = page.get_by_role("heading", level=3)
    expect(headings).to_have_text(["maze.png", "envelope.png", "umbrella.png"])


def test_the_same_file_may_be_chosen_again(page: Page) -> None:
    for count in (1, 2):
        choose(page, sample("umbrella"))
        expect(card(page, "umbrella.png")).to_have_count(count)
        # A browser reports no change where the field already holds the file.
        expect(page.locator("#file")).to_have_value("")


def test_dropped_pictures_are_classified(page: Page) -> None:
    dropped = {"dataTransfer": transfer(page, "maze", "envelope")}
    page.dispatch_event("footer", "dragover", dropped)  # anywhere on the page
    expect(page.locator("body")).to_have_class("dragging")
    page.dispatch_event("footer", "drop", dropped)
    expect(page.locator("body")).to_have_class("")
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    expect(verdict(page, "envelope.png")).to_contain_text("envelope")


def test_what_is_dragged_without_a_file_is_left_to_the_browser(page: Page) -> None:
    left = page.evaluate(
        """() => ["dragover", "drop"].map((name) => document.body.dispatchEvent(
          new DragEvent(name, { dataTransfer: new DataTransfer(), cancelable: true, bubbles: true })
        ))"""
    )
    assert left == [True, True]
    expect(page.locator("#results")).to_be_hidden()


def test_pasted_pictures_are_classified_and_numbered(page: Page) -> None:
    for name in ("umbrella", "maze"):
        page.evaluate(
            """clipboardData => document.body.dispatchEvent(
              new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
            transfer(page, name),
        )
    expect(verdict(page, "pasted-1.png")).to_contain_text("umbrella")
    expect(verdict(page, "pasted-2.png")).to_contain_text("maze")


def test_ctrl_v_pastes_the_picture_on_the_clipboard(visit: Visit) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """transfer => navigator.clipboard.write(
          [new ClipboardItem({ "image/png": transfer.files[0] })])""",
        transfer(page, "envelope"),
    )
    page.keyboard.press("Control+V")
    expect(verdict(page, "pasted-1.png")).to_contain_text("envelope")


def test_a_phone_offers_its_camera(visit: Visit, page: Page) -> None:
    phone = visit(is_mobile=True, has_touch=True, viewport={"width": 360, "height": 740})
    expect(phone.get_by_text("Take a photo")).to_be_visible()
    expect(page.get_by_text("Take a photo")).to_be_hidden()
    phone.locator("#photo[capture=environment]").set_input_files(sample("maze"))
    expect(verdict(phone, "maze.png")).to_contain_text("maze")


def test_a_picture_is_previewed_and_a_format_that_is_not_shown_says_so(page: Page) -> None:
    choose(page, sample("umbrella"), scan())
    expect(page.get_by_alt_text("Preview of umbrella.png")).to_be_visible()
    expect(card(page, "umbrella.png").get_by_text("No preview")).to_be_hidden()
    expect(card(page, "scan.tiff").get_by_text("No preview of this format")).to_be_visible()
    expect(page.get_by_alt_text("Preview of scan.tiff")).to_be_hidden()
    expect(verdict(page, "scan.tiff")).to_contain_text("envelope")


def test_four_requests_run_at_a_time_and_each_answer_shows_at_once(page: Page) -> None:
    held = hold(page)
    choose(page, *(payload(f"{number}.png", sample("maze")["buffer"]) for number in range(6)))
    states = page.locator(".state").filter(visible=True)
    sending, waiting = states.filter(has_text="Sending"), states.filter(has_text="Waiting")
    expect(sending).to_have_count(4)
    expect(waiting).to_have_count(2)
    # The browser hands its requests over a little later than it shows them, in any order.
    for _ in range(100):
        if len(held) == 4:
            break
        page.wait_for_timeout(50)
    assert len(held) == 4
    held[0].continue_()
    answered = page.locator("#cards > li .verdict").filter(has_text="maze")
    expect(answered).to_have_count(1)
    expect(page.locator("#progress")).to_have_text("1 of 6 answered")
    expect(sending).to_have_count(4)
    expect(waiting).to_have_count(1)


def test_a_removed_picture_is_no_longer_sent_and_its_place_is_taken(page: Page) -> None:
    hold(page)
    choose(page, *(payload(f"{number}.png", sample("maze")["buffer"]) for number in range(5)))
    expect(page.get_by_text("Sending …")).to_have_count(4)
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Remove: 0.png").click()
    expect(card(page, "4.png").get_by_text("Sending …")).to_be_visible()
    expect(page.locator("#progress")).to_have_text("0 of 4 answered")


def test_what_a_removed_picture_held_is_let_go(page: Page) -> None:
    choose(page, sample("maze"))
    page.get_by_role("button", name="Heat map: maze.png").click()
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()
    urls = [image.get_attribute("src") for image in card(page, "maze.png").locator("img").all()]
    assert [page.evaluate(IS_SHOWN, url) for url in urls] == [True, True]
    page.get_by_role("button", name="Remove: maze.png").click()
    assert [page.evaluate(IS_SHOWN, url) for url in urls] == [False, False]


def test_all_are_removed_at_once(page: Page) -> None:
    choose(page, sample("umbrella"), notes(), sample("maze"))
    expect(page.locator("#progress")).to_have_text("3 of 3 answered")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#cards > li")).to_have_count(0)
    expect(page.locator("#results")).to_be_hidden()
    expect(page.get_by_role("log")).to_be_empty()
    choose(page, sample("maze"))
    expect(verdict(page, "maze.png")).to_contain_text("maze")

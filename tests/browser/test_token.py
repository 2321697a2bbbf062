"""The token that the page sends where the server wants one."""

from playwright.sync_api import Page, Route, expect

from tests.browser.pictures import card, choose, sample, verdict

TOKEN = "kJ8-right"  # noqa: S105 - of no server
REFUSED = {
    "code": 400,
    "type": "InvalidKeyException",
    "message": "Token Authorization failed. Token either incorrect, expired, or not provided "
    "correctly",
}


def test_a_token_is_asked_for_where_the_server_wants_one(page: Page) -> None:
    def answer(route: Route) -> None:
        if route.request.headers.get("authorization") == f"Bearer {TOKEN}":
            route.continue_()
        else:
            route.fulfill(status=400, json=REFUSED)

    page.route("**/predictions/*", answer)
    page.route("**/explanations/*", answer)
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_hidden()
    choose(page, sample("maze"), sample("umbrella"))
    asked = page.locator("#cards").get_by_text("The server wants a token.")
    expect(asked).to_have_count(2)
    expect(field).to_be_visible()
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("log").get_by_text("The server wants a token.")).to_have_count(4)
    field.fill(TOKEN)
    page.get_by_role("button", name="Use token").click()
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    expect(verdict(page, "umbrella.png")).to_contain_text("umbrella")
    page.get_by_role("button", name="Heat map: maze.png").click()
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()


def test_a_token_is_not_kept(page: Page) -> None:
    page.get_by_text("Access token").click()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Use token").click()
    choose(page, sample("maze"))
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0, 0, "",
    ]  # fmt: skip
    assert TOKEN not in page.url
    page.reload()
    expect(page.get_by_label("Token", exact=True)).to_have_value("")


def test_no_authorization_is_sent_without_a_token(page: Page) -> None:
    with page.expect_request(lambda request: request.method == "POST") as sent:
        choose(page, sample("maze"))
    assert "authorization" not in sent.value.headers

"""What the page cannot do, and where it may be served."""

import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DEADLINE_MS, SETTLE_MS, Visit, Witness
from tests.browser.pictures import choose, payload, sample, verdict
from tests.server.harness import Server

# Each line does what an intruder would do; none of them may come through.
INTRUSIONS = """() => {
  const put = (name, change) =>
    document.body.append(Object.assign(document.createElement(name), change));
  put("script", { textContent: "window.intruded = true" });
  put("div", { innerHTML: "<b style='color: red' onclick='window.intruded = true'>b</b>" });
  put("style", { textContent: "body { color: red }" });
  put("img", { src: "/favicon-of-another.png" });
  put("iframe", { src: "/" });
  put("base", { href: "/elsewhere/" });
  document.querySelector("div > b").click();
  return fetch("http://127.0.0.1:9/").catch(() => window.intruded);
}"""

STOPPED = {
    "script-src-elem", "script-src-attr", "style-src-elem", "style-src-attr",
    "img-src", "frame-src", "base-uri", "connect-src",
}  # fmt: skip


@pytest.mark.parametrize("policy", ["header and document", "document"])
def test_nothing_foreign_runs_or_leaves(
    visit: Visit, witness: Witness, demo_server: Server, policy: str
) -> None:
    page = visit()
    if policy == "document":  # as where a proxy serves the document as a file
        html = page.request.get(demo_server.url, headers={"Accept": "text/html"}).text()
        page.route("**/ui", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(f"{witness.origin}/ui")
    assert witness.incidents == []
    assert page.evaluate(INTRUSIONS) is None
    deadline = time.monotonic() + DEADLINE_MS / 1000
    while (stopped := witness.stopped()) != STOPPED and time.monotonic() < deadline:
        page.wait_for_timeout(SETTLE_MS)
    page.close()  # a frame that is stopped is told of twice, once late
    witness.incidents.clear()
    assert stopped == STOPPED


def test_the_name_of_a_file_is_only_text(page: Page) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    choose(page, payload(name, sample("maze")["buffer"]))
    expect(verdict(page, name)).to_contain_text("maze")


@pytest.mark.parametrize(
    ("served_at", "sent_to"),
    [
        ("/", "/predictions/densenet121"),
        ("/ui/index.html", "/predictions/densenet121"),
        ("/ml/predictions/flowers", "/ml/predictions/flowers"),
        ("/predictions/flowers/1.0", "/predictions/flowers/1.0"),
        ("/predictions/flowers?some=query#part", "/predictions/flowers"),
    ],
)
def test_pictures_go_where_the_page_comes_from(
    visit: Visit, witness: Witness, demo_server: Server, served_at: str, sent_to: str
) -> None:
    page = visit()
    document = page.request.get(demo_server.url, headers={"Accept": "text/html"})

    def answer(route: Route) -> None:
        request = route.request
        if request.method == "GET" and request.is_navigation_request():
            route.fulfill(response=document)
        elif request.method == "POST":  # the model of the server under its own name
            path = request.url.removeprefix(witness.origin)
            asked.append(path)
            kind = "explanations" if "explanations" in path else "predictions"
            url = demo_server.url.replace("/predictions/", f"/{kind}/")
            route.fulfill(response=route.fetch(url=url))
        else:
            route.continue_()

    asked: list[str] = []
    page.route(f"{witness.origin}/**", answer)
    page.goto(f"{witness.origin}{served_at}")
    choose(page, sample("maze"))
    page.get_by_role("button", name="Heat map").click()
    expect(page.locator(".heatmap")).to_be_visible()
    assert asked == [sent_to, sent_to.replace("/predictions/", "/explanations/")]

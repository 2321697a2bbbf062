"""Chromium, and pages of the real server in it that must stay quiet.

`visit` opens a page of its own with the options of a Playwright context. When the test is over,
no page may have logged an error, run into its own policy, or asked another server for anything.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.server.harness import Server

# Nothing but the page: no sandbox in a container, no GPU, no services of the browser's maker.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DEADLINE_MS = 30_000
SETTLE_MS = 20  # events of the page that are on their way when a test is over
# What the browser itself says of each answer with an error status.
STATUS_LINE = "Failed to load resource"
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`Policy: ${event.effectiveDirective} stopped ${event.blockedURI}`));
"""

Visit = Callable[..., Page]


@dataclass
class Witness:
    """What a page did that it should not do."""

    origin: str
    incidents: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.incidents.append(str(error)))
        page.on("request", self._request)

    def stopped(self) -> set[str]:
        """Return the directives of the policy that stopped something."""
        return {text.split()[1] for text in self.incidents if text.startswith("Policy: ")}

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(STATUS_LINE):
            self.incidents.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:")):
            self.incidents.append(f"asked for {request.url}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH")
    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def witness(demo_server: Server) -> Witness:
    address = urlsplit(demo_server.url)
    return Witness(f"{address.scheme}://{address.netloc}")


@pytest.fixture
def visit(chromium: Browser, demo_server: Server, witness: Witness) -> Iterator[Visit]:
    """Return a function `visit(**options) -> Page` that opens the page in a context of its own."""
    contexts = []

    def _visit(**options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(DEADLINE_MS)
        context.add_init_script(REPORT_VIOLATIONS)
        page = context.new_page()
        witness.watch(page)
        # Playwright takes over the file dialogue while somebody listens, and that begins late: a
        # key pressed at once would open the real one.
        page.on("filechooser", lambda _dialogue: None)
        page.goto(demo_server.url)
        return page

    yield _visit
    for context in contexts:
        for page in context.pages:
            page.wait_for_timeout(SETTLE_MS)
        context.close()
    assert witness.incidents == []


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit()

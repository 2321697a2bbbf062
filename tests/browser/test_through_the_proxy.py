"""The page as production serves it: by nginx, over TLS, with real tokens behind and in front."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DEADLINE_MS, REPORT_VIOLATIONS, Witness
from tests.browser.pictures import card, choose, sample, verdict
from tests.proxy.harness import Proxy, running
from tests.server.harness import Server


@pytest.fixture
def proxy(server: Server, tmp_path: Path) -> Iterator[Proxy]:
    """Return a proxy in front of a server that asks for tokens."""
    for program in ("nginx", "openssl"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            pytest.skip(f"{program} is missing")
    made = server.script("make-certificate", str(tmp_path / "certificates"))
    assert made.returncode == 0, made.stderr
    server.write_configuration(disable_token_authorization="false")
    server.serve()
    host = f'name = "one"\nconfiguration = "{server.path}"'
    proxy = Proxy(tmp_path / "proxy", tmp_path / "certificates", [host])
    with running(proxy):
        yield proxy


@pytest.fixture
def page(chromium: Browser, proxy: Proxy) -> Iterator[Page]:
    context = chromium.new_context(ignore_https_errors=True)  # the certificate is self-made
    context.set_default_timeout(DEADLINE_MS)
    context.add_init_script(REPORT_VIOLATIONS)
    page = context.new_page()
    witness = Witness(proxy.url)
    witness.watch(page)
    page.on("filechooser", lambda _dialogue: None)
    page.goto(proxy.url)
    yield page
    context.close()
    assert witness.incidents == []


def test_the_page_asks_for_the_clients_token_and_uses_it(page: Page, proxy: Proxy) -> None:
    choose(page, sample("maze"))
    expect(page.locator("#cards").get_by_text("The server wants a token.")).to_have_count(1)
    page.get_by_label("Token", exact=True).fill(proxy.token)
    page.get_by_role("button", name="Use token").click()
    expect(verdict(page, "maze.png")).to_contain_text("maze")
    page.get_by_role("button", name="Heat map: maze.png").click()
    expect(card(page, "maze.png").locator(".heatmap")).to_be_visible()

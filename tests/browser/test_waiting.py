"""Closing and waiting with a browser: what the page says, and that it never says too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage
from tests.browser.tools import HEIGHT, PHONE, axe_problems, expect, sideways

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.demo_server import DemoServer

pytestmark = pytest.mark.browser

PATIENCE_MS = 8_000


def test_the_page_says_quiet_when_it_is_so_and_only_as_long_as_it_knows(
    new_operator: NewPage, site: DemoServer
) -> None:
    page = new_operator(viewport={"width": PHONE, "height": HEIGHT}, color_scheme="dark")
    page.goto("/admin/")
    page.locator(".backsoon-switch").get_by_role("button", name="Enable Maintenance").click()
    page.get_by_role("dialog").get_by_role("button", name="Enable and wait").click()
    headline = page.locator("[data-backsoon-headline]")
    expect(headline).to_have_text("All quiet. It is safe to begin.", timeout=PATIENCE_MS)
    assert sideways(page) == 0
    assert axe_problems(page) == ""

    def cut(route: Route) -> None:
        route.abort()

    page.route("**/progress.json*", cut)
    expect(headline).to_contain_text("Not known: the server does not answer", timeout=PATIENCE_MS)
    expect(page.locator(".backsoon-workers")).to_have_count(0)
    page.unroute("**/progress.json*", cut)
    expect(headline).to_have_text("All quiet. It is safe to begin.", timeout=PATIENCE_MS)

    expect(page.get_by_role("status").last).to_have_text("All quiet. It is safe to begin.")
    site.open()
    expect(headline).to_have_text(
        "Somebody has switched or extended the closure since.", timeout=PATIENCE_MS
    )
    page.get_by_role("link", name="Look again").click()
    expect(headline).to_have_text("The site is open.")


def test_an_outdated_page_does_not_open_the_closure_of_a_colleague(
    operator: Page, site: DemoServer
) -> None:
    site.close()
    operator.goto("/admin/")
    site.open()
    site.close(reason="mine")
    operator.locator(".backsoon-switch").get_by_role("button", name="Disable Maintenance").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("button", name="Disable Maintenance").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Reload the page to see what is true now")
    operator.goto("/admin/")
    expect(operator.get_by_role("heading", name="Maintenance Mode is Active")).to_be_visible()

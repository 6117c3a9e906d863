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
    expect(page.get_by_text("Do not begin. What is closed stays closed.")).to_be_visible()
    page.unroute("**/progress.json*", cut)
    expect(headline).to_have_text("All quiet. It is safe to begin.", timeout=PATIENCE_MS)

    expect(page.get_by_role("status").last).to_have_text("All quiet. It is safe to begin.")
    expect(page.get_by_role("button", name="Open again")).to_be_visible()
    site.open()
    expect(headline).to_have_text(
        "Somebody has switched or extended the closure since.", timeout=PATIENCE_MS
    )
    expect(page.get_by_role("button", name="Open again")).to_be_hidden()
    expect(page.locator(".backsoon-bar")).to_be_hidden()
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


def test_who_was_overtaken_by_another_closure_is_not_offered_to_open_it(
    operator: Page, site: DemoServer
) -> None:
    site.close()
    operator.goto("/admin/settings/progress/")
    reopen = operator.get_by_role("button", name="Open again")
    expect(reopen).to_be_visible()
    site.open()
    site.close(reason="mine")
    headline = operator.locator("[data-backsoon-headline]")
    expect(headline).to_contain_text("Somebody has switched", timeout=PATIENCE_MS)
    expect(reopen).to_be_hidden()
    operator.get_by_role("link", name="Look again").click()
    expect(headline).to_have_text("All quiet. It is safe to begin.", timeout=PATIENCE_MS)
    expect(reopen).to_be_visible()


@pytest.mark.parametrize(
    ("status", "body", "headline"),
    [
        (503, "", "Not known: the database did not answer. Trying again…"),
        (503, '{"type": "about:blank"}', "Not known: the database did not answer. Trying again…"),
        (200, '{"success": false}', "Not known: the database did not answer. Trying again…"),
        (503, '{"maintenance": {"mode": "closed"}}', "Not known: the server refuses to tell."),
        (403, "", "Not known: the server refuses to tell."),
        (502, "<h1>Bad gateway</h1>", "Not known: the server does not answer. Trying again…"),
    ],
)
def test_the_page_says_why_nothing_is_known(
    operator: Page, site: DemoServer, status: int, body: str, headline: str
) -> None:
    site.close()
    operator.route("**/progress.json*", lambda route: route.fulfill(status=status, body=body))
    operator.goto("/admin/settings/progress/")
    expect(operator.locator("[data-backsoon-headline]")).to_contain_text(headline)
    doubt = operator.locator("[data-backsoon-workers]")
    expect(doubt).to_have_text("Do not begin. What is closed stays closed.")

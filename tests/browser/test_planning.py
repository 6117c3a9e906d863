"""Planning a closure on a phone at night, and what the pages for it are like for everybody."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage
from tests.browser.tools import DESKTOP, HEIGHT, PHONE, SCHEMES, axe_problems, expect, sideways
from tests.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

CALENDAR = "/admin/settings/calendar/"
PLAN = f"{CALENDAR}plan/"
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


def test_a_closure_is_planned_moved_and_cancelled_on_a_phone_without_javascript(
    site: DemoServer, new_operator: NewPage
) -> None:
    page = new_operator(java_script_enabled=False, viewport={"width": PHONE, "height": HEIGHT})
    page.goto("/admin/")
    page.get_by_role("link", name="Plan a closure").click()
    page.get_by_role("button", name=re.compile("night, ", re.IGNORECASE)).first.click()
    page.get_by_label("Maintenance title", exact=False).first.fill(LONG)
    page.get_by_role("button", name="Check", exact=True).click()
    outlook = page.locator("#backsoon-outlook")
    expect(outlook).to_contain_text("2 hours. It opens by itself.")
    expect(outlook).to_contain_text(LONG)
    outlook.get_by_role("button", name="Plan it").click()
    expect(page.locator(".messagelist")).to_contain_text("The closure is planned.")
    page.get_by_role("link", name=re.compile("Edit #")).click()
    page.get_by_label("1 hour", exact=True).check()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(outlook).to_contain_text("1 hour. It opens by itself.")
    outlook.get_by_role("button", name="Change the plan").click()
    expect(page.locator(".messagelist")).to_contain_text("The plan was changed.")
    page.get_by_role("link", name=re.compile("Cancel #")).click()
    page.get_by_role("button", name="Cancel this closure").click()
    expect(page.locator(".messagelist")).to_contain_text("was cancelled")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_pages_of_planning_are_accessible_and_never_wider_than_the_phone(
    site: DemoServer, new_operator: NewPage, scheme: str
) -> None:
    page = new_operator(color_scheme=scheme, viewport={"width": PHONE, "height": HEIGHT})
    page.goto(PLAN)
    fits(page)
    page.get_by_role("button", name=re.compile("night, ", re.IGNORECASE)).first.click()
    page.get_by_label("Maintenance title", exact=False).first.fill(LONG)
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#backsoon-outlook")).to_be_focused()
    fits(page)
    page.locator("#backsoon-outlook").get_by_role("button", name="Plan it").click()
    expect(page.locator(".backsoon-closure", has_text=LONG).first).to_be_visible()
    fits(page)
    page.set_viewport_size({"width": 1280, "height": HEIGHT})
    fits(page)


def fits(page: Page) -> None:
    assert sideways(page) == 0, page.url
    assert axe_problems(page) == ""


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_on_the_card_no_two_ways_to_make_it_last_longer_touch(
    new_operator: NewPage, site: DemoServer, width: int
) -> None:
    site.plan(0, 60)
    page = new_operator(viewport={"width": width, "height": HEIGHT})
    page.goto("/admin/")
    buttons = page.locator(".backsoon-card .backsoon-extend button")
    expect(buttons).to_have_count(3)
    boxes = [box for button in buttons.all() if (box := button.bounding_box()) is not None]
    for one, next_one in pairwise(boxes):
        beside = one["x"] + one["width"] + 8 <= next_one["x"]
        below = one["y"] + one["height"] <= next_one["y"]
        assert beside or below, boxes

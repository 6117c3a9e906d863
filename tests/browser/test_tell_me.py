"""The form "Tell me when you are back", as a visitor with a phone meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import NewPage
from tests.browser.tools import SCHEMES, axe_problems, expect, sideways, stop_clock
from tests.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PHONE_SCREEN = {"width": 320, "height": 640}
BUTTON = "Tell me when you are back"
FIELD = "Your e-mail address"


@pytest.mark.parametrize("scripts", [False, True])
def test_on_a_phone_with_and_without_javascript_it_can_be_filled_in_by_keyboard(
    site: DemoServer, new_person: NewPage, scripts: bool
) -> None:
    site.close()
    page = new_person(viewport=PHONE_SCREEN, java_script_enabled=scripts)
    page.goto("/orders/")
    expect(page.get_by_text("We will write once, when we are back")).to_be_visible()
    expect(page.locator("[name=website]")).to_be_hidden()
    page.get_by_label(FIELD).focus()
    page.keyboard.type("ada@nowhere")  # a browser takes it, a mail server would not
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name=BUTTON)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Please enter an e-mail address")
    expect(page.get_by_label(FIELD)).to_have_value("ada@nowhere")
    expect(page.get_by_label(FIELD)).to_be_focused()
    assert_fits_and_is_accessible(page, scripts)
    page.get_by_label(FIELD).fill("ada@nowhere.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("We will write to you")
    assert_fits_and_is_accessible(page, scripts)


def assert_fits_and_is_accessible(page: Page, scripts: bool) -> None:
    assert sideways(page) == 0
    for scheme in SCHEMES if scripts else ():  # axe itself is a script
        page.emulate_media(color_scheme=scheme)
        assert axe_problems(page) == "", scheme


def test_what_is_being_typed_is_not_lost_and_the_answer_takes_its_visitor_back(
    site: DemoServer, visitor: Page
) -> None:
    site.close()
    stop_clock(visitor)
    visitor.goto("/services/")
    visitor.get_by_label(FIELD).fill("bob@example.com")
    site.save(maintenance_message="One more hour.")
    with visitor.expect_response("**/status.json"):
        visitor.clock.run_for(20_000)
    expect(visitor.get_by_label(FIELD)).to_have_value("bob@example.com")
    visitor.get_by_role("button", name=BUTTON).click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("We will write to you")
    site.open()
    visitor.clock.run_for(20_000)
    expect(visitor.locator("#backsoon-back")).to_have_text("We are back")
    visitor.clock.run_for(1_000)
    visitor.wait_for_url("**/services/")


def test_who_had_sent_a_form_is_taken_back_to_it_and_an_address_is_tried_twice_in_one_language(
    site: DemoServer, visitor: Page
) -> None:
    visitor.goto("/legal/")
    site.close()
    with visitor.expect_navigation():
        visitor.evaluate(
            "document.body.append(Object.assign(document.createElement('form'), "
            "{method: 'post', action: '/orders/new/?product=1', id: 'order'})), order.submit()"
        )
    for address in ("ada@nowhere", "ada@nowhere.example"):
        visitor.get_by_label(FIELD).fill(address)
        with visitor.expect_navigation():
            visitor.get_by_role("button", name=BUTTON).click()
    assert parse_qs(urlsplit(visitor.url).query) == {
        "language": ["en"],
        "next": ["/orders/new/?product=1"],
    }

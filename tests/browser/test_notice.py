"""The banner of planned closures through its life, and a form across a closure, in a browser."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NewPage, log_in
from tests.browser.tools import HEIGHT, PHONE, SCHEMES, axe_problems, expect, sideways

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.demo_server import DemoServer

pytestmark = pytest.mark.browser

A_QUESTION_LATER = "01:20"
"""On the page's clock: it asks every 45 to 75 seconds."""


def stop_the_pages_clock(page: Page) -> None:
    """From now on the page's time goes on only where the test says so.

    The answers of the server say what time it is there; the page must not hear of it.
    """

    def without_date(route: Route) -> None:
        answer = route.fetch()
        kept = {name: value for name, value in answer.headers.items() if name != "date"}
        route.fulfill(status=answer.status, headers=kept, body=answer.body())

    page.route("**/status.json", without_date)
    page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")
    page.clock.install(time=dt.datetime.now(dt.UTC))


def let_it_ask(page: Page, after: int | str = A_QUESTION_LATER) -> None:
    """Let so much time pass that the page asks, and let it understand the answer.

    Only then has it set its clock for the next question.
    """
    heard = page.evaluate("localStorage.getItem('backsoon.heard')")
    page.clock.fast_forward(after)
    page.wait_for_function("heard => localStorage.getItem('backsoon.heard') !== heard", arg=heard)


def test_a_page_left_open_lives_through_a_planned_closure(
    new_person: NewPage, site: DemoServer
) -> None:
    page = new_person(viewport={"width": PHONE, "height": HEIGHT})
    stop_the_pages_clock(page)
    page.goto("/")
    banner = page.locator("[data-backsoon-item]")
    expect(banner).to_have_count(0)

    # Somebody plans: the page hears of it, says it aloud once, and counts down.
    site.plan(40, 30, title="New machines", message="See https://status.example/ for more.")
    let_it_ask(page)
    expect(banner).to_contain_text("New machines")
    expect(banner).to_contain_text("(Europe/Paris)")
    expect(banner).to_contain_text("closes for maintenance in 39 minutes")
    expect(page.locator("[data-backsoon-said]")).to_contain_text("Planned maintenance on")
    page.reload()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert sideways(page) == 0
        assert axe_problems(page) == ""

    # Whoever dismisses it does not see it again, by the keyboard as well…
    button = page.get_by_role("button", name="Dismiss")
    button.focus()
    page.keyboard.press("Enter")
    expect(banner).to_be_hidden()
    page.reload()
    expect(page.locator("[data-ready]")).to_have_count(1)
    expect(banner).to_be_hidden()

    # …until the plan changes, or it comes near.
    site.plan(50, 30)
    let_it_ask(page)
    expect(banner).to_be_visible()
    expect(banner).not_to_contain_text("New machines")
    button.click()
    expect(banner).to_be_hidden()
    let_it_ask(page, "35:00")
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("minutes")

    site.call_off()
    let_it_ask(page)
    expect(banner).to_have_count(0)

    # A closure that nobody planned is told all the same, and so is its end.
    news = page.locator("[data-backsoon-news]")
    site.close()
    let_it_ask(page)
    expect(news).to_have_text(
        "The site has just closed for maintenance. This page says when it is back."
    )
    assert axe_problems(page) == ""
    site.open()
    let_it_ask(page)
    expect(news).to_have_text("We are back. You may have to log in again.")


def test_a_page_that_was_answered_by_a_process_that_had_not_heard_asks_again(
    new_person: NewPage, site: DemoServer
) -> None:
    page = new_person()
    stop_the_pages_clock(page)
    asked = []

    def late(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=200, content_type="text/html", body="")
        else:
            route.continue_()

    page.route("**/notice/?*", late)
    page.goto("/")
    site.plan(40, 30, title="New machines")
    banner = page.locator("[data-backsoon-item]")
    with page.expect_request("**/notice/?*"):
        let_it_ask(page)
    expect(banner).to_have_count(0)
    let_it_ask(page)
    expect(banner).to_contain_text("New machines")


def test_a_page_whose_closure_was_planned_learns_at_its_second(
    new_person: NewPage, site: DemoServer
) -> None:
    page = new_person()
    page.add_init_script("Math.random = () => 0")  # of all pages that are open, the first to ask
    site.plan(5 / 60, 10)
    page.goto("/")
    expect(page.locator("[data-backsoon-countdown]")).to_contain_text("in 10 seconds")
    news = page.locator("[data-backsoon-news]")
    expect(news).to_contain_text("has just closed", timeout=15_000)


def test_a_page_that_asked_too_early_at_the_start_asks_again_soon(
    new_person: NewPage, site: DemoServer
) -> None:
    page = new_person()
    stop_the_pages_clock(page)
    page.add_init_script("Math.random = () => 0.5")
    site.plan(2, 30)
    page.goto("/")
    # By its own clock it has begun, by the site's there are two minutes left.
    let_it_ask(page, "02:10")
    expect(page.locator("[data-backsoon-countdown]")).to_contain_text("is closing")
    site.close()
    let_it_ask(page, 9_000)
    expect(page.locator("[data-backsoon-news]")).to_contain_text("has just closed")


def test_a_form_that_was_sent_into_a_closure_is_there_again_after_it(
    client: Page, site: DemoServer
) -> None:
    page = client
    page.goto("/orders/new/")
    page.locator("[name=product]").select_option(index=2)
    page.locator("[name=quantity]").fill("3")
    page.locator("[name=note]").fill("northlight.example, please")
    product = page.locator("[name=product]").input_value()

    site.close()
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_role("heading", name="We will be back soon")).to_be_visible()
    kept = page.evaluate("JSON.stringify(sessionStorage)")
    assert "northlight.example, please" in kept
    assert "csrf" not in kept

    site.open()
    page.goto("/orders/new/")
    assert "/login/" in page.url  # the closure has ended the login
    log_in(page, "client", "/login/?next=/orders/new/")
    expect(page.locator("[name=note]")).to_have_value("northlight.example, please")
    expect(page.locator("[name=quantity]")).to_have_value("3")
    expect(page.locator("[name=product]")).to_have_value(product)
    note = page.locator(".backsoon-draft-note")
    expect(note).to_contain_text("We kept what you typed before the closure.")
    expect(note).to_contain_text("look whether it arrived")
    page.set_viewport_size({"width": PHONE, "height": HEIGHT})
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert sideways(page) == 0
        assert axe_problems(page) == ""

    # It is not lost by looking, and is forgotten when it was sent.
    page.reload()
    expect(page.locator("[name=quantity]")).to_have_value("3")
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_text("Thank you. Your order was placed.")).to_be_visible()
    page.goto("/orders/new/")
    expect(page.locator("[data-backsoon-drafts][data-ready]")).to_have_count(1)
    expect(page.locator("[name=note]")).to_have_value("")
    expect(note).to_have_count(0)


FORM = """
<form id="kept" data-backsoon-draft><input name="text"><textarea name="long"></textarea>
<input name="agree" type="checkbox" value="yes">
<select name="many" multiple><option>a<option>b</select>
<input name="one" type="radio" value="1"><input name="one" type="radio" value="2">
<input name="secret" type="password"><input name="card" autocomplete="cc-number">
<input name="token" type="hidden" value="server"><input name="own" data-backsoon-no-draft></form>
"""


def test_only_what_may_be_kept_is_put_back_to_the_same_user_and_can_be_discarded(
    new_person: NewPage, site: DemoServer
) -> None:
    page = new_person()
    page.goto("/")

    def serve(user: str, now: int, closed: int = 0) -> None:
        """Show the form to *user* at *now*, by a server that was last closed at *closed*."""
        moments = f'data-now="{now}" data-began="{closed or ""}" data-ended="{closed + 1}"'
        element = (
            f'<div hidden lang="en" data-backsoon-drafts data-user="{user}" {moments}'
            ' data-logins="" data-note="Kept." data-discard="Discard"></div>'
        )
        html = f"<!doctype html><title>A form</title>{FORM}{element}"
        html += f'<script src="{script}"></script>'
        page.route("**/a-form/", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto("/a-form/")

    page.goto("/login/")
    log_in(page, "client")
    page.goto("/orders/new/")
    script = page.locator("script[src*=drafts]").get_attribute("src")
    serve("ann", 1_000)
    for name in ("text", "long", "secret", "card", "own"):
        page.locator(f"[name={name}]").fill(f"my {name}")
    page.locator("[name=agree]").check()
    page.locator("[name=one][value='2']").check()
    page.locator("[name=many]").select_option(["a", "b"])
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    stored = page.evaluate("Object.entries(sessionStorage).filter(([k]) => k.includes('draft'))")
    ((_key, text),) = stored
    assert {field.split("#")[0] for field, _value in json.loads(text)["fields"]} == {
        "text", "long", "agree=yes", "many", "one=1", "one=2",
    }  # fmt: skip

    serve("", 2_000, closed=1_500)  # nobody is logged in: it is not theirs, and waits
    expect(page.locator("[name=text]")).to_have_value("")
    serve("ann", 2_000, closed=1_500)
    expect(page.locator("[name=text]")).to_have_value("my text")
    expect(page.locator("[name=long]")).to_have_value("my long")
    expect(page.locator("[name=many]")).to_have_values(["a", "b"])
    expect(page.locator("[name=agree]")).to_be_checked()
    expect(page.locator("[name=one][value='2']")).to_be_checked()
    for name in ("secret", "card", "own"):
        expect(page.locator(f"[name={name}]")).to_have_value("")
    expect(page.get_by_role("status")).to_have_text("Kept.")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("[name=text]")).to_have_value("")
    expect(page.locator("[name=text]")).to_be_focused()
    serve("ann", 2_000, closed=1_500)
    expect(page.locator("[name=text]")).to_have_value("")

    page.locator("[name=text]").fill("again")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    serve("bob", 3_000, closed=2_500)  # another user: it is not theirs, and goes
    expect(page.locator("[name=text]")).to_have_value("")
    serve("ann", 3_000, closed=2_500)
    expect(page.locator("[name=text]")).to_have_value("")

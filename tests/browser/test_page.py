"""The maintenance page, in each of its states, as a visitor's browser shows it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tests.browser.conftest import NewPage
from tests.browser.tools import PHONE, SCHEMES, axe_problems, expect, sideways, stop_clock
from tests.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page, Request, Route

pytestmark = pytest.mark.browser

LATE = "This is taking longer than planned. We are still on it."
IMAGE = "/static/panel/northlight.svg"
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunternehmen"[:60]
LONG_MESSAGE = ("We are moving the machines, one by one. " * 130)[:5_000].strip()
PHONE_SCREEN = {"width": 320, "height": 640}


def soon() -> str:
    """A moment in forty minutes and a bit."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=40, seconds=30)).isoformat()


def close_plainly(site: DemoServer) -> None:
    site.close()


def close_until_soon(site: DemoServer) -> None:
    site.close(until=soon())


def close_and_be_late(site: DemoServer) -> None:
    site.close(until=soon())
    passed = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=10)
    site.write_by_hand("maintenance_ends_at", passed.isoformat())


def close_with_image(site: DemoServer) -> None:
    site.save(maintenance_image_url=IMAGE)
    site.close()


def close_with_failing_image(site: DemoServer) -> None:
    site.save(maintenance_image_url="/static/nothing-here.png")
    site.close()


def close_with_long_message(site: DemoServer) -> None:
    site.save(maintenance_message=LONG_MESSAGE)
    site.close()


def close_with_long_word(site: DemoServer) -> None:
    site.save(
        maintenance_title=LONG_WORD,
        maintenance_message=f"{LONG_WORD} https://status.example/{'a' * 200}",
        maintenance_button_text=LONG_WORD,
        maintenance_url="https://status.example/",
    )
    site.close()


def close_with_everything(site: DemoServer) -> None:
    site.save(
        maintenance_url="https://status.example/",
        maintenance_button_text="View status",
        maintenance_contact="help@northlight.example",
    )
    site.close(until=soon())


STATES: dict[str, Callable[[DemoServer], None]] = {
    "no-end": close_plainly,
    "end": close_until_soon,
    "late": close_and_be_late,
    "image": close_with_image,
    "failing-image": close_with_failing_image,
    "long-message": close_with_long_message,
    "long-word": close_with_long_word,
    "everything": close_with_everything,
}


# -- In every state -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_in_every_state_the_page_is_accessible_and_fits_a_phone(
    site: DemoServer, new_person: NewPage, state: str
) -> None:
    STATES[state](site)
    page = new_person(viewport=PHONE_SCREEN)
    page.goto("/orders/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert sideways(page) == 0
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert axe_problems(page) == "", scheme


@pytest.mark.parametrize("state", ["end", "late", "everything", "long-word"])
def test_in_forced_colours_the_page_is_accessible(
    site: DemoServer, new_person: NewPage, state: str
) -> None:
    STATES[state](site)
    page = new_person(forced_colors="active")
    page.goto("/orders/")
    # axe takes colours from the style sheet, where the browser does not.
    assert axe_problems(page, without=("color-contrast",)) == ""


def test_one_request_brings_the_whole_page(site: DemoServer, visitor: Page) -> None:
    close_until_soon(site)
    requests: list[str] = []
    visitor.on("request", lambda request: requests.append(request.url))
    visitor.goto("/maintenance/", wait_until="networkidle")
    assert requests == [f"{site.url}/maintenance/"]


def test_the_page_runs_under_its_own_strict_policy(site: DemoServer, visitor: Page) -> None:
    close_until_soon(site)
    answer = visitor.goto("/orders/")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    # Its script has run and its style holds under that policy, or these would not be so.
    expect(visitor.locator("#backsoon-returns")).to_be_visible()
    assert visitor.evaluate("getComputedStyle(document.querySelector('.sign')).borderRadius") == (
        "16px"
    )


# -- What stands where ----------------------------------------------------------------------------


def test_all_that_matters_is_seen_on_a_phone_without_scrolling(
    site: DemoServer, new_person: NewPage
) -> None:
    close_with_everything(site)
    page = new_person(viewport=PHONE_SCREEN)
    page.goto("/orders/")
    parts = [
        page.locator(selector).bounding_box()
        for selector in (".icon", "h1", ".message", "#backsoon-expected", "a.button", ".contact")
    ]
    boxes = [box for box in parts if box is not None]
    assert len(boxes) == len(parts)
    ends = [round(box["y"] + box["height"]) for box in boxes]
    starts = [round(box["y"]) for box in boxes]
    assert starts == sorted(starts)
    assert ends[-1] <= PHONE_SCREEN["height"], ends


def test_the_image_replaces_the_icon(site: DemoServer, visitor: Page) -> None:
    close_with_image(site)
    visitor.goto("/orders/")
    expect(visitor.locator("#backsoon-image")).to_be_visible()
    assert visitor.locator("#backsoon-image").evaluate("image => image.naturalWidth") > 0
    expect(visitor.locator("#backsoon-icon")).to_be_hidden()


def test_the_icon_stands_in_for_an_image_that_cannot_be_loaded(
    site: DemoServer, visitor: Page
) -> None:
    close_with_failing_image(site)
    visitor.goto("/orders/")
    expect(visitor.locator("#backsoon-icon")).to_be_visible()
    expect(visitor.locator("#backsoon-image")).to_be_hidden()


def test_five_thousand_characters_are_all_there(site: DemoServer, new_person: NewPage) -> None:
    close_with_long_message(site)
    page = new_person(viewport=PHONE_SCREEN)
    page.goto("/orders/")
    expect(page.locator(".message")).to_have_text(LONG_MESSAGE)
    page.get_by_role("link", name="Try again").scroll_into_view_if_needed()
    expect(page.get_by_role("link", name="Try again")).to_be_in_viewport()


def test_a_word_of_sixty_letters_stays_on_the_sign(site: DemoServer, new_person: NewPage) -> None:
    close_with_long_word(site)
    page = new_person(viewport=PHONE_SCREEN)
    page.goto("/orders/")
    for selector in ("h1", ".message", "a.button"):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
    overflow = "element => element.scrollWidth - element.clientWidth"
    assert page.locator("h1").evaluate(overflow) <= 0


def test_markup_in_texts_is_shown_as_text(site: DemoServer, visitor: Page) -> None:
    site.save(
        maintenance_title="<img src=x onerror=alert(1)>",
        maintenance_message="<script>alert(2)</script>",
        maintenance_button_text="<b>Go</b>",
        maintenance_url="https://status.example/?a=1&b=<c>",
    )
    site.close()
    opened: list[str] = []

    def note(dialog: Dialog) -> None:
        opened.append(dialog.message)
        dialog.dismiss()

    visitor.on("dialog", note)
    visitor.goto("/orders/")
    expect(visitor.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=alert(1)>")
    expect(visitor.locator(".message")).to_have_text("<script>alert(2)</script>")
    expect(visitor.locator("a.button")).to_have_text("<b>Go</b>")
    assert opened == []


# -- When we expect to be back --------------------------------------------------------------------


def noon_tomorrow() -> dt.datetime:
    """A moment that is ahead for the server and on one date from New York to Paris."""
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return tomorrow.replace(hour=12, minute=0, second=0, microsecond=0)


def plain(text: str | None) -> str:
    """*text* with ordinary spaces: Intl writes narrow ones before AM and PM."""
    return re.sub(r"\s+", " ", text or "").strip()


@pytest.mark.parametrize(
    ("locale", "zone", "expected"),
    [
        ("en-US", "America/New_York", "Expected back at {:%-I:%M %p} (in about 40 minutes)"),
        ("en-GB", "Europe/Paris", "Expected back at {:%H:%M} (in about 40 minutes)"),
        ("fr-FR", "Europe/Paris", "Retour prévu à {:%H:%M} (dans environ 40 minutes)"),
        ("fr-CA", "America/New_York", "Retour prévu à {:%-H h %M} (dans environ 40 minutes)"),
    ],
)
def test_the_expected_end_is_told_in_the_visitors_zone_and_language(
    site: DemoServer, new_person: NewPage, locale: str, zone: str, expected: str
) -> None:
    end = noon_tomorrow()
    site.close(until=end.isoformat())
    page = new_person(locale=locale, timezone_id=zone)
    page.clock.install(time=end - dt.timedelta(minutes=40))
    page.goto("/orders/")
    expect(page.locator("#backsoon-expected")).to_be_visible()
    shown = plain(page.locator("#backsoon-expected").text_content())
    assert shown == expected.format(end.astimezone(ZoneInfo(zone)))


def test_an_end_on_another_day_is_told_with_its_date(site: DemoServer, new_person: NewPage) -> None:
    end = noon_tomorrow()
    site.close(until=end.isoformat())
    page = new_person(timezone_id="Europe/Paris")
    page.clock.install(time=end - dt.timedelta(days=3))
    page.goto("/orders/")
    local = end.astimezone(ZoneInfo("Europe/Paris"))
    shown = plain(page.locator("#backsoon-expected").text_content())
    assert shown.startswith("Expected back on ")
    assert f"{local:%A}" in shown
    assert f"{local.day} {local:%B}" in shown
    assert shown.endswith("(in about 3 days)")


def test_the_countdown_goes_on_until_the_end_has_passed(
    site: DemoServer, new_person: NewPage
) -> None:
    end = noon_tomorrow()
    site.close(until=end.isoformat())
    page = new_person()
    # From the server the page would learn how wrong this clock is.
    page.route("**/status.json", lambda route: route.abort())
    page.clock.install(time=end - dt.timedelta(minutes=5))
    page.goto("/orders/")
    expect(page.locator("#backsoon-expected")).to_contain_text("in about 5 minutes")
    page.clock.run_for(3 * 60_000)
    expect(page.locator("#backsoon-expected")).to_contain_text("in about 2 minutes")
    page.clock.run_for(3 * 60_000)
    expect(page.locator("#backsoon-expected")).to_be_hidden()
    expect(page.locator("#backsoon-late")).to_have_text(LATE)


def test_a_clock_that_is_wrong_is_set_right_by_the_server(
    site: DemoServer, new_person: NewPage
) -> None:
    site.close(until=soon())
    page = new_person()
    page.add_init_script("Math.random = () => 0.5")
    page.clock.install(time=dt.datetime.now(dt.UTC) - dt.timedelta(hours=3))
    page.goto("/orders/")
    expect(page.locator("#backsoon-expected")).to_contain_text("in about 4 hours")
    with page.expect_response("**/status.json"):
        page.clock.run_for(20_000)
    # The text is written anew every half minute.
    page.clock.run_for(9_000)
    page.clock.run_for(9_000)
    expect(page.locator("#backsoon-expected")).to_contain_text("in about 40 minutes")


def test_a_late_end_is_admitted(site: DemoServer, visitor: Page) -> None:
    close_and_be_late(site)
    visitor.goto("/orders/")
    expect(visitor.get_by_text(LATE)).to_be_visible()
    expect(visitor.get_by_text("Expected back")).to_have_count(0)


# -- How the page takes its visitors back ---------------------------------------------------------


def test_a_page_that_is_told_something_new_shows_it(site: DemoServer, visitor: Page) -> None:
    site.close()
    stop_clock(visitor)
    visitor.goto("/orders/")
    site.save(maintenance_message="One more hour.")
    visitor.clock.run_for(20_000)
    expect(visitor.locator(".message")).to_have_text("One more hour.")


def test_the_page_outlives_a_server_that_does_not_answer(site: DemoServer, visitor: Page) -> None:
    site.close()
    stop_clock(visitor)
    asked: list[Request] = []

    def fail(route: Route) -> None:
        asked.append(route.request)
        route.abort()

    visitor.route("**/status.json", fail)
    visitor.goto("/?from=newsletter")
    # It asks less and less often: 20, 40, 80 seconds, where a question may be seen one step late.
    assert seconds_until(visitor, lambda: len(asked) == 1) >= 18
    assert seconds_until(visitor, lambda: len(asked) == 2) >= 38
    assert seconds_until(visitor, lambda: len(asked) == 3) >= 78
    visitor.unroute("**/status.json")
    site.open()
    seconds_until(visitor, lambda: visitor.url == f"{site.url}/?from=newsletter")


def seconds_until(page: Page, happens: Callable[[], bool]) -> int:
    """Let the page's time go on, second by second, until something happens; how long it took."""
    for seconds in range(1, 601):
        page.clock.run_for(1_000)
        if happens():
            return seconds
    raise AssertionError("It did not happen within ten minutes of the page's time.")


def test_visitors_can_try_again_by_hand(site: DemoServer, visitor: Page) -> None:
    site.close()
    visitor.goto("/?from=newsletter")
    visitor.get_by_role("link", name="Try again").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("We will be back soon")
    site.open()
    visitor.get_by_role("link", name="Try again").click()
    visitor.wait_for_url(f"{site.url}/?from=newsletter")


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_the_page_takes_nobody_to_another_site(
    site: DemoServer, visitor: Page, target: str
) -> None:
    site.close()
    visitor.goto(f"/maintenance/?next={target}")
    site.open()
    visitor.get_by_role("link", name="Try again").click()
    visitor.wait_for_url(f"{site.url}/")


# -- With less ------------------------------------------------------------------------------------


def test_without_javascript_everything_can_be_read(site: DemoServer, new_person: NewPage) -> None:
    close_with_everything(site)
    page = new_person(java_script_enabled=False)
    page.goto("/orders/")
    expect(page.get_by_role("heading", level=1)).to_have_text("We will be back soon")
    expect(page.locator(".message")).to_contain_text("We are carrying out maintenance")
    local = dt.datetime.fromisoformat(soon()).astimezone(ZoneInfo("Europe/Paris"))
    expect(page.locator(".expected time")).to_contain_text(
        re.compile(f"{local:%H}:\\d\\d {local:%Z}")
    )
    expect(page.get_by_role("link", name="View status")).to_be_visible()
    expect(page.get_by_role("link", name="help@northlight.example")).to_be_visible()
    expect(page.locator(".icon")).to_be_visible()
    # It would not be true.
    expect(page.get_by_text("This page takes you back by itself")).to_be_hidden()
    site.open()
    page.get_by_role("link", name="Try again").click()
    page.wait_for_url(f"{site.url}/login/?next=/orders/")


def test_printed_the_page_is_a_plain_note(site: DemoServer, visitor: Page) -> None:
    close_with_everything(site)
    visitor.goto("/orders/")
    visitor.emulate_media(media="print")
    expect(visitor.get_by_role("heading", level=1)).to_be_visible()
    expect(visitor.locator(".expected").first).to_be_visible()
    expect(visitor.locator("footer")).to_be_hidden()
    assert visitor.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    after = visitor.evaluate(
        "getComputedStyle(document.querySelector('.button'), '::after').content"
    )
    assert "https://status.example/" in after or "attr(href)" in after


def test_in_forced_colours_the_button_keeps_an_edge(site: DemoServer, new_person: NewPage) -> None:
    close_with_everything(site)
    page = new_person(forced_colors="active")
    page.goto("/orders/")
    style: dict[str, Any] = page.locator("a.button").evaluate(
        """element => {
            const { borderTopWidth, borderTopColor, color, backgroundColor } =
                getComputedStyle(element);
            return { width: borderTopWidth, edge: borderTopColor, ink: color,
                     paper: backgroundColor };
        }"""
    )
    assert style["width"] == "1px"
    assert style["edge"] == style["ink"] != style["paper"]


@pytest.mark.parametrize(("motion", "animation"), [("reduce", "none"), ("no-preference", "sway")])
def test_the_sign_sways_only_where_motion_is_welcome(
    site: DemoServer, new_person: NewPage, motion: str, animation: str
) -> None:
    site.close()
    page = new_person(reduced_motion=motion)
    page.goto("/orders/")
    name = page.evaluate("getComputedStyle(document.querySelector('main')).animationName")
    assert name == animation

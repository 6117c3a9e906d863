"""The operator's card, pages and badge: by keyboard, without JavaScript, by two people at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import NewPage, cookies_of
from tests.browser.tools import HEIGHT, PHONE, SCHEMES, WIDTHS, axe_problems, expect, sideways
from tests.demo_server import DemoServer

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator, Page

pytestmark = pytest.mark.browser

SETTINGS = "/admin/settings/?group=maintenance"
CONFIRM = "/admin/settings/maintenance/"
HISTORY = "/admin/backsoon/change/"
PAGES = ("/admin/", SETTINGS, CONFIRM, HISTORY)
SITE_PAGES = ("/", "/services/", "/orders/", "/orders/new/", "/profile/")

ONLINE = "System is Online"
ACTIVE = "Maintenance Mode is Active"


def card(page: Page) -> Locator:
    """The heading of the card."""
    return page.locator("#backsoon-state")


def message_field(page: Page) -> Locator:
    """The main text of the message."""
    return page.get_by_label("Maintenance message", exact=True)


def save(page: Page) -> None:
    """Press Save."""
    page.get_by_role("button", name="Save", exact=True).click()


def tab_to(page: Page, target: Locator, presses: int = 80) -> None:
    """Press Tab until *target* has the focus."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{presses} times Tab did not lead there.")


@pytest.fixture
def second_operator(new_person: NewPage, site: DemoServer) -> Page:
    """`support`, of the group Administrators, in another browser."""
    page = new_person()
    page.context.add_cookies(cookies_of("support", site))
    return page


# -- Keyboard -------------------------------------------------------------------------------------


def test_the_site_can_be_closed_and_opened_with_the_keyboard_alone(operator: Page) -> None:
    operator.goto("/admin/")
    for button, outcome in (("Enable Maintenance", ACTIVE), ("Disable Maintenance", ONLINE)):
        tab_to(operator, operator.locator(".backsoon-switch").get_by_role("button", name=button))
        operator.keyboard.press("Enter")
        dialog = operator.get_by_role("dialog")
        expect(dialog).to_be_visible()
        confirm = dialog.get_by_role("button", name=button)
        if not confirm.evaluate("element => element === document.activeElement"):
            tab_to(operator, confirm, presses=5)
        operator.keyboard.press("Enter")
        expect(card(operator)).to_have_text(outcome)


def test_the_dialog_begins_at_a_harmless_place_and_escape_leaves_it(operator: Page) -> None:
    operator.goto("/admin/")
    button = operator.locator(".backsoon-switch").get_by_role("button")
    button.press("Enter")
    dialog = operator.get_by_role("dialog")
    expect(dialog).to_be_visible()
    confirm = dialog.get_by_role("button", name="Enable Maintenance")
    expect(confirm).not_to_be_focused()
    operator.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_the_focus_can_be_seen(operator: Page) -> None:
    operator.goto("/admin/")
    button = operator.locator(".backsoon-switch").get_by_role("button")
    resting = looks(button)
    tab_to(operator, button)
    assert looks(button) != resting


def looks(element: Locator) -> Any:
    """The parts of an element's style in which a focus shows."""
    return element.evaluate(
        "e => { const s = getComputedStyle(e);"
        " return [s.outlineStyle, s.outlineWidth, s.boxShadow, s.backgroundColor, s.borderColor]; }"
    )


# -- Without JavaScript ---------------------------------------------------------------------------


def test_without_javascript_a_page_asks_what_the_dialog_asks(
    site: DemoServer, new_operator: NewPage
) -> None:
    page = new_operator(java_script_enabled=False)
    page.goto("/admin/")
    page.get_by_role("button", name="Enable Maintenance").click()
    expect(page).to_have_url(re.compile(re.escape(CONFIRM)))
    expect(page.locator(".backsoon-consequences li")).to_have_text(
        [
            "Visitors will see the maintenance page at once.",
            "All ordinary users are logged out.",
            "Administrators keep working.",
        ]
    )
    page.get_by_label("Reason").fill("New disks")
    page.get_by_role("button", name="Enable Maintenance").click()
    expect(page.locator(".messagelist")).to_contain_text("Maintenance mode enabled")
    expect(card(page)).to_have_text(ACTIVE)
    expect(page.locator(".backsoon-card")).to_contain_text("New disks")
    page.get_by_role("button", name="Disable Maintenance").click()
    page.get_by_role("button", name="Disable Maintenance").click()
    expect(page.locator(".messagelist")).to_contain_text("Maintenance mode disabled")
    expect(card(page)).to_have_text(ONLINE)


def test_without_javascript_the_settings_can_be_saved(
    site: DemoServer, new_operator: NewPage
) -> None:
    page = new_operator(java_script_enabled=False)
    page.goto(SETTINGS)
    page.get_by_label("Maintenance mode", exact=True).check()
    message_field(page).fill("Two hours.")
    save(page)
    expect(page.locator(".messagelist")).to_contain_text("Saved. Maintenance mode enabled")
    expect(message_field(page)).to_have_value("Two hours.")
    expect(page.locator(".backsoon-count").first).to_have_text("At most 5000 characters.")


# -- The dialog when something is wrong -----------------------------------------------------------


def test_the_dialog_says_that_the_server_did_not_answer(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    operator.route("**/toggle-maintenance/", lambda route: route.abort())
    operator.get_by_role("button", name="Enable Maintenance").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("button", name="Enable Maintenance").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The server did not answer.")
    expect(dialog.get_by_role("button", name="Enable Maintenance")).to_be_enabled()
    operator.unroute("**/toggle-maintenance/")
    dialog.get_by_role("button", name="Enable Maintenance").click()
    expect(card(operator)).to_have_text(ACTIVE)


def test_the_dialog_says_that_the_permission_is_gone(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    operator.context.clear_cookies(name="sessionid")
    operator.get_by_role("button", name="Enable Maintenance").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("button", name="Enable Maintenance").click()
    expect(dialog.get_by_role("alert")).to_contain_text("You lack the permission")


def test_the_dialog_shows_that_it_is_working(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    held: list[Any] = []
    operator.route("**/toggle-maintenance/", lambda route: held.append(route))
    operator.get_by_role("button", name="Enable Maintenance").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_role("button", name="Enable Maintenance").click()
    expect(dialog.get_by_role("status")).to_have_text("Working…")
    expect(dialog.get_by_role("button", name="Enable Maintenance")).to_be_disabled()
    operator.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    held[0].continue_()
    expect(card(operator)).to_have_text(ACTIVE)


# -- The settings' form ---------------------------------------------------------------------------


def test_typed_text_is_not_lost_without_a_warning(site: DemoServer, operator: Page) -> None:
    operator.goto(SETTINGS)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    operator.on("dialog", stay)
    message_field(operator).fill("Two hours.")
    operator.locator(".backsoon-filter").get_by_role("link", name="All").click(no_wait_after=True)
    expect(message_field(operator)).to_have_value("Two hours.")
    assert asked == ["beforeunload"]
    save(operator)
    expect(operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    operator.locator(".backsoon-filter").get_by_role("link", name="All").click()
    operator.wait_for_url("**/admin/settings/")
    assert asked == ["beforeunload"]


def test_characters_are_counted_while_they_are_typed(operator: Page) -> None:
    operator.goto(SETTINGS)
    field = message_field(operator)
    count = operator.locator(f"#{field.get_attribute('id')}_count")
    field.fill("Two hours.")
    expect(count).to_have_text("10 of 5,000 characters")
    field.fill("🙂" * 3)
    expect(count).to_have_text("3 of 5,000 characters")
    field.fill("x" * 5_001)
    expect(count).to_have_text("5,001 of 5,000 characters: too long")


def test_an_error_stands_at_its_field_and_nothing_typed_is_lost(
    site: DemoServer, operator: Page
) -> None:
    operator.goto(SETTINGS)
    message_field(operator).fill("Two hours.")
    address = operator.get_by_label("Maintenance URL", exact=True)
    address.fill("javascript:alert(1)")
    save(operator)
    summary = operator.locator("#backsoon-problems")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Nothing was saved.")
    expect(address).to_have_value("javascript:alert(1)")
    expect(message_field(operator)).to_have_value("Two hours.")
    described = (address.get_attribute("aria-describedby") or "").split()
    errors = operator.locator(f"#{address.get_attribute('id')}_errors")
    expect(errors).to_contain_text("http:// or https://")
    assert errors.get_attribute("id") in described
    expect(address).to_have_attribute("aria-invalid", "true")
    summary.get_by_role("link", name="Maintenance URL").click()
    expect(address).to_be_focused()


def test_the_message_too_long_is_refused_and_kept(site: DemoServer, operator: Page) -> None:
    operator.goto(SETTINGS)
    message_field(operator).fill("x" * 5_001)
    save(operator)
    expect(operator.locator("#backsoon-problems")).to_contain_text("at most 5000 characters")
    expect(message_field(operator)).to_have_value("x" * 5_001)


def test_of_two_operators_the_second_is_told_and_loses_nothing(
    site: DemoServer, operator: Page, second_operator: Page
) -> None:
    operator.goto(SETTINGS)
    second_operator.goto(SETTINGS)
    message_field(operator).fill("Two hours, says Ada.")
    save(operator)
    expect(operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    message_field(second_operator).fill("Three hours, says Sam.")
    save(second_operator)
    expect(second_operator.locator("#backsoon-problems")).to_be_visible()
    expect(message_field(second_operator)).to_have_value("Three hours, says Sam.")
    field_id = message_field(second_operator).get_attribute("id")
    note = second_operator.locator(f"#{field_id}_notes")
    expect(note).to_contain_text("Two hours, says Ada.")
    expect(note).to_contain_text("admin")
    save(second_operator)
    expect(second_operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    operator.reload()
    expect(message_field(operator)).to_have_value("Three hours, says Sam.")


def test_what_two_operators_change_at_different_places_is_merged(
    site: DemoServer, operator: Page, second_operator: Page
) -> None:
    operator.goto(SETTINGS)
    second_operator.goto(SETTINGS)
    message_field(operator).fill("Two hours.")
    save(operator)
    expect(operator.locator(".messagelist")).to_be_visible()
    second_operator.get_by_label("Contact", exact=True).fill("help@example.com")
    save(second_operator)
    expect(second_operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    expect(message_field(second_operator)).to_have_value("Two hours.")


def test_of_two_operators_who_switch_the_second_is_told(
    site: DemoServer, operator: Page, second_operator: Page
) -> None:
    operator.goto(CONFIRM)
    second_operator.goto(CONFIRM)
    for page in (operator, second_operator):
        page.get_by_label("Reason").fill("New disks")
        page.get_by_role("button", name="Enable Maintenance").click()
    expect(card(operator)).to_have_text(ACTIVE)
    expect(second_operator.get_by_role("alert")).to_contain_text("admin switched in the meantime")
    expect(second_operator.get_by_label("Reason")).to_have_value("New disks")


def test_the_preview_shows_what_is_typed_and_stores_nothing(
    site: DemoServer, operator: Page
) -> None:
    operator.goto(SETTINGS)
    message_field(operator).fill("A draft.")
    with operator.context.expect_page() as opened:
        operator.get_by_role("button", name="Preview").click()
    preview = opened.value
    expect(preview.locator(".message")).to_have_text("A draft.")
    expect(preview.get_by_text("Preview", exact=True)).to_be_visible()
    preview.close()
    again = operator.context.new_page()
    again.goto(SETTINGS)
    expect(message_field(again)).to_have_value(re.compile("^We are carrying out maintenance"))


def test_the_texts_of_another_language_are_saved(site: DemoServer, operator: Page) -> None:
    operator.goto(SETTINGS)
    operator.get_by_text("Maintenance message in other languages").click()
    french = operator.get_by_label(
        re.compile(r"Maintenance message:\s*(French|français)", re.IGNORECASE)
    )
    french.fill("Encore deux heures.")
    save(operator)
    expect(operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    expect(french).to_have_value("Encore deux heures.")


# -- Looks ----------------------------------------------------------------------------------------


def are_accessible(page: Page, *, without: tuple[str, ...] = ()) -> None:
    """Fail where axe finds anything on the page as it is now, in light or in dark."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert axe_problems(page, without=without) == "", scheme


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("path", PAGES)
def test_our_parts_of_the_admin_are_accessible_and_fit_every_screen(
    site: DemoServer, operator: Page, path: str, closed: bool
) -> None:
    if closed:
        site.close(reason="A reason that is rather long, as reasons are when somebody has time")
    operator.goto(path)
    for width in reversed(WIDTHS):
        operator.set_viewport_size({"width": width, "height": HEIGHT})
        assert sideways(operator) == 0, width
    are_accessible(operator)


def test_the_dialog_and_a_form_with_errors_are_accessible(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    operator.get_by_role("button", name="Enable Maintenance").click()
    expect(operator.get_by_role("dialog")).to_be_visible()
    are_accessible(operator)
    operator.goto(SETTINGS)
    operator.get_by_label("Maintenance URL", exact=True).fill("nowhere")
    save(operator)
    expect(operator.locator("#backsoon-problems")).to_be_visible()
    are_accessible(operator)


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_pages_of_the_site_are_accessible_with_and_without_the_badge(
    site: DemoServer, new_operator: NewPage, closed: bool
) -> None:
    if closed:
        site.close()
    page = new_operator(viewport={"width": PHONE, "height": HEIGHT})
    for path in SITE_PAGES:
        page.goto(path)
        expect(page.locator("[data-backsoon-bar]")).to_have_count(1 if closed else 0)
        assert sideways(page) == 0, path
        are_accessible(page)


@pytest.mark.parametrize(
    ("path", "missing"),
    [("/login/", ()), ("/admin/login/", ("page-has-heading-one",))],  # Django's own lacks one
    ids=["login", "admin-login"],
)
def test_the_login_pages_are_accessible_also_with_the_notice(
    site: DemoServer, new_person: NewPage, path: str, missing: tuple[str, ...]
) -> None:
    page = new_person(viewport={"width": PHONE, "height": HEIGHT})
    page.goto(path)
    are_accessible(page, without=missing)
    site.close()
    page.goto(path)
    expect(page.locator("[data-backsoon-bar]")).to_be_visible()
    are_accessible(page, without=missing)
    assert sideways(page) == 0


def test_state_is_told_in_words_and_by_a_mark(site: DemoServer, operator: Page) -> None:
    marks = (
        "e => { const s = getComputedStyle(e, '::before'); return [s.content, s.backgroundImage]; }"
    )
    operator.goto("/admin/")
    expect(card(operator)).to_have_text(ONLINE)
    expect(operator.locator(".backsoon-dot")).to_be_visible()
    before = operator.locator(".backsoon-card").evaluate(marks)
    site.close()
    operator.reload()
    expect(card(operator)).to_have_text(ACTIVE)
    assert operator.locator(".backsoon-card").evaluate(marks) != before


# -- The badge ------------------------------------------------------------------------------------


def test_the_badge_is_folded_up_and_comes_back_on_the_next_page(
    site: DemoServer, operator: Page
) -> None:
    site.close()
    operator.goto("/services/")
    link = operator.locator(".backsoon-badge").get_by_role("link", name="Open again")
    expect(link).to_be_visible()
    operator.locator(".backsoon-badge summary").click()
    expect(link).to_be_hidden()
    operator.get_by_role("link", name="Orders", exact=True).click()
    operator.wait_for_url("**/orders/")
    expect(link).to_be_visible()


def test_the_badge_covers_nothing(site: DemoServer, operator: Page) -> None:
    site.close()
    operator.goto("/services/")
    badge = operator.locator(".backsoon-badge").bounding_box()
    header = operator.locator("header.top").bounding_box()
    assert badge is not None
    assert header is not None
    assert badge["y"] == 0
    assert header["y"] >= badge["y"] + badge["height"]


def test_the_badge_leads_to_opening_the_site(site: DemoServer, operator: Page) -> None:
    site.close()
    operator.goto("/services/")
    operator.locator(".backsoon-badge").get_by_role("link", name="Open again").click()
    operator.get_by_role("button", name="Disable Maintenance").click()
    expect(card(operator)).to_have_text(ONLINE)
    site.settle_now()
    operator.goto("/services/")
    expect(operator.locator(".backsoon-badge")).to_have_count(0)


# -- History --------------------------------------------------------------------------------------


def test_the_history_tells_who_changed_what(site: DemoServer, operator: Page) -> None:
    operator.goto(CONFIRM)
    operator.get_by_label("Reason").fill("New disks")
    operator.get_by_role("button", name="Enable Maintenance").click()
    expect(card(operator)).to_have_text(ACTIVE)
    operator.get_by_role("link", name="History").first.click()
    first = operator.locator("#result_list tbody tr").first
    expect(first).to_contain_text("admin")
    expect(first).to_contain_text("New disks")
    expect(
        operator.locator("#content").get_by_role("link", name=re.compile("Add|Delete"))
    ).to_have_count(0)

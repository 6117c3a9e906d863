"""The setup guide in a real browser: its five steps, and each line of its checklist.

The guide's own words stand above the tests that do what they say. English and French, wherever
there are words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import NewPage, log_in
from tests.browser.tools import HEIGHT, LOCALES, WIDTHS, expect, said, sideways, stop_clock
from tests.demo_server import DemoServer, environment, manage

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LANGUAGES = sorted(LOCALES)
MESSAGE = "We're upgrading our systems to serve you better. We'll be back in 2 hours!"
PLACES = ("/", "/services/", "/services/status/", "/orders/", "/orders/new/", "/profile/")


def card_says(page: Page, text: str, language: str = "en") -> None:
    """The card on top of the dashboard has this heading."""
    expect(page.locator("#backsoon-state")).to_have_text(said(text, language))


def switch_on_dashboard(page: Page, button: str, language: str = "en") -> None:
    """Click the card's button and confirm."""
    page.locator(".backsoon-card").get_by_role("button", name=said(button, language)).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=said(button, language)).click()


def switch_in_settings(page: Page, *, on: bool, language: str = "en") -> None:
    """Go to the settings, filter by the group, move the switch and save."""
    page.goto("/admin/settings/")
    page.locator(".backsoon-filter").get_by_role("link", name="Maintenance").click()
    page.wait_for_url("**/admin/settings/?group=maintenance")
    page.get_by_label(said("Maintenance mode", language), exact=True).set_checked(on)
    page.get_by_role("button", name=said("Save", language), exact=True).click()


def is_turned_away(page: Page, path: str) -> bool:
    """Whether a visit to *path* ends at the maintenance page."""
    answer = page.goto(path)
    assert answer is not None
    return (answer.status, urlsplit(page.url).path) == (503, "/maintenance/")


FIRST_QUESTION = 20_000
"""After so many milliseconds the page asks; chance, which a test stops, adds or takes 30 %."""


# -- Step 1: Initialize Default Settings ---------------------------------------------------------


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `init_default_settings` says in a new database: at first, and once more."""
    env = environment(tmp_path_factory.mktemp("new"))
    manage(env, "migrate", "--verbosity", "0")
    return {
        "first": manage(env, "init_default_settings").stdout,
        "second": manage(env, "init_default_settings").stdout,
        "state": manage(env, "maintenance", "status").stdout,
    }


def test_step_1_the_command_says_which_settings_it_made(first_run: dict[str, str]) -> None:
    assert "Made 9 settings" in first_run["first"]
    assert "maintenance_mode" in first_run["first"]
    assert "maintenance_message" in first_run["first"]


def test_step_1_maintenance_is_disabled_by_default(first_run: dict[str, str]) -> None:
    assert first_run["state"].startswith("Maintenance is off")


def test_step_1_run_again_the_command_changes_nothing(first_run: dict[str, str]) -> None:
    assert "All settings were there already; none was changed." in first_run["second"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_1_a_default_message_is_included(
    site: DemoServer, new_person: NewPage, language: str
) -> None:
    site.close()
    page = new_person(locale=LOCALES[language])
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        {"en": "We will be back soon", "fr": "Nous revenons très vite"}[language]
    )
    expect(page.locator(".message")).to_contain_text(
        {"en": "We are carrying out maintenance", "fr": "Nous effectuons une opération de"}[
            language
        ]
    )


# -- Step 2, option A: Enable from Admin Dashboard ------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_2a_an_admin_enables_maintenance_on_the_dashboard(
    site: DemoServer, new_person: NewPage, language: str
) -> None:
    page = new_person(locale=LOCALES[language])
    log_in(page, "admin", "/admin/login/?next=/admin/")  # 1. Login as an admin user
    expect(page).to_have_url(f"{site.url}/admin/")  # 2. Navigate to: Admin Dashboard
    card_says(page, "System is Online", language)  # 3. You'll see a "System is Online" card
    page.evaluate("window.seenBefore = true")
    switch_on_dashboard(page, "Enable Maintenance", language)  # 4. and 5.
    # 6. The page will reload showing "Maintenance Mode is Active"
    card_says(page, "Maintenance Mode is Active", language)
    assert page.evaluate("window.seenBefore") is None


def test_step_2a_the_card_stands_at_the_top(operator: Page) -> None:
    operator.goto("/admin/")
    card = operator.locator(".backsoon-card").bounding_box()
    applications = operator.locator("#content-main").bounding_box()
    assert card is not None
    assert applications is not None
    assert card["y"] + card["height"] <= applications["y"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_2a_the_dialog_says_what_will_happen(new_operator: NewPage, language: str) -> None:
    page = new_operator(locale=LOCALES[language])
    page.goto("/admin/")
    name = said("Enable Maintenance", language)
    page.locator(".backsoon-card").get_by_role("button", name=name).click()
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_have_text(
        {
            "en": [
                "Visitors will see the maintenance page at once.",
                "All ordinary users are logged out.",
                "Administrators keep working.",
            ],
            "fr": [
                "Les visiteurs verront aussitôt la page de maintenance.",
                "Tous les utilisateurs ordinaires sont déconnectés.",
                "Les administrateurs continuent à travailler.",
            ],
        }[language]
    )


def test_step_2a_without_the_confirmation_nothing_happens(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    operator.locator(".backsoon-card").get_by_role("button", name="Enable Maintenance").click()
    operator.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(operator.get_by_role("dialog")).to_be_hidden()
    operator.reload()
    card_says(operator, "System is Online")


# -- Step 2, option B: Enable from Settings Page --------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_2b_an_admin_enables_maintenance_in_the_settings(
    new_operator: NewPage, language: str
) -> None:
    page = new_operator(locale=LOCALES[language])
    switch_in_settings(page, on=True, language=language)
    expect(page.locator(".messagelist")).to_contain_text(
        said("Saved. Maintenance mode enabled", language)
    )
    page.goto("/admin/")
    card_says(page, "Maintenance Mode is Active", language)


def test_step_2b_the_filter_shows_the_settings_of_the_group_alone(operator: Page) -> None:
    operator.goto("/admin/settings/")
    expect(operator.get_by_label("Site name")).to_be_visible()
    operator.get_by_role("navigation", name="Filter").get_by_role(
        "link", name="Maintenance"
    ).click()
    expect(operator.get_by_label("Maintenance message", exact=True)).to_be_visible()
    expect(operator.get_by_label("Site name")).to_have_count(0)


# -- Step 3: Test User Experience -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/services/", "/orders/"])
def test_step_3_a_visitor_is_redirected_to_the_maintenance_page(
    site: DemoServer, visitor: Page, path: str
) -> None:
    site.close()
    visitor.goto(path)
    expect(visitor).to_have_url(f"{site.url}/maintenance/?next={path}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_3_the_custom_message_appears(
    site: DemoServer, new_person: NewPage, language: str
) -> None:
    french = "Nous mettons nos systèmes à jour. De retour dans 2 heures !"
    site.save(maintenance_message={"": MESSAGE, "fr": french})
    site.close()
    page = new_person(locale=LOCALES[language])
    page.goto("/services/")
    expect(page.locator(".message")).to_have_text({"en": MESSAGE, "fr": french}[language])


def test_step_3_no_other_page_can_be_reached(site: DemoServer, visitor: Page) -> None:
    site.close()
    for path in (*PLACES, "/admin/", "/admin/settings/", "/nowhere/"):
        assert is_turned_away(visitor, path), path


def test_step_3_a_customer_who_was_logged_in_before_is_turned_away(
    site: DemoServer, client: Page
) -> None:
    client.goto("/orders/")
    expect(client).to_have_url(f"{site.url}/orders/")
    site.close()
    assert [is_turned_away(client, path) for path in PLACES] == [True] * len(PLACES)


def test_step_3_a_customer_is_logged_out_also_without_coming_by(
    site: DemoServer, client: Page
) -> None:
    site.close()
    site.open()
    client.goto("/orders/")
    expect(client).to_have_url(f"{site.url}/login/?next=/orders/")


def test_step_3_the_page_takes_a_visitor_back_to_where_they_were_going(
    site: DemoServer, visitor: Page
) -> None:
    site.close()
    stop_clock(visitor)
    visitor.goto("/?from=newsletter")
    expect(visitor.get_by_text("This page takes you back by itself")).to_be_visible()
    site.open()
    visitor.clock.run_for(FIRST_QUESTION)
    expect(visitor.get_by_text("We are back", exact=True)).to_be_visible()
    visitor.clock.run_for(2_000)
    visitor.wait_for_url(f"{site.url}/?from=newsletter")
    expect(visitor.get_by_role("heading", level=1)).to_have_text(
        "Hosting that stays out of your way"
    )


def test_step_3_while_the_site_stays_closed_the_page_stays(site: DemoServer, visitor: Page) -> None:
    site.close()
    stop_clock(visitor)
    visitor.goto("/services/")
    visitor.evaluate("window.seenBefore = true")
    with visitor.expect_response("**/maintenance/status.json") as asked:
        visitor.clock.run_for(FIRST_QUESTION)
    assert asked.value.json()["mode"] == "closed"
    visitor.clock.run_for(5_000)
    assert visitor.evaluate("window.seenBefore") is True


# -- Step 4: Test Admin Access During Maintenance -------------------------------------------------


@pytest.mark.parametrize("door", ["/login/", "/admin/login/?next=/"])
@pytest.mark.parametrize("username", ["admin", "support"])
def test_step_4_an_admin_logs_in_and_uses_everything(
    site: DemoServer, new_person: NewPage, username: str, door: str
) -> None:
    site.close()
    page = new_person()
    log_in(page, username, door)
    for path in [*PLACES, "/admin/", "/admin/settings/"]:
        answer = page.goto(path)
        assert answer is not None
        assert (answer.status, urlsplit(page.url).path) == (200, path)


def test_step_4_an_admin_can_work_during_maintenance(site: DemoServer, operator: Page) -> None:
    site.close()
    operator.goto("/orders/new/?product=polar-s")
    operator.get_by_role("button", name="Place the order").click()
    expect(operator.get_by_text("Thank you. Your order was placed.")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_4_notices_tell_an_admin_that_maintenance_is_active(
    site: DemoServer, new_operator: NewPage, language: str
) -> None:
    site.close()
    page = new_operator(locale=LOCALES[language])
    words = said("Maintenance is active since {time}", language).partition("{time}")[0]
    for path in ("/", "/orders/", "/admin/settings/", "/admin/auth/user/"):
        page.goto(path)
        notice = page.locator("[data-backsoon-bar]")
        expect(notice).to_have_count(1)
        expect(notice).to_contain_text(words)
        expect(notice).to_be_in_viewport()


def test_step_4_a_customer_cannot_log_in_and_reads_why(site: DemoServer, visitor: Page) -> None:
    site.close()
    visitor.goto("/login/")
    expect(visitor.locator("[data-backsoon-bar]")).to_have_text(
        "The site is closed for maintenance. Only administrators can log in now."
    )
    visitor.locator("[name=username]").fill("client")
    visitor.locator("[name=password]").fill("backsoon-demo")
    visitor.locator("[name=password]").press("Enter")
    expect(visitor.get_by_role("alert")).to_have_text(
        "The site is closed for maintenance. Only administrators can log in now."
    )
    assert "sessionid" not in {cookie.get("name") for cookie in visitor.context.cookies()}


# -- Step 5: Disable Maintenance Mode -------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_5_the_button_disables_maintenance(
    site: DemoServer, new_operator: NewPage, language: str
) -> None:
    site.close()
    page = new_operator(locale=LOCALES[language])
    page.goto("/admin/")
    switch_on_dashboard(page, "Disable Maintenance", language)
    card_says(page, "System is Online", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_step_5_the_settings_disable_maintenance(
    site: DemoServer, new_operator: NewPage, language: str
) -> None:
    site.close()
    page = new_operator(locale=LOCALES[language])
    switch_in_settings(page, on=False, language=language)
    page.goto("/admin/")
    card_says(page, "System is Online", language)


def test_step_5_customers_can_use_the_site_again(site: DemoServer, visitor: Page) -> None:
    site.close()
    assert is_turned_away(visitor, "/services/")
    site.open()
    log_in(visitor, "client")
    for path in PLACES:
        answer = visitor.goto(path)
        assert answer is not None
        assert (answer.status, urlsplit(visitor.url).path) == (200, path)


# -- Customization and API ------------------------------------------------------------------------


def test_a_message_changed_in_the_settings_appears_on_the_page(
    site: DemoServer, operator: Page, visitor: Page
) -> None:
    site.close()
    operator.goto("/admin/settings/?group=maintenance")
    operator.get_by_label("Maintenance message", exact=True).fill("Expected completion: 11 PM.")
    operator.get_by_role("button", name="Save", exact=True).click()
    expect(operator.locator(".messagelist")).to_contain_text("The settings were saved.")
    site.settle_now()
    visitor.goto("/services/")
    expect(visitor.locator(".message")).to_have_text("Expected completion: 11 PM.")


THE_GUIDES_SCRIPT = """csrfToken => fetch('/admin/settings/toggle-maintenance/', {
    method: 'POST',
    headers: {
        'Content-Type': 'application/json',
        'X-CSRFToken': csrfToken
    }
})
.then(response => response.json())"""


def test_the_script_of_the_guide_toggles(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    token = next(c for c in operator.context.cookies() if c.get("name") == "csrftoken")["value"]
    assert operator.evaluate(THE_GUIDES_SCRIPT, token) == {
        "success": True,
        "maintenance_mode": True,
        "message": "Maintenance mode enabled",
    }
    assert operator.evaluate(THE_GUIDES_SCRIPT, token) == {
        "success": True,
        "maintenance_mode": False,
        "message": "Maintenance mode disabled",
    }


# -- The Testing Checklist, line by line ----------------------------------------------------------


def test_checklist_settings_initialized_successfully(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/settings/?group=maintenance")
    expect(operator.get_by_label("Maintenance mode", exact=True)).not_to_be_checked()
    for label in ("Maintenance title", "Maintenance message", "Maintenance URL", "Contact"):
        expect(operator.get_by_label(label, exact=True)).to_be_visible()


def test_checklist_can_enable_maintenance_mode_from_dashboard(
    site: DemoServer, operator: Page, visitor: Page
) -> None:
    operator.goto("/admin/")
    switch_on_dashboard(operator, "Enable Maintenance")
    card_says(operator, "Maintenance Mode is Active")
    site.settle_now()
    assert is_turned_away(visitor, "/services/")


def test_checklist_can_enable_maintenance_mode_from_settings(
    site: DemoServer, operator: Page, visitor: Page
) -> None:
    switch_in_settings(operator, on=True)
    expect(operator.locator(".messagelist")).to_be_visible()
    site.settle_now()
    assert is_turned_away(visitor, "/services/")


def test_checklist_non_admin_users_see_maintenance_page(site: DemoServer, client: Page) -> None:
    site.close()
    answer = client.goto("/services/")
    assert answer is not None
    assert answer.status == 503
    expect(client.get_by_role("heading", level=1)).to_have_text("We will be back soon")


def test_checklist_admins_can_access_site_during_maintenance(
    site: DemoServer, new_person: NewPage
) -> None:
    site.close()
    page = new_person()
    log_in(page, "admin")
    page.goto("/services/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Services")


def test_checklist_custom_message_displays_correctly(site: DemoServer, visitor: Page) -> None:
    message = "First line\nsecond <b>line</b> & more\n\nStatus: https://status.example/"
    site.save(maintenance_message=message)
    site.close()
    visitor.goto("/")
    shown = visitor.locator(".message")
    expect(shown.locator("p")).to_have_text(
        ["First line second <b>line</b> & more", "Status: https://status.example/"],
        use_inner_text=True,
    )
    expect(shown.locator("br")).to_have_count(1)
    expect(shown.get_by_role("link")).to_have_attribute("href", "https://status.example/")


def test_checklist_can_disable_maintenance_mode(
    site: DemoServer, operator: Page, visitor: Page
) -> None:
    site.close()
    operator.goto("/admin/")
    switch_on_dashboard(operator, "Disable Maintenance")
    card_says(operator, "System is Online")
    site.settle_now()
    assert not is_turned_away(visitor, "/")


def test_checklist_toggle_button_works_via_ajax(site: DemoServer, operator: Page) -> None:
    operator.goto("/admin/")
    with operator.expect_request("**/admin/settings/toggle-maintenance/") as sent:
        switch_on_dashboard(operator, "Enable Maintenance")
    request = sent.value
    assert (request.method, request.resource_type) == ("POST", "fetch")
    assert (request.post_data_json or {})["enabled"] is True
    answer = request.response()
    assert answer is not None
    assert answer.status == 200
    card_says(operator, "Maintenance Mode is Active")


@pytest.mark.parametrize("width", WIDTHS)
def test_checklist_maintenance_page_is_responsive(
    site: DemoServer, new_person: NewPage, width: int
) -> None:
    site.save(maintenance_url="https://status.example/", maintenance_contact="help@example.com")
    site.close()
    page = new_person(viewport={"width": width, "height": HEIGHT})
    page.goto("/services/")
    assert sideways(page) == 0
    for link in page.get_by_role("link").all():
        box = link.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44, link.inner_text()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("language", LANGUAGES)
def test_checklist_multiple_languages_work_for_visitors(
    site: DemoServer, new_person: NewPage, language: str
) -> None:
    site.close()
    page = new_person(locale=LOCALES[language])
    page.goto("/services/")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page).to_have_title(re.compile("^" + said("We will be back soon", language)))
    expect(page.get_by_role("link", name=said("Try again", language))).to_be_visible()


def test_checklist_multiple_languages_work_for_visitors_who_choose_one(
    site: DemoServer, visitor: Page
) -> None:
    site.close()
    visitor.goto("/services/")
    visitor.get_by_role("link", name="Français").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Nous revenons très vite")
    visitor.get_by_role("link", name="English").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("We will be back soon")
    expect(visitor).to_have_url(re.compile(r"next=(/|%2F)services(/|%2F)"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_checklist_multiple_languages_work_for_admins(
    site: DemoServer, new_operator: NewPage, language: str
) -> None:
    page = new_operator(locale=LOCALES[language])
    page.goto("/admin/settings/?group=maintenance")
    expect(page.locator("html")).to_have_attribute("lang", re.compile(language))
    expect(page.get_by_label(said("Maintenance message", language), exact=True)).to_be_visible()
    expect(page.get_by_role("button", name=said("Preview", language))).to_be_visible()

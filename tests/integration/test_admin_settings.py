"""``/admin/settings/``: what it shows, what it stores, and that it never loses a typed text."""

from __future__ import annotations

import html as html_module
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client, override_settings

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.models import Change, SystemSetting
from backsoon.snapshots import Entry

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

URL = "/admin/settings/"
PREVIEW = "/admin/settings/preview/"

_FIELD = re.compile(r"<(input|textarea)\b([^>]*)>(?:([^<]*)</textarea>)?")


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def fields(html: str) -> dict[str, str]:
    """What a browser would send, were the form on the page sent as it is."""
    values = {}
    form = html[html.index("data-backsoon-form") :]
    for kind, attributes, text in _FIELD.findall(form[: form.index("</form>")]):
        found = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
        is_checkbox = found.get("type") == "checkbox"
        if is_checkbox and "checked" not in attributes:
            continue
        alone = "on" if is_checkbox else ""
        value = text.removeprefix("\n") if kind == "textarea" else found.get("value", alone)
        values[html_module.unescape(found["name"])] = html_module.unescape(value)
    values.pop("csrfmiddlewaretoken")
    return values


def shown(client: Client, url: str = URL) -> dict[str, str]:
    response = client.get(url)
    assert response.status_code == 200
    return fields(response.content.decode())


def stored(key: str) -> Entry:
    return store.load().entries[key]


def save(client: Client, data: dict[str, str], url: str = URL) -> Any:
    return client.post(url, data, follow=True)


# -- What it shows -----------------------------------------------------------------------------


def test_every_setting_is_there_before_any_row_exists(boss: Client) -> None:
    assert not SystemSetting.objects.exists()
    values = shown(boss)

    assert values["maintenance_title"] == "We will be back soon"
    assert values["maintenance_icon"] == "fas fa-tools"
    assert "maintenance_mode" not in values  # not checked
    assert "seen:maintenance_mode" in values
    assert not SystemSetting.objects.exists()


def test_the_filter_shows_one_group(boss: Client) -> None:
    SystemSetting.objects.create(key="phone", value="123", group="general")
    everything = shown(boss)
    maintenance, general = (
        shown(boss, f"{URL}?group=maintenance"),
        shown(boss, f"{URL}?group=general"),
    )

    assert "own-phone" in everything
    assert "maintenance_title" in everything
    assert "own-phone" not in maintenance
    assert "maintenance_title" not in general
    assert general["own-phone"] == "123"


def test_a_group_that_does_not_exist_says_so(boss: Client) -> None:
    response = boss.get(f"{URL}?group=<b>nonsense")

    assert response.status_code == 200
    assert "There are no settings in this group" in response.content.decode()
    assert "<b>nonsense" not in response.content.decode()


def test_labels_and_values_of_rows_are_never_markup(boss: Client) -> None:
    evil = '"><script>alert(1)</script>'
    SystemSetting.objects.create(
        key=f"k {evil}", value=evil, group=evil, label=evil, help_text=evil
    )
    SystemSetting.objects.create(key="maintenance_title", value=evil, group="maintenance")
    html = boss.get(URL).content.decode()

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") >= 5


def test_hand_broken_rows_are_shown_with_a_warning(boss: Client) -> None:
    services.init_defaults()
    rows = SystemSetting.objects
    rows.filter(key="maintenance_url").update(value="javascript:alert(1)")
    rows.filter(key="maintenance_ends_at").update(value="tomorrow")
    rows.filter(key="maintenance_title").update(translations=["no object"])
    rows.filter(key="maintenance_mode").update(value="maybe", setting_type="nonsense")
    html = boss.get(URL).content.decode()

    assert html.count("cannot be used, so the default stands in") == 4
    assert fields(html)["maintenance_url"] == ""


def test_saving_mends_what_was_broken_by_hand(boss: Client) -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_url").update(value="javascript:alert(1)")
    save(boss, shown(boss))

    assert SystemSetting.objects.get(key="maintenance_url").value == ""
    assert not store.load().broken


def test_a_closed_site_shows_its_switch_on_even_when_its_row_is_gone(boss: Client) -> None:
    services.close_site()
    SystemSetting.objects.filter(key="maintenance_mode").delete()
    values = shown(boss)
    assert values["maintenance_mode"] == "on"

    save(boss, values | {"maintenance_title": "Other words"})
    assert services.current_state().mode is Mode.CLOSED
    assert Change.objects.filter(action="closed").count() == 1

    values = shown(boss)
    del values["maintenance_mode"]
    save(boss, values)
    assert services.current_state().is_open


def test_an_unknown_icon_is_a_warning_and_no_error(boss: Client) -> None:
    response = save(boss, shown(boss) | {"maintenance_icon": "fas fa-nonsense"})

    assert "This icon is not known" in response.content.decode()
    assert stored("maintenance_icon").value == "fas fa-nonsense"


# -- Saving ------------------------------------------------------------------------------------


def test_saving_what_was_shown_changes_nothing(boss: Client) -> None:
    services.close_site(until=store.utc_now().replace(year=2100))  # with microseconds
    before = Change.objects.count()
    response = save(boss, shown(boss))

    assert "There was nothing to change" in response.content.decode()
    assert Change.objects.count() == before


def test_settings_are_stored_and_the_history_says_by_whom(boss: Client) -> None:
    response = save(
        boss,
        shown(boss)
        | {
            "maintenance_message": "First line\r\nSecond line",
            "maintenance_message:fr": "Première ligne",
            "maintenance_url": "https://status.example.com/",
            "maintenance_contact": "help@example.com",
            "maintenance_ends_at": "2100-01-01T12:00",
        },
    )

    assert "The settings were saved" in response.content.decode()
    assert stored("maintenance_message") == Entry(
        "First line\nSecond line", {"fr": "Première ligne"}
    )
    assert stored("maintenance_ends_at").value == "2100-01-01T12:00:00+00:00"
    change = Change.objects.get()
    assert (change.actor_name, change.channel) == ("root", "web")


def test_the_switch_closes_and_opens(boss: Client) -> None:
    values = shown(boss, f"{URL}?group=maintenance") | {"maintenance_mode": "on"}
    closed = save(boss, values, f"{URL}?group=maintenance")
    assert "Maintenance mode enabled" in closed.content.decode()
    assert services.current_state().mode is Mode.CLOSED

    values = shown(boss)
    assert values.pop("maintenance_mode") == "on"
    opened = save(boss, values)
    assert "Maintenance mode disabled" in opened.content.decode()
    assert services.current_state().is_open


def test_a_script_may_send_single_settings(boss: Client) -> None:
    save(boss, {"maintenance_title": "By script"})

    assert stored("maintenance_title").value == "By script"
    assert services.current_state().is_open


def test_the_default_in_any_language_stays_the_default(boss: Client) -> None:
    save(boss, shown(boss) | {"maintenance_title": "Mine"})
    save(boss, shown(boss) | {"maintenance_title": ""})

    assert shown(boss)["maintenance_title"] == "We will be back soon"
    assert stored("maintenance_title").value == ""


def test_the_projects_own_settings_are_stored_under_any_name(boss: Client) -> None:
    keys = ["a", "a:b", "seen:a", "own-a", "maintenance mode", "é <x>"]
    for key in keys:
        SystemSetting.objects.create(key=key, value="old")
    SystemSetting.objects.create(key="flag", value="yes", setting_type="boolean")
    values = shown(boss, f"{URL}?group=general")
    save(boss, values | {f"own-{key}": f"new {key}".strip() for key in keys})

    rows = dict(SystemSetting.objects.values_list("key", "value"))
    assert {key: rows[key] for key in keys} == {key: f"new {key}".strip() for key in keys}
    assert rows["flag"] == "yes"  # not touched, so not rewritten


# -- Errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("maintenance_url", "javascript:alert(1)", "begins with http"),
        ("maintenance_url", "//evil.example", "begins with http"),
        ("maintenance_image_url", "//evil.example/x.png", "single slash"),
        ("maintenance_contact", "nobody", "e-mail address"),
        ("maintenance_title", "x" * 201, "at most 200"),
        ("maintenance_title", "two\nlines", "one line"),
        ("maintenance_title", "null\x00", "Null characters"),
        ("maintenance_title:fr", "x" * 201, "at most 200"),
        ("maintenance_message", "x" * 5_001, "at most 5000"),
        ("maintenance_message", "é" * 500_000, "at most 5000"),
        ("maintenance_ends_at", "2020-01-01T12:00", "in the future"),
        ("maintenance_ends_at", "tomorrow", "Enter a date and a time"),
        ("maintenance_ends_at", "0001-01-01T00:00", "Enter a date and"),
        ("maintenance_ends_at", "9999-12-31T23:59-14:00", "Enter a date and a time"),
    ],
)
def test_a_wrong_value_is_an_error_at_its_field(
    boss: Client, name: str, value: str, sentence: str
) -> None:
    typed = {"maintenance_button_text": "kept", name: value}
    response = save(boss, shown(boss) | typed)
    html = response.content.decode()

    assert sentence in html_module.unescape(html)
    assert 'aria-invalid="true"' in html
    identifier = "id_" + name.replace(":", "__")
    assert f'href="#{identifier}"' in html
    assert f'aria-describedby="{identifier}_errors' in html
    assert fields(html)["maintenance_button_text"] == "kept"
    assert fields(html)[name] == value
    assert not Change.objects.exists()


@override_settings(TIME_ZONE="Europe/Paris")
@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("2099-03-29T02:30", "does not exist in Europe/Paris"),
        ("2099-10-25T02:30", "comes twice"),
    ],
)
def test_an_hour_in_which_clocks_change_is_explained(boss: Client, typed: str, answer: str) -> None:
    response = save(boss, shown(boss) | {"maintenance_ends_at": typed})

    assert answer in response.content.decode()
    assert stored("maintenance_ends_at").value == ""


@override_settings(TIME_ZONE="Europe/Paris")
def test_the_end_is_in_the_operators_zone_with_utc_beside_it(boss: Client) -> None:
    save(boss, shown(boss) | {"maintenance_ends_at": "2099-07-01T12:00"})
    html = boss.get(URL).content.decode()

    assert stored("maintenance_ends_at").value == "2099-07-01T10:00:00+00:00"
    assert fields(html)["maintenance_ends_at"] == "2099-07-01T12:00"
    assert "Europe/Paris" in html
    assert "2099-07-01 10:00 UTC" in html


# -- Two at once -------------------------------------------------------------------------------


def test_what_two_people_change_in_different_places_is_merged(boss: Client) -> None:
    mine = shown(boss)
    services.save_settings({"maintenance_title": Entry("Theirs")})
    save(boss, mine | {"maintenance_button_text": "Mine"})

    assert stored("maintenance_title").value == "Theirs"
    assert stored("maintenance_button_text").value == "Mine"


def test_the_second_of_two_is_told_and_may_overwrite(boss: Client, support: User) -> None:
    mine = shown(boss)
    origin = services.Origin(user=support)
    services.save_settings(
        {
            "maintenance_title": Entry("Theirs", {"fr": "Le leur"}),
            "maintenance_button_text": Entry("Also theirs"),
        },
        origin=origin,
    )
    response = save(
        boss, mine | {"maintenance_title": "Mine", "maintenance_contact": "me@example.com"}
    )
    html = html_module.unescape(response.content.decode())
    again = fields(response.content.decode())

    assert response.status_code == 409
    assert "Meanwhile changed to “Theirs”; French: “Le leur” by support" in html
    assert again["maintenance_title"] == "Mine"
    assert again["maintenance_contact"] == "me@example.com"
    # What only the other changed is shown as it is now, and not undone by saving again.
    assert again["maintenance_button_text"] == "Also theirs"
    assert stored("maintenance_title").value == "Theirs"

    save(boss, again)
    assert stored("maintenance_title").value == "Mine"
    assert stored("maintenance_button_text").value == "Also theirs"
    assert stored("maintenance_contact").value == "me@example.com"


def test_a_third_change_in_between_is_told_again(boss: Client) -> None:
    values = shown(boss) | {"maintenance_title": "Mine"}
    for theirs in ("First", "Second"):
        services.save_settings({"maintenance_title": Entry(theirs)})
        response = save(boss, values)
        assert response.status_code == 409
        assert f"“{theirs}”" in response.content.decode()
        values = fields(response.content.decode())

    assert save(boss, values).status_code == 200
    assert stored("maintenance_title").value == "Mine"


def test_closing_while_somebody_edits_is_not_undone_by_their_save(boss: Client) -> None:
    values = shown(boss)
    services.close_site(until=store.utc_now().replace(year=2100))
    save(boss, values | {"maintenance_title": "Mine"})

    assert services.current_state().mode is Mode.CLOSED
    assert services.current_state().until is not None
    assert stored("maintenance_title").value == "Mine"


# -- When the database is away -----------------------------------------------------------------


def _fail(*args: Any, **kwargs: Any) -> Any:
    raise StoreUnavailableError("gone")


@pytest.mark.parametrize("place", [(services, "save_settings"), (store, "load")])
def test_a_database_that_is_away_loses_no_text(
    boss: Client, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str]
) -> None:
    SystemSetting.objects.create(key="phone", value="123")
    typed = shown(boss) | {
        "maintenance_title": "Mine",
        "maintenance_title:fr": "Le mien",
        "maintenance_title:de": "Meins",
        "maintenance_mode": "on",
        "own-phone": "456",
    }
    with monkeypatch.context() as patched:
        patched.setattr(*place, _fail)
        response = boss.post(URL, typed)
    html = response.content.decode()

    assert response.status_code == 503
    assert "What you typed is still here" in html
    assert typed.items() <= fields(html).items()
    assert services.current_state().is_open

    save(boss, fields(html))
    assert stored("maintenance_title") == Entry("Mine", {"fr": "Le mien", "de": "Meins"})
    assert stored("phone").value == "456"
    assert services.current_state().mode is Mode.CLOSED


def test_settings_that_cannot_be_read_are_not_shown_as_defaults(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "load", _fail)
    response = boss.get(URL)

    assert response.status_code == 503
    assert "settings cannot be shown" in response.content.decode()
    assert "maintenance_title" not in response.content.decode()


# -- Who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [URL, PREVIEW])
@pytest.mark.parametrize("method", ["get", "post"])
def test_only_staff_who_may_change_get_in(client: Client, bob: User, method: str, url: str) -> None:
    answers = [getattr(client, method)(url)]
    client.force_login(bob)
    answers.append(getattr(client, method)(url))
    bob.is_staff = True
    bob.save()
    answers.append(getattr(client, method)(url))
    bob.user_permissions.add(Permission.objects.get(codename="change_maintenance"))
    answers.append(getattr(client, method)(url))

    assert [answer.status_code for answer in answers[:3]] == [302, 302, 403]
    assert answers[3].status_code in (200, 302)


def test_nothing_is_saved_without_a_csrf_token(root: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)

    assert client.post(URL, {"maintenance_title": "x"}).status_code == 403
    assert client.post(PREVIEW, {"maintenance_title": "x"}).status_code == 403
    assert not Change.objects.exists()


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(boss: Client, method: str) -> None:
    assert getattr(boss, method)(URL).status_code == 405


# -- Preview -----------------------------------------------------------------------------------


def test_the_preview_shows_what_is_typed_and_stores_nothing(boss: Client) -> None:
    response = boss.post(
        PREVIEW,
        shown(boss)
        | {
            "maintenance_title": "Typed <b>title",
            "maintenance_url": "javascript:alert(1)",
            "maintenance_mode": "on",
        },
    )
    html = response.content.decode()

    assert response.status_code == 200
    assert "Typed &lt;b&gt;title" in html
    assert "javascript:alert" not in html
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]
    assert not Change.objects.exists()
    assert services.current_state().is_open


def test_the_preview_shows_the_stored_page_in_any_language(boss: Client) -> None:
    services.save_settings({"maintenance_title": Entry("Hello", {"fr": "Bonjour"})})

    assert "Hello" in boss.get(PREVIEW).content.decode()
    assert "Bonjour" in boss.get(f"{PREVIEW}?language=fr").content.decode()
    assert boss.get(f"{PREVIEW}?language=../x").status_code == 200


def test_the_preview_shows_typed_texts_of_other_languages(boss: Client) -> None:
    typed = shown(boss) | {"maintenance_title:fr": "À bientôt"}

    assert "À bientôt" in boss.post(f"{PREVIEW}?language=fr", typed).content.decode()


# -- French ------------------------------------------------------------------------------------


def test_the_page_is_there_in_french(boss: Client) -> None:
    french = {"accept-language": "fr"}
    html = boss.get(URL, headers=french).content.decode()

    assert '<html lang="fr"' in html
    assert 'name="maintenance_title:fr"' in html
    assert "français" in html.lower()


def test_a_french_operator_saves_without_changing_the_defaults(boss: Client) -> None:
    html = boss.get(URL, headers={"accept-language": "fr"}).content.decode()
    boss.post(URL, fields(html), headers={"accept-language": "fr"})

    assert not Change.objects.exists()

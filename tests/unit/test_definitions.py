"""What counts as a right value of a setting, whoever typed it."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import global_settings
from django.core.exceptions import ValidationError
from django.test import override_settings
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon import definitions
from backsoon.definitions import (
    BY_KEY,
    DEFAULT_TITLE,
    DEFINITIONS,
    GROUP,
    Definition,
    clean,
    from_row,
    groups,
    languages,
    messages_of,
    parse_moment,
)
from backsoon.models import SettingType, SystemSetting

NOW = dt.datetime(2030, 1, 31, 12, 0, tzinfo=dt.UTC)
GERMAN_TITLE = "Wir sind bald zurück"


def cleaned(key: str, text: str, now: dt.datetime | None = None) -> str:
    return clean(BY_KEY[key], text, now=now)


def complaint(key: str, text: str, now: dt.datetime | None = None) -> str:
    with pytest.raises(ValidationError) as caught:
        cleaned(key, text, now)
    (sentence,) = messages_of(caught.value)
    return sentence


# -- Every setting -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", BY_KEY)
def test_null_characters_are_refused_everywhere(key: str) -> None:
    assert "Null characters" in complaint(key, "a\x00b")


@pytest.mark.parametrize("key", BY_KEY)
def test_half_characters_that_no_database_stores_are_refused_everywhere(key: str) -> None:
    assert "cannot be stored" in complaint(key, "a\udcffb")


@pytest.mark.parametrize("key", BY_KEY)
def test_a_hundred_thousand_characters_are_refused_everywhere(key: str) -> None:
    limit = BY_KEY[key].max_length
    expected = f"Use at most {limit} characters; there are 100000."
    assert complaint(key, "a" * 100_000) == expected
    assert complaint(key, "http://example.com/" + "a" * 99_981) == expected


@pytest.mark.parametrize("key", [key for key in BY_KEY if key != "maintenance_mode"])
@pytest.mark.parametrize("text", ["", "   ", "\r\n \t"])
def test_an_empty_text_means_the_default(key: str, text: str) -> None:
    assert cleaned(key, text) == ""


@given(st.text(max_size=60), st.sampled_from(DEFINITIONS))
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_is_either_cleaned_or_refused_with_a_sentence(
    text: str, definition: Definition
) -> None:
    try:
        stored = clean(definition, text, now=NOW)
    except ValidationError as error:
        sentences = messages_of(error)
    else:
        sentences = ["Nothing to complain about."]
        assert clean(definition, stored, now=NOW) == stored, "cleaning twice changes nothing"
    assert sentences
    assert all(sentences)


def test_space_around_a_text_is_taken_off() -> None:
    assert cleaned("maintenance_title", "  Back soon \n") == "Back soon"


# -- Each type ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["true", "True", " TRUE "])
def test_the_switch_is_on_with_true_in_any_case(text: str) -> None:
    assert cleaned("maintenance_mode", text) == "true"


@pytest.mark.parametrize("text", ["false", "False", "FALSE\n"])
def test_the_switch_is_off_with_false_in_any_case(text: str) -> None:
    assert cleaned("maintenance_mode", text) == "false"


@pytest.mark.parametrize("text", ["", "maybe", "1", "0", "on", "yes", "tru", "true false"])
def test_the_switch_takes_nothing_else(text: str) -> None:
    assert complaint("maintenance_mode", text) == "Enter true or false."


@pytest.mark.parametrize("text", ["Back\nsoon", "Back\r\nsoon", "Back\rsoon"])
@pytest.mark.parametrize(
    "key", ["maintenance_title", "maintenance_button_text", "maintenance_icon"]
)
def test_a_line_of_text_is_one_line(key: str, text: str) -> None:
    assert complaint(key, text) == "Use one line."


def test_a_message_may_have_lines_which_are_stored_with_plain_line_feeds() -> None:
    assert cleaned("maintenance_message", "one\r\ntwo\rthree\nfour") == "one\ntwo\nthree\nfour"


def test_a_message_has_room_for_five_thousand_characters() -> None:
    assert len(cleaned("maintenance_message", "é" * 5_000)) == 5_000
    assert "5000 characters; there are 5001" in complaint("maintenance_message", "é" * 5_001)


def test_space_around_a_message_does_not_count() -> None:
    assert len(cleaned("maintenance_message", " " + "a" * 5_000 + "\n\n")) == 5_000


GOOD_URLS = [
    "http://example.com",
    "https://example.com/status?x=1#now",
    "https://example.com:8443/",
    "http://localhost:8000/",
    "http://192.0.2.1/",
    "http://[2001:db8::1]/",
    "https://müller.example/",
    "HTTPS://EXAMPLE.COM/",
]

BAD_URLS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "ftp://example.com/",
    "mailto:ops@example.com",
    "//example.com/",
    "///example.com/",
    "/\\example.com/",
    "\\\\example.com\\",
    "http:example.com",
    "http:/example.com",
    "http:///example.com",
    "http://",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com/\nx",
    "https://example.com/\tx",
    "http://[::1",
    "http://[not-an-address]/",
    "http://example..com/",
    "http://-example.com/",
    "example.com",
    "status",
    "\u202ehttps://example.com/",
]


@pytest.mark.parametrize("url", GOOD_URLS)
@pytest.mark.parametrize("key", ["maintenance_url", "maintenance_image_url", "maintenance_contact"])
def test_web_addresses_are_taken(key: str, url: str) -> None:
    assert cleaned(key, url) == url


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("key", ["maintenance_url", "maintenance_image_url", "maintenance_contact"])
def test_what_is_no_web_address_is_refused(key: str, url: str) -> None:
    assert complaint(key, url)


@pytest.mark.parametrize("path", ["/status/", "/", "/media/logo.png"])
def test_the_button_and_the_contact_lead_to_a_full_address(path: str) -> None:
    assert "http:// or https://" in complaint("maintenance_url", path)
    assert "http:// or https://" in complaint("maintenance_contact", path)


@pytest.mark.parametrize("path", ["/media/logo.png", "/a%20b.png", "/media/logo.png?v=2", "/é.png"])
def test_an_image_may_lie_on_this_site(path: str) -> None:
    assert cleaned("maintenance_image_url", path) == path


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x.png", "/\\evil.example/x.png", "/\t/evil.example", "/a b.png", "/a\nb.png"],
)
def test_an_image_path_that_browsers_take_to_another_host_is_refused(path: str) -> None:
    assert "single slash" in complaint("maintenance_image_url", path)


@pytest.mark.parametrize("path", ["media/logo.png", "./logo.png", "../logo.png", "?x", "#x"])
def test_an_image_path_that_depends_on_the_page_is_refused(path: str) -> None:
    assert complaint("maintenance_image_url", path)


@pytest.mark.parametrize("text", ["ops@example.com", "o.p+s@sub.example.com", "ops@localhost"])
def test_the_contact_may_be_an_e_mail_address(text: str) -> None:
    assert cleaned("maintenance_contact", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "ops",
        "ops@",
        "@example.com",
        "ops@example.com, dev@example.com",
        "Ops <ops@example.com>",
        "ops@example.com\nBcc: all@example.com",
        "ops@example.com?bcc=all@example.com",
        "+49 30 123456",
        "mailto:ops@example.com",
    ],
)
def test_what_is_neither_e_mail_nor_web_address_is_no_contact(text: str) -> None:
    assert complaint("maintenance_contact", text) == (
        "Enter an e-mail address, or a web address with http:// or https://."
    )


# -- The expected end --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2030-01-31T14:00+01:00", "2030-01-31T13:00:00+00:00"),
        ("2030-01-31 14:00:00Z", "2030-01-31T14:00:00+00:00"),
        ("20300131T140000-0500", "2030-01-31T19:00:00+00:00"),
        ("2030-02-28T23:59:59.999999+00:00", "2030-02-28T23:59:59.999999+00:00"),
    ],
)
def test_an_end_is_stored_in_utc(text: str, stored: str) -> None:
    assert cleaned("maintenance_ends_at", text, NOW) == stored
    assert parse_moment(stored) == dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T14:00",
        "2030-01-31",
        "14:00",
        "tomorrow",
        "+2h",
        "1893456000",
        "2030-02-30T14:00Z",
        "2030-01-31T25:00Z",
        "2030-01-31T14:00+24:00",
        "9999-12-31T23:59:59-05:00",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+05:00",
        "0001-01-01T00:00:00Z",
        "99999-01-01T00:00Z",
        "２０３０-01-31T14:00Z",
        "2030-01-31T14:00Z; DROP TABLE",
    ],
)
def test_an_end_without_zone_or_outside_the_calendar_is_refused(text: str) -> None:
    assert "with time zone" in complaint("maintenance_ends_at", text, NOW)


@pytest.mark.parametrize("text", ["2030-01-31T12:00Z", "2030-01-31T12:59:59+01:00"])
def test_an_end_that_is_set_must_lie_in_the_future(text: str) -> None:
    assert complaint("maintenance_ends_at", text, NOW) == "The expected end must lie in the future."


def test_a_stored_end_that_has_passed_is_late_and_not_broken() -> None:
    assert cleaned("maintenance_ends_at", "1999-01-01T00:00Z") == "1999-01-01T00:00:00+00:00"


def test_a_moment_without_zone_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_moment("2030-01-31T14:00")


@given(st.datetimes(dt.datetime(3, 1, 1), dt.datetime(9997, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
@settings(max_examples=60, deadline=None)
def test_every_moment_keeps_its_place_in_time(moment: dt.datetime) -> None:
    if moment.utcoffset() is None or moment.utcoffset().seconds % 60:  # type: ignore[union-attr]
        moment = moment.replace(tzinfo=dt.UTC)
    assert parse_moment(moment.isoformat()) == moment.astimezone(dt.UTC)


# -- Defaults and languages --------------------------------------------------------------------


def write_catalogue(folder: Path, code: str, texts: dict[str, str]) -> None:
    """A compiled message catalogue, as msgfmt would write it."""
    entries = {"": "Content-Type: text/plain; charset=UTF-8\n", **texts}
    pairs = [(key.encode(), text.encode()) for key, text in sorted(entries.items())]
    place = 28 + 16 * len(pairs)
    tables: list[bytes] = []
    blob = b""
    for column in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), place + len(blob)))
            blob += pair[column] + b"\0"
    count = len(pairs)
    header = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    target = folder / code / "LC_MESSAGES"
    target.mkdir(parents=True)
    (target / "django.mo").write_bytes(header + b"".join(tables) + blob)


@pytest.fixture
def german(tmp_path: Path) -> Iterator[None]:
    """A project that speaks German, and has translated the default title."""
    write_catalogue(tmp_path, "de", {DEFAULT_TITLE: GERMAN_TITLE})
    definitions._default_texts.cache_clear()
    with override_settings(
        LOCALE_PATHS=[tmp_path], LANGUAGES=[("en", "English"), ("fr", "French"), ("de", "German")]
    ):
        yield
    definitions._default_texts.cache_clear()


@pytest.mark.parametrize("code", definitions.OWN_LANGUAGES)
@pytest.mark.parametrize("key", ["maintenance_title", "maintenance_message"])
def test_the_default_text_of_any_of_our_languages_counts_as_the_default(
    key: str, code: str
) -> None:
    definition = BY_KEY[key]
    with override(code):
        text = definition.default_text()
    assert text
    assert definition.canonical(text) == ""
    assert definition.canonical(f"  {text}\n") == ""
    assert definition.canonical(text + "!") == text + "!"


@pytest.mark.usefixtures("german")
def test_the_default_text_in_a_language_of_the_project_counts_as_the_default() -> None:
    title = BY_KEY["maintenance_title"]
    with override("de"):
        assert title.default_text() == GERMAN_TITLE
    assert title.canonical(GERMAN_TITLE) == ""
    assert title.canonical(DEFAULT_TITLE) == ""
    assert title.canonical("Wir sind zurück") == "Wir sind zurück"


def test_a_text_that_is_not_translated_is_the_default_only_as_it_stands() -> None:
    icon = BY_KEY["maintenance_icon"]
    assert icon.default_text() == "fas fa-tools"
    assert icon.canonical("fas fa-tools") == ""
    assert icon.canonical("fas fa-clock") == "fas fa-clock"
    assert BY_KEY["maintenance_mode"].canonical("false") == ""
    assert BY_KEY["maintenance_mode"].canonical("true") == "true"


def test_an_empty_text_is_the_default_of_every_setting() -> None:
    assert all(definition.canonical("") == "" for definition in DEFINITIONS)


def test_every_default_is_a_right_value() -> None:
    for definition in DEFINITIONS:
        assert clean(definition, definition.default) == definition.default


def test_keys_and_places_are_unique_and_every_setting_explains_itself() -> None:
    assert len(BY_KEY) == len(DEFINITIONS) == len({d.order for d in DEFINITIONS})
    assert all(d.group == GROUP and str(d.label) and str(d.help_text) for d in DEFINITIONS)
    assert {d.setting_type for d in DEFINITIONS} <= set(SettingType.values)


def test_without_translation_there_are_no_languages_to_fill_in() -> None:
    assert [code for code, _name in languages()] == ["en", "fr"]
    with override_settings(USE_I18N=False):
        assert languages() == []


# -- Rows of the project's own -----------------------------------------------------------------


def test_a_row_with_our_key_is_read_by_our_definition_whatever_it_says_of_itself() -> None:
    row = SystemSetting(key="maintenance_url", setting_type="text", group="x", label="y")
    assert from_row(row) is BY_KEY["maintenance_url"]


def test_a_row_of_the_projects_own_describes_itself() -> None:
    row = SystemSetting(key="banner", setting_type="url", group="shop", label="Banner", order=5)
    own = from_row(row)
    assert (own.key, own.setting_type, own.group, own.label) == ("banner", "url", "shop", "Banner")
    assert clean(own, "https://example.com/") == "https://example.com/"
    with pytest.raises(ValidationError):
        clean(own, "javascript:alert(1)")


def test_a_row_of_an_unknown_type_is_a_line_of_text() -> None:
    own = from_row(SystemSetting(key="banner", setting_type="colour"))
    assert (own.setting_type, own.label) == (SettingType.TEXT, "banner")


@pytest.mark.parametrize("setting_type", SettingType.values)
def test_every_type_can_be_cleaned(setting_type: str) -> None:
    own = from_row(SystemSetting(key="own", setting_type=setting_type))
    right = {
        "boolean": "true",
        "url": "https://example.com/",
        "image_url": "/x.png",
        "email": "ops@example.com",
        "contact": "ops@example.com",
        "datetime": "2030-01-31T14:00:00+00:00",
    }.get(setting_type, "text")
    assert clean(own, right) == right


def test_an_own_e_mail_setting_takes_no_web_address() -> None:
    own = from_row(SystemSetting(key="own", setting_type="email"))
    with pytest.raises(ValidationError):
        clean(own, "https://example.com/")


def test_the_maintenance_group_comes_first() -> None:
    others = [
        from_row(SystemSetting(key="a", group="shop")),
        from_row(SystemSetting(key="b", group="blog")),
    ]
    assert groups([*others, *DEFINITIONS]) == [GROUP, "shop", "blog"]


def test_a_catalogue_that_cannot_be_read_keeps_nobody_from_reading_the_settings(
    tmp_path: Path,
) -> None:
    write_catalogue(tmp_path, "de", {DEFAULT_TITLE: GERMAN_TITLE})
    torn = tmp_path / "de" / "LC_MESSAGES" / "django.mo"
    torn.write_bytes(torn.read_bytes()[:20])
    definitions._default_texts.cache_clear()
    with override_settings(
        LOCALE_PATHS=[tmp_path], LANGUAGES=[("en", "English"), ("de", "German")]
    ):
        definition = BY_KEY["maintenance_title"]
        assert definition.canonical(DEFAULT_TITLE) == ""
        assert definition.canonical("Moving house") == "Moving house"
    definitions._default_texts.cache_clear()


def test_of_djangos_hundred_languages_only_those_with_texts_of_ours_are_loaded(
    german: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    class Noted(override):
        def __init__(self, language: str | None, deactivate: bool = False) -> None:
            loaded.append(language or "")
            super().__init__(language, deactivate)

    monkeypatch.setattr(definitions, "override", Noted)
    with override_settings(LANGUAGES=global_settings.LANGUAGES):
        assert BY_KEY["maintenance_title"].canonical(GERMAN_TITLE) == ""
    assert sorted(loaded) == ["de", "en", "fr"]

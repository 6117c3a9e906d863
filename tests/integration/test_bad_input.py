"""Bad input, entrance by entrance: never a fault, never an open door, never a way off the site.

A view's exception reaches these tests as itself, so whatever is answered here was answered on
purpose. Where a person reads the answer it has to say what is wrong and keep what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client, override_settings

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.definitions import DEFINITIONS
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import gate
from backsoon.http import passes
from backsoon.models import Change, Maintenance, SystemSetting
from backsoon.testing import override_maintenance
from tests.integration.commands import run
from tests.visitors import PASSWORD, Visitor

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.exhaustive]

SETTINGS = "/admin/settings/"
CONFIRM = "/admin/settings/maintenance/"
TOGGLE = "/admin/settings/toggle-maintenance/"
PREVIEW = "/admin/settings/preview/"
HISTORY = "/admin/backsoon/change/"

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"

# What no text field may choke on, be it too long, unprintable, or an attempt at something.
NASTY = {
    "null": "a\x00b",
    "controls": "a\x01\x02\x1b[31mb\x7f",
    "newlines": "a\r\rb\n\nc\u2028d\u2029e\x85f",
    "spaces": " \t\u00a0\u3000 ",
    "zero width": "a\u200b\u200c\u200d\ufeffb",
    "right to left": "a\u202e\u2066b\u2069",
    "combining": "a" + "\u0335" * 150,
    "astral": "🚧" * 60,
    "non-characters": "a\ufffe\uffff\U0010ffff",
    "private use": "a\ue000\uf8ff",
    "markup": '"><script>alert(1)</script>',
    "end of textarea": "</textarea></form><script>alert(1)</script>",
    "entities": "&lt;&#0;&#x110000;&amp;amp;",
    "template": "{{ 7|add:7 }}{% load nothing %}{# x #}",
    "percent": "%s %d %(name)s %%",
    "braces": "{0.__class__} {message!r:>99999}",
    "quotes": "'\"`´’\\",
    "sql": "'; DROP TABLE backsoon_systemsetting; --",
    "markdown": "[x](javascript:alert(1)) ![x](//evil.example)",
    "css": "</style><style>*{display:none}",
    "addresses": "http://[::1 https://a@b@c:99999999 www.\u202eevil.example mailto:",
    "number": "9" * 150,
    "json": '{"enabled": false}',
    "long": "x" * 20_000,
    "huge": "x" * 200_000,
}

TEXTS = (
    "maintenance_title",
    "maintenance_title:fr",
    "maintenance_message",
    "maintenance_message:fr",
    "maintenance_ends_at",
    "maintenance_url",
    "maintenance_button_text",
    "maintenance_button_text:fr",
    "maintenance_image_url",
    "maintenance_icon",
    "maintenance_contact",
)


class Page(HTMLParser):
    """A page as a browser without JavaScript understands it, as far as these tests ask."""

    def __init__(self, response: Any) -> None:
        super().__init__(convert_charrefs=True)
        self.values: dict[str, str] = {}
        self.tags: list[str] = []
        self.links: list[str] = []
        self.errors: list[str] = []
        self._textarea = ""
        self._in_error = False
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.links += [found[name] for name in ("href", "src", "action") if name in found]
        if found.get("role") == "alert" or found.get("class") == "errorlist":
            self._in_error = True
        if tag == "textarea":
            self._textarea = found["name"]
            self.values[self._textarea] = ""
        elif tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.values[found.get("name", "")] = found.get("value", "on")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # The line feed that begins a textarea belongs to the markup (HTML, 13.1.2.5).
            text = self.values[self._textarea]
            self.values[self._textarea], self._textarea = text.removeprefix("\n"), ""
        self._in_error = self._in_error and tag not in ("div", "p")

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] += data
        elif self._in_error and data.strip():
            self.errors.append(data.strip())


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    """An administrator who holds a pass, as everybody who came in through the door."""
    client.force_login(root)
    response = HttpResponse()
    passes.give_pass(response, root)
    client.cookies.update(response.cookies)
    return client


@pytest.fixture
def closed_in_truth() -> None:
    """A site that was closed by the services, so that there is something to open by mistake."""
    services.close_site(reason="test")


def state() -> Mode:
    return services.current_state().mode


def lines(text: str) -> str:
    """*text* with the ends of lines that forms and storage agree upon, without outer space."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def leaves_the_site(location: str) -> bool:
    """Whether a browser that is sent to *location* ends up elsewhere (WHATWG URL, 4.4)."""
    cleaned = re.sub(r"[\t\n\r]", "", location.strip("".join(map(chr, range(33)))))
    cleaned = cleaned.replace("\\", "/")
    return cleaned.startswith("//") or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", cleaned) is not None


def assert_refused(response: Any) -> None:
    """The answer is the page, or the way to it, and nothing of the site."""
    assert response.status_code in (302, 503), response.status_code
    assert response["X-Maintenance"] == "closed"
    assert response["Cache-Control"] == "no-store"
    if response.status_code == 302:
        assert response["Location"].startswith("/maintenance/")
        assert not leaves_the_site(response["Location"])


# -- The settings form: values -----------------------------------------------------------------


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("name", TEXTS)
def test_a_nasty_value_is_stored_as_it_is_or_comes_back_with_a_reason(
    boss: Client, name: str, value: str
) -> None:
    key, _colon, code = name.partition(":")
    response = boss.post(SETTINGS, {key: "", name: value})

    entry = store.load().entries[key]
    if response.status_code == 302:
        kept = entry.translations.get(code, "") if code else entry.value
        assert kept == lines(value)
    else:
        page = Page(response)
        assert response.status_code == 200
        assert page.errors
        assert lines(page.values[name]) == lines(value)
        assert not Change.objects.exists()
    assert not store.load().broken
    assert state() is Mode.OPEN


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY.keys())
def test_what_was_stored_never_becomes_markup(boss: Client, value: str) -> None:
    services.close_site()
    seen = []
    for told in ("plain", value):
        for name in ("maintenance_title", "maintenance_message", "maintenance_icon"):
            boss.post(SETTINGS, {name: told})
        gate.install(store.load())
        answers = [Client().get("/maintenance/"), boss.get(SETTINGS), boss.get("/admin/")]
        assert [answer.status_code for answer in answers] == [503, 200, 200]
        read = [Page(answer) for answer in answers]
        assert not any(link.startswith("javascript:") for page in read for link in page.links)
        seen.append(
            [[page.tags.count(tag) for tag in ("script", "style", "form")] for page in read]
        )

    assert seen[0] == seen[1]


MOMENTS = [
    "now", "0", "-1", "2030", "2030-01", "2030-13-01T00:00", "2030-02-30T00:00", "2030-01-01T25:00",
    "2030-01-01T12:60", "2030-01-01T12:00:60", "2030-W01-1T99", "10000-01-01T00:00", "-2030-01-01",
    "2030-01-01T12:00+99:99", "2030-01-01T12:00+24:00", "2030-01-01T12:00[Europe/Paris]",
    "0001-01-01T00:00+14:00", "9999-12-31T23:59", "9999-12-31T23:59-12:00", "1e9", "Infinity",
    "NaN", "٢٠٣٠-٠١-٠١T١٢:٠٠", "2030-01-01T12:00Z Z", "2030-01-01T12:00\x00", "31/01/2030 14:00",
]  # fmt: skip


@pytest.mark.parametrize("page", [SETTINGS, CONFIRM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_no_moment_ahead_is_refused_with_a_sentence(
    boss: Client, page: str, moment: str
) -> None:
    name = "maintenance_ends_at" if page == SETTINGS else "ends_at"
    response = boss.post(page, {name: moment, "enabled": "true"})

    assert response.status_code == 200
    assert Page(response).errors
    assert Page(response).values[name].strip() == moment.strip()
    assert state() is Mode.OPEN


ADDRESSES = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)",
    "\x01javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x",
    "file:///etc",
    "ftp://example.com/", "//evil.example", "\\\\evil.example", "/\\evil.example",
    "///evil.example",
    "/\t/evil.example", "/\n/evil.example", "http:evil.example", "http:/evil.example", "http://",
    "https://", "http://[::1", "http://exa mple.com/", "https://example.com:999999/", "http://.",
    "https://user:pw@/", "blob:https://example.com/x", "about:blank",
    "mailto:a@b", "tel:1", "intent://x#Intent;end", "://", ":", "?", "#",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "name", ["maintenance_url", "maintenance_image_url", "maintenance_contact"]
)
def test_no_address_but_a_web_address_is_stored(boss: Client, name: str, address: str) -> None:
    response = boss.post(SETTINGS, {name: address})

    assert response.status_code == 200
    assert Page(response).errors
    assert store.load().entries[name].value == ""


@pytest.mark.usefixtures("closed_in_truth")
@pytest.mark.parametrize(
    "text", ["maybe", "", "0", "1", "on", "True", "TRUE", "null", "\x00", "off ", "é", "x" * 9_000]
)
def test_no_text_in_place_of_the_switch_opens_the_site_from_the_confirmation(
    boss: Client, text: str
) -> None:
    response = boss.post(CONFIRM, {"enabled": text})

    assert state() is Mode.CLOSED
    assert response.status_code in (200, 400)


@pytest.mark.usefixtures("closed_in_truth")
def test_a_confirmation_that_names_no_state_does_not_open_the_site(boss: Client) -> None:
    boss.post(CONFIRM, {"reason": "I forgot to say which"})

    assert state() is Mode.CLOSED


@pytest.mark.parametrize("text", ["off", "no", "0", "maybe", "null", "None", "\x00"])
def test_a_word_that_does_not_say_on_does_not_close_the_site_from_the_settings(
    boss: Client, text: str
) -> None:
    boss.post(SETTINGS, {"maintenance_mode": text})

    assert state() is Mode.OPEN


EPOCHS = ["", "-1", "1.5", "x", "²", "٣", "9" * 30, "1e3", "\x00", "null", "0x1", " "]


@pytest.mark.usefixtures("closed_in_truth")
@pytest.mark.parametrize("epoch", EPOCHS)
def test_a_number_of_the_last_switch_that_is_none_is_no_fault(boss: Client, epoch: str) -> None:
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": epoch, "reason": "r" * 501})

    assert response.status_code == 200
    assert Page(response).values["reason"] == "r" * 501
    assert Page(response).errors
    assert state() is Mode.CLOSED


# -- The settings form: what is around the values ----------------------------------------------

DIGESTS = ["", "x", "0" * 16, "f" * 1_000_000, "é", "\x00", "null", "[]", "../..", " "]


@pytest.mark.parametrize("digest", DIGESTS, ids=range(len(DIGESTS)))
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.key)
def test_a_wrong_digest_loses_nothing_that_was_typed(
    boss: Client, definition: Any, digest: str
) -> None:
    typed = {"maintenance_title": "Mine", "maintenance_contact": "me@example.com"}
    response = boss.post(SETTINGS, typed | {f"seen:{definition.key}": digest})

    entries = store.load().entries
    if response.status_code == 302:
        assert {key: entries[key].value for key in typed} == typed
    else:
        assert response.status_code in (200, 409)
        assert Page(response).errors
        assert typed.items() <= Page(response).values.items()
    assert state() is Mode.OPEN


UNKNOWN = [
    "Maintenance_mode", "maintenance_mode:fr", "maintenance_title:",
    "maintenance_title:xx", "maintenance_title::fr", "maintenance_title:fr:en",
    "maintenance_title:../..", "maintenance_title:<b>", "maintenance_title:" + "x" * 500, "seen:",
    "seen:nothing", "seen:seen:maintenance_title", "exact:", "exact:maintenance_title", "own-",
    "own-maintenance_title", "own-nothing", "pk", "__class__", "\x00", "é", "csrfmiddlewaretoken",
    "_method", "enabled", "group", "",
]  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_field_that_is_not_ours_is_ignored(boss: Client, name: str) -> None:
    response = boss.post(SETTINGS, {name: "true", "maintenance_button_text": "Mine"})

    assert response.status_code == 302
    entries = store.load().entries
    assert entries["maintenance_button_text"].value == "Mine"
    assert entries["maintenance_title"].value == ""
    assert not SystemSetting.objects.exclude(key__startswith="maintenance_").exists()
    assert state() is Mode.OPEN


@pytest.mark.parametrize("name", [definition.key for definition in DEFINITIONS])
def test_a_field_that_is_left_out_stays_as_it_is(boss: Client, name: str) -> None:
    services.close_site()
    values = Page(boss.get(SETTINGS)).values
    before = store.load().entries
    for left_out in (name, f"seen:{name}", f"exact:{name}", f"{name}:fr"):
        if (left_out, name) != ("maintenance_mode",) * 2:  # unchecked: that is how forms say "off"
            values.pop(left_out, None)
    boss.post(SETTINGS, values)

    assert store.load().entries == before
    assert state() is Mode.CLOSED


@pytest.mark.parametrize("name", TEXTS)
def test_of_a_field_that_comes_twice_the_last_one_counts(boss: Client, name: str) -> None:
    good = {"maintenance_ends_at": "2100-01-01T12:00", "maintenance_icon": "fas fa-star",
            "maintenance_contact": "me@example.com"}.get(name, "https://example.com/")  # fmt: skip
    key, _colon, code = name.partition(":")
    boss.post(SETTINGS, {key: "", name: ["<first>", good]})

    entry = store.load().entries[key]
    assert (entry.translations[code] if code else entry.value)[:9] == good[:9]


@pytest.mark.parametrize("name", [*TEXTS, "maintenance_mode", "seen:maintenance_title"])
def test_a_file_in_place_of_a_text_is_no_text(boss: Client, name: str) -> None:
    upload = SimpleUploadedFile("x\x00.png", b"\x89PNG\xff\xfe", content_type="image/png")
    response = boss.post(SETTINGS, {name: upload})

    assert response.status_code == 302
    assert not Change.objects.exists()


@pytest.mark.parametrize("type_of_row", ["boolean", "text", "url", "email", "datetime", "nonsense"])
@pytest.mark.parametrize("value", ["null", "controls", "markup", "huge", "spaces", "template"])
def test_the_projects_own_rows_take_no_nonsense_either(
    boss: Client, type_of_row: str, value: str
) -> None:
    SystemSetting.objects.create(key="own", value="", setting_type=type_of_row)
    response = boss.post(SETTINGS, {"own-own": NASTY[value]})

    assert response.status_code in (200, 302)
    assert boss.get(SETTINGS).status_code == 200


# -- Bodies, at everything that takes one ------------------------------------------------------

PART = b'--x\r\nContent-Disposition: form-data; name="enabled"\r\n'
UNNAMED = b"Content-Disposition: form-data\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n"

BODIES: dict[str, tuple[str, bytes]] = {
    "nothing": (FORM, b""),
    "no UTF-8": (FORM, b"maintenance_title=%ff%fe&enabled=%ff"),
    "raw bytes": (FORM, b"maintenance_title=\xff\xfe&\xc3=\x80"),
    "a surrogate": (FORM, b"maintenance_title=%ed%a0%80"),
    "half an escape": (FORM, b"maintenance_title=%&%=%zz&%u0041=%u0042"),
    "only separators": (FORM, b"&&&===&&;;=&"),
    "a null": (FORM, b"\x00=\x00&enabled=\x00"),
    "many fields": (FORM, b"&".join(b"f%d=1" % number for number in range(1_500))),
    "one field often": (FORM, b"enabled=x&" * 900 + b"enabled=y"),
    "three megabytes": (FORM, b"maintenance_title=" + b"x" * 3_000_000),
    "three megabytes of nothing": (FORM, b" " * 3_000_000),
    "an unknown charset": (FORM + "; charset=nonsense", b"maintenance_title=x"),
    "UTF-7": (FORM + "; charset=utf-7", b"maintenance_title=+ADw-script+AD4-"),
    "UTF-16": (FORM + "; charset=utf-16", "enabled=x".encode("utf-16")),
    "no boundary": ("multipart/form-data", b"--x\r\n"),
    "an empty boundary": ("multipart/form-data; boundary=", b"--\r\n"),
    "a boundary too long": ("multipart/form-data; boundary=" + "x" * 300, b"--x\r\n"),
    "a boundary that is none": ("multipart/form-data; boundary=\x01\xe9", b"--x\r\n"),
    "multipart cut short": (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="enabl'),
    "multipart without an end": (MULTIPART, PART + b"\r\nx"),
    "multipart in broken base64": (MULTIPART, PART + BASE64 + b"\r\n!!!!\r\n--x--\r\n"),
    "multipart without names": (MULTIPART, b"--x\r\n" + UNNAMED + b"\r\nx\r\n--x--\r\n"),
    "multipart with a long header": (MULTIPART, PART + b"X: " + b"y" * 100_000 + b"\r\n\r\nx\r\n"),
    "multipart of many parts": (MULTIPART, (PART + b"\r\nx\r\n") * 1_500 + b"--x--"),
    "XML": ("application/xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
    "no type": ("", b"enabled"),
    "a type that is none": ("/;;=", b"enabled=x"),
    "a type of 8 kB": ("text/" + "x" * 8_000, b"enabled=x"),
    "broken JSON": ("application/json", b"{"),
    "JSON that is no object": ("application/json", b'["enabled"]'),
    "deep JSON": ("application/json", b"[" * 100_000 + b"]" * 100_000),
    "deep objects": ("application/json", b'{"enabled":' * 50_000 + b"1" + b"}" * 50_000),
    "JSON in UTF-16": ("application/json", '{"enabled": 7}'.encode("utf-16")),
    "JSON in no encoding": ("application/json", b'{"enabled": "\xff"}'),
    "JSON with a surrogate": ("application/json", b'{"\\ud800": true}'),
    "JSON with a null": ("application/json", b'{"enabled\\u0000": true}'),
    "a number of 100,000 digits": ("application/json", b'{"enabled": ' + b"9" * 100_000 + b"}"),
    "a number beyond all": ("application/json", b'{"enabled": 1e999999}'),
    "NaN": ("application/json", b'{"enabled": NaN}'),
    "minus infinity": ("application/json", b'{"enabled": -Infinity}'),
    "another name": ("application/json", b'{"Enabled": true}'),
    "a second name": ("application/json", b'{"enabled": true, "x": 1}'),
    "a nested state": ("application/json", b'{"enabled": {"enabled": true}}'),
    "a name twice, the last wrong": ("application/json", b'{"enabled": true, "enabled": "false"}'),
    "JSON in disguise": (FORM, b'{"enabled": "false"}'),
    "JSON after a mark of order": ("application/json", b'\xef\xbb\xbf{"enabled": 0}'),
    "comments": ("application/json", b'/* x */ {"enabled": 0}'),
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("url", [SETTINGS, CONFIRM, PREVIEW])
@pytest.mark.usefixtures("closed_in_truth")
def test_a_body_that_is_no_form_never_opens_the_site(
    boss: Client, url: str, body: tuple[str, bytes]
) -> None:
    response = boss.generic("POST", url, body[1], content_type=body[0])

    assert response.status_code in (200, 302, 400)
    assert state() is Mode.CLOSED


# Without a body the switch flips, as it is documented.
SAYS_SOMETHING_WRONG = {name: body for name, body in BODIES.items() if name != "nothing"}


@pytest.mark.parametrize(
    "body", SAYS_SOMETHING_WRONG.values(), ids=SAYS_SOMETHING_WRONG.keys()
)  # fmt: skip
@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.CLOSED])
def test_a_body_that_names_no_state_switches_nothing_and_is_answered_in_json(
    boss: Client, mode: Mode, body: tuple[str, bytes]
) -> None:
    if mode is Mode.CLOSED:
        services.close_site()
    response = boss.generic("POST", TOGGLE, body[1], content_type=body[0])

    assert state() is mode
    assert response.status_code == 400
    assert response.json()["success"] is False
    assert response.json()["message"]


@pytest.mark.parametrize("length", ["-1", "0x10", "٣", "1e3", "", " ", "9" * 21, "x"])
@pytest.mark.parametrize("url", [SETTINGS, CONFIRM, PREVIEW])
@pytest.mark.usefixtures("closed_in_truth")
def test_a_length_that_lies_never_opens_the_site(boss: Client, url: str, length: str) -> None:
    response = boss.generic(
        "POST", url, b'{"enabled": 0}', content_type="application/json", CONTENT_LENGTH=length
    )

    assert response.status_code < 500
    assert state() is Mode.CLOSED


# -- Where the visitor is taken back to --------------------------------------------------------

NEXT = [
    "//evil.example", "///evil.example", "////evil.example", "//evil.example/%2e%2e",
    "//evil.example:80/", "//user@evil.example", "//127.0.0.1@evil.example", "//[::1]",
    "//2130706433",
    "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\\/evil.example", "\\evil.example",
    "//\\evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example",
    "/\r\n/evil.example", "\t//evil.example", "\n//evil.example", " //evil.example",
    "\x00//evil.example", "\x0b//evil.example", "\x1f//evil.example", "/\x00/evil.example",
    "/\x0b/evil.example", "/\x7f/evil.example", "\u00a0//evil.example", "\u2028//evil.example",
    "\ufeff//evil.example", "\u3000//evil.example", "/\u2044/evil.example", "／／evil.example",
    "//evil。example", "//ｅｖｉｌ.example", "//evil.example\x00testserver", "http://evil.example",
    "https://evil.example", "HTTPS://evil.example", "http:evil.example", "http:/evil.example",
    "http:///evil.example", "http:\\\\evil.example", "ht\ntp://evil.example", "https:evil.example",
    "http://testserver@evil.example", "http://testserver.evil.example",
    "http://evil.example#testserver",
    "http://evil.example?testserver", "http://testserver:80@evil.example/", "http://[evil.example",
    "//[evil.example", "http://testserver\\@evil.example", "javascript:alert(1)",
    "JAVASCRIPT:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
    "javascript://%0aalert(1)",
    "data:text/html,x", "vbscript:x", "ftp://evil.example", "mailto:a@b", "blob:x",
    "file:///etc/passwd",
    "about:blank", "evil.example", "www.evil.example", "@evil.example", ":80", "?", "#", ".", "..",
    "../..//evil.example", "%2f%2fevil.example", "%5c%5cevil.example", "/%09/evil.example",
    "/%5cevil.example", "/%2fevil.example", "/.//evil.example", "/..//evil.example",
    "/x/..//evil.example", "/\x85/evil.example", "/;//evil.example", "/" + "x" * 8_000, "", "é",
]  # fmt: skip


def test_there_are_as_many_tricks_as_promised() -> None:
    assert len(set(NEXT)) == len(NEXT) >= 60


@pytest.mark.parametrize("target", NEXT, ids=range(len(NEXT)))
def test_no_trick_leads_off_the_site_when_it_is_open(visitor: Visitor, target: str) -> None:
    response = visitor.get(f"/maintenance/?next={quote(target, safe='')}")

    assert response.status_code == 302
    assert response["Location"].startswith("/")
    assert not leaves_the_site(response["Location"])
    assert not set(response["Location"]) & set(map(chr, range(32)))


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("target", NEXT, ids=range(len(NEXT)))
def test_no_trick_gets_into_the_page_while_closed(visitor: Visitor, target: str) -> None:
    response = visitor.get(f"/maintenance/?next={quote(target, safe='')}")

    assert_refused(response)
    assert response.status_code == 503
    assert b"evil" not in response.content
    assert b"alert" not in response.content


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("target", NEXT, ids=range(len(NEXT)))
def test_a_trick_in_the_path_comes_back_as_a_path(visitor: Visitor, target: str) -> None:
    response = visitor.get("/" + quote(target, safe=""))

    if response.status_code == 302:
        assert re.fullmatch(r"/maintenance/(\?next=[!-~]+)?", response["Location"])
    assert_refused(response)


@pytest.mark.parametrize("query", ["next=/a&next=//evil.example", "next",
    "next=&next=//evil.example",
                                   "next[]=//evil.example", "NEXT=//evil.example",
                                   "%6eext=//evil.example",
                                   "next=%ff%fe", "next=%ed%a0%80", "next=%",
                                   "&" * 5_000])  # fmt: skip
def test_a_strange_query_leads_off_the_site_no_more(visitor: Visitor, query: str) -> None:
    response = visitor.get(f"/maintenance/?{query}")

    assert response.status_code in (302, 400)
    assert not leaves_the_site(response.get("Location", "/"))


# -- Headers -----------------------------------------------------------------------------------

LONG = "x" * 8_000
HEADERS: dict[str, list[str]] = {
    "accept-language": [
        "", "*", "xx", "fr;q=", "fr;q=2", "fr;q=-1", "fr;q=nan", "fr;q=1;q=0", "fr;;;", ",,,,",
        "\x00",
        "\xff\xfe", "../../etc/passwd", "fr-" + "x" * 600, "fr," * 3_000, LONG, "zh-" * 2_000,
        "<b>",
        "en_US", "FR", "%s", "-", "fr-FR-u-ca-buddhist", "i-klingon", "sr@latin",
    ],
    "accept": [
        "", "*", "*/*;q=", "text", "text/", "/", "text/html;q=x", "text/html;q=9" + "9" * 400,
        ";", ",",
        "application/json;;;;", "\x00", "\xff", LONG, "a/b," * 2_000, "text/html;level=" + LONG,
        "*/json", "text/*/x", "application/json; q=0", 'text/html;x="', "APPLICATION/JSON",
        "text/html;x*=nonsense''%20", "text/html;x*=utf-8''%ff", "text/html;x*=''",
        "text/html," * 2_000,
    ],
    "accept-encoding": [
        "", "gzip;q=0", "gzip;q=x", ";", "gzip," * 2_000, "\x00", "\xff", "GZIP", "gzip;q=0.0000",
        "*;q=0", "identity;q=0", LONG,
    ],
    "host": [
        "", "evil.example", "evil.example:80", "testserver:99999999", "testserver@evil.example",
        "[::1",
        "testserver:x", "a" * 8_000, "\x00", "\xff", "testserver/evil", "testserver?x", " ", "..",
        "%00",
        "localhost\\@evil", "127.0.0.1:", "TESTSERVER.",
    ],
    "x-forwarded-host": ["evil.example", "", "a,b,c", "\x00", LONG, "testserver, evil.example"],
    "x-forwarded-for": [
        "127.0.0.1", "::1", "127.0.0.1, 127.0.0.1", "10.0.0.1", "unknown", "", ",", "\x00", "0",
        LONG,
        "127.0.0.1\xa0", "::ffff:127.0.0.1", "1.2.3.4," * 900 + "127.0.0.1", "[::1]:80", "127.1",
    ],
    "x-forwarded-proto": ["https", "https,http", "javascript", "", "\x00", LONG],
    "x-real-ip": ["127.0.0.1", "\x00"],
    "x-original-url": ["/healthy/", "/static/x", "//evil.example"],
    "x-rewrite-url": ["/healthy/", "/login/"],
    "x-http-method-override": ["OPTIONS", "GET", "\x00"],
    "x-requested-with": ["XMLHttpRequest", "xmlhttprequest", "", LONG],
    "sec-fetch-mode": ["navigate", "cors", "", "\x00", "NAVIGATE", LONG],
    "authorization": ["Basic Og==", "Basic \xff", "Bearer ", "Basic " + LONG, "\x00"],
    "content-type": ["", "/", "application/json", "json", "\x00", LONG, "multipart/form-data"],
    "content-length": ["-1", "x", "9" * 30, ""],
    "transfer-encoding": ["chunked", "identity, chunked", "\x0bchunked", "x"],
    "referer": ["//evil.example", "\x00", "javascript:alert(1)", LONG],
    "user-agent": ["", "\x00", "<script>alert(1)</script>", "() { :;}; x", LONG],
    "if-none-match": ["*", '"x"', "\x00", LONG],
    "if-modified-since": ["0", "Thu, 01 Jan 1970 00:00:00 GMT", "\x00"],
    "range": ["bytes=0-0", "bytes=-1", "bytes=0-" + "9" * 400],
    "expect": ["100-continue", "x"],
    "upgrade": ["websocket", "h2c"],
    "x-csrftoken": ["", "\x00", LONG],
}  # fmt: skip

CASES_OF_HEADERS = {
    f"{name} {number}": (name, value)
    for name, values in HEADERS.items()
    for number, value in enumerate(values)
}


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(("name", "value"), CASES_OF_HEADERS.values(), ids=CASES_OF_HEADERS)
def test_no_header_opens_the_site_or_breaks_the_page(
    visitor: Visitor, name: str, value: str
) -> None:
    for path in ("/account/", "/maintenance/"):
        assert_refused(visitor.get(path, **{_as_extra(visitor, name): value}))
    # At the door Django itself reads them, and may refuse a request that it cannot understand.
    door = visitor.get("/login/", **{_as_extra(visitor, name): value})
    assert door.status_code in (200, 400)


def _as_extra(visitor: Visitor, name: str) -> str:
    """How the test client of that kind is given a header that it would refuse as such."""
    name = name.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT_NETWORKS": ["10.0.0.0/8"], "TRUSTED_PROXIES": 1})
@pytest.mark.parametrize(
    "value", [value for value in HEADERS["x-forwarded-for"] if "10." not in value]
)
def test_no_made_up_address_lies_in_an_exempt_network(visitor: Visitor, value: str) -> None:
    assert_refused(visitor.get("/account/", HTTP_X_FORWARDED_FOR=value))


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("value", HEADERS["accept"], ids=range(len(HEADERS["accept"])))
def test_a_login_is_refused_with_the_page_whatever_is_accepted(
    visitor: Visitor, bob: User, value: str
) -> None:
    typed = {"username": bob.get_username(), "password": PASSWORD}

    assert_refused(visitor.post("/login/", typed, HTTP_ACCEPT=value))


# -- Cookies -----------------------------------------------------------------------------------

COOKIES = {
    "empty": "",
    "short": "x",
    "signed by nobody": "1:1tABCD:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "too few parts": "1:1",
    "only colons": ":" * 500,
    "a moment that is none": "1:~~~~:x",
    "a moment of 8 kB": "1:" + "z" * 8_000 + ":x",
    "null": "a\x00b",
    "eight kilobytes": "x" * 8_000,
    "unicode": "é\xff\xfe",
    "quotes": '"a\\"b"',
    "octal": '"\\303\\251"',
    "path": "../../../../etc/passwd",
    "markup": "<script>alert(1)</script>",
    "json": '{"_auth_user_id": "1"}',
    "pickle": "gASVCgAAAAAAAAB9lC4=",
    "spaces": "   ",
    "language": "fr-" + "x" * 600,
    "sql": "' OR 1=1 --",
}
JARS = ["sessionid", passes.COOKIE, "django_language", "csrftoken", "messages", "\xe9", ""]


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("value", COOKIES.values(), ids=COOKIES.keys())
@pytest.mark.parametrize("name", JARS)
def test_no_cookie_opens_the_site_or_breaks_the_page(
    visitor: Visitor, name: str, value: str
) -> None:
    cookie = f"{name}={value}"
    for sent in (cookie, f"{cookie}; {cookie}x; {cookie}"):
        assert_refused(visitor.get("/account/", HTTP_COOKIE=sent))
    assert_refused(visitor.get("/maintenance/", HTTP_COOKIE=cookie))
    assert visitor.get("/login/", HTTP_COOKIE=cookie).status_code == 200


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    "header", [";" * 8_000, "=" * 8_000, "a=b; " * 2_000, "\x00", "\xff", ",", "="]
)
def test_a_header_that_holds_no_cookies_is_none(visitor: Visitor, header: str) -> None:
    assert_refused(visitor.get("/account/", HTTP_COOKIE=header))


@pytest.mark.parametrize("value", COOKIES.values(), ids=COOKIES.keys())
def test_a_true_pass_with_a_made_up_session_is_worth_nothing(
    visitor: Visitor, root: User, value: str
) -> None:
    visitor.login(root)
    stolen = visitor.client.cookies[passes.COOKIE].value
    visitor.client.cookies.clear()
    with override_maintenance():
        cookie = f"{passes.COOKIE}={stolen}; sessionid={value}"
        for path in ("/account/", "/admin/", "/nope/"):
            assert_refused(visitor.get(path, HTTP_COOKIE=cookie))


@pytest.mark.parametrize("value", COOKIES.values(), ids=COOKIES.keys())
def test_a_made_up_cookie_beside_a_true_session_is_no_fault(
    boss: Client, value: str
) -> None:  # fmt: skip
    session = boss.cookies["sessionid"].value
    with override_maintenance():
        for name in (passes.COOKIE, "django_language", "csrftoken"):
            answer = boss.get("/admin/", HTTP_COOKIE=f"sessionid={session}; {name}={value}")
            # Without a pass nobody looks at the session; the login door gives a new one.
            assert answer.status_code in (200, 302)


# -- Methods and paths -------------------------------------------------------------------------

METHODS = [
    "get", "Get", "gET", "post", "head", "options", "TRACE", "CONNECT", "PROPFIND", "PRI", "BREW",
    "M-SEARCH", "PURGE", "LOCK", "MKCOL", "SEARCH", "QUERY", "X" * 8_000, "*", "GET,POST", "GETGET",
    "__init__", "dispatch", "http_method_not_allowed", "0", "-", "%47ET", "É", "GET\x00", "", " ",
]  # fmt: skip


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("method", METHODS, ids=range(len(METHODS)))
def test_no_odd_method_opens_the_site(visitor: Visitor, method: str) -> None:
    for path in ("/account/", "/", "/nope/"):
        assert_refused(_ask(visitor, method, path))
    assert _ask(visitor, method, "/login/").status_code in (200, 400, 405)
    assert _ask(visitor, method, "/healthy/").status_code in (200, 400, 405)


# Django writes methods in capitals before anybody looks, and takes none for GET.
NOT_POST = [method for method in METHODS if method.upper() != "POST"]
NOT_GET = [method for method in METHODS if method.upper() not in ("GET", "HEAD", "")]


@pytest.mark.usefixtures("closed_in_truth")
@pytest.mark.parametrize("method", NOT_POST)
def test_no_odd_method_reaches_the_switch(boss: Client, method: str) -> None:
    answers = [boss.generic(method, url) for url in (TOGGLE, SETTINGS, CONFIRM)]

    assert state() is Mode.CLOSED
    assert answers[0].status_code == 405
    assert answers[0]["Allow"] == "POST"


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["GET /account/"]})
@pytest.mark.parametrize("method", NOT_GET)
def test_an_exempt_method_covers_no_other(visitor: Visitor, method: str) -> None:
    assert_refused(_ask(visitor, method, "/account/"))


def _ask(visitor: Visitor, method: str, path: str, **extra: Any) -> Any:
    """Ask with any method; the test clients know only some by name."""
    ask = visitor.client.generic
    if visitor.kind == "asgi":
        ask = async_to_sync(ask)
    return ask(method, path, **extra)


PATHS = [
    "/healthy/../account/", "/healthy/./../account/", "/healthy/%2e%2e/account/",
    "/healthy/%2E./account/",
    "/healthy/..%2faccount/", "/healthy/..%5caccount/", "/healthy\\..\\account/",
    "/healthy/..;/account/",
    "/healthy;/../account/", "/static/../account/", "/static/%2e%2e/account/",
    "/static/..%2f..%2faccount/",
    "/static/%252e%252e/account/", "/static/..%c0%afaccount/", "/static/%c0%ae%c0%ae/account/",
    "/static/%e0%80%ae/account/", "/static/\uff0e\uff0e/account/", "/static//../account/",
    "/login/../account/", "/login/%2e%2e/account/", "/login/account/", "/login/%00", "/login/%0a",
    "/login",
    "/login//", "/login/;", "/login/%20", "/LOGIN/", "/l%00ogin/", "/maintenance/../account/",
    "/maintenance/account/", "/maintenance//", "/maintenance/%2e/", "/maintenance/%00",
    "/maintenance/x.json",
    "/maintenance/status.json/", "/maintenance/status.json%00", "/maintenance/STATUS.JSON",
    "/healthy",
    "/healthyaccount/", "/healthy%00/account/", "/healthy/account/", "/healthy%2faccount/",
    "%2faccount/",
    "/account/", "/%61ccount/", "/account/%2e", "/account", "/account/%00", "/account/?x=%00",
    "/%00", "/%0a",
    "/%0d%0aX-Maintenance:%20open", "/%ff%fe", "/%ed%a0%80/", "/%c0%80/", "/%f8%88%80%80%80/",
    "/%e2%80%ae/",
    "/" + "a" * 8_000 + "/", "/" + "a/" * 4_000, "/" + "../" * 2_000, "/" + "%2e%2e/" * 2_000, "/%",
    "/%zz", "/%25", "/?", "/??", "/?" + "a=b&" * 3_000, "/;", "/:80", "/@evil", "/*", "/.", "/..",
    "/...",
    "/.git/config", "/admin/../account/", "/admin/login/../", "/admin/login/x",
    "/admin/settings/%00", "/\u00e9/",
    "/\U0001f6a7/", "/<script>alert(1)</script>/", "/{{7*7}}/", "/%s%d/", "/account/index.html",
    "/favicon.ico",
]  # fmt: skip


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_no_way_of_writing_a_path_leads_past_the_page(visitor: Visitor, path: str) -> None:
    response = visitor.get(path)

    assert b"nobody" not in response.content
    assert response.content != b"home"
    if response.get("X-Maintenance"):
        assert_refused(response)
    else:  # a door, or a folder of files: Django answers, and has nothing there
        assert response.status_code in (301, 404)
        assert not leaves_the_site(response.get("Location", "/"))


@pytest.mark.usefixtures("closed")
@override_settings(BACKSOON={"EXEMPT": ["/healthz"], "API_PATHS": ["/api/"]})
@pytest.mark.parametrize(
    "path",
    ["/healthz/../account/", "/healthz%2f..%2faccount/", "/healthzz/",
     "/HEALTHZ", "//healthz", "/./healthz", "/x/../healthz", "/healthz%00", "/healthz\\",
     "/healthz;x",
     "/healthz%0a", "/healthz%20", "/%2fhealthz", "/api/../account/", "/account/../healthz"],
)  # fmt: skip
def test_an_exempt_path_covers_nothing_that_only_looks_like_it(
    visitor: Visitor, path: str
) -> None:  # fmt: skip
    assert_refused(_ask(visitor, "GET", path.replace("//", "/%2f")))


OWN_PAGE_WHILE_CLOSED = ("/maintenance/?language=", Mode.CLOSED)
QUERIES = ["", "%00", "%ff%fe", "%ed%a0%80", "-1", "9" * 400, "x" * 6_000, "<b>", "../.."]


@pytest.mark.parametrize("value", QUERIES, ids=range(len(QUERIES)))
@pytest.mark.parametrize(
    "place",
    [f"{SETTINGS}?group=", f"{CONFIRM}?next=", f"{PREVIEW}?language=", f"{HISTORY}?q=",
     f"{HISTORY}?p=", f"{HISTORY}?o=", f"{HISTORY}?who=", f"{HISTORY}?action__exact=",
     f"{HISTORY}?channel__exact=",
     f"{HISTORY}?at__gte=", f"{HISTORY}?nonsense=", f"{HISTORY}?all=", f"{HISTORY}?_facets=",
     f"{HISTORY}?_changelist_filters=", "/admin/?language=", "/maintenance/?language="],
)  # fmt: skip
def test_a_strange_query_is_no_fault(boss: Client, place: str, value: str) -> None:
    services.close_site()
    for state_of_gate in (Mode.OPEN, Mode.CLOSED):
        if state_of_gate is Mode.CLOSED:
            gate.install(store.load())
        response = boss.get(place + value)
        assert response.status_code in (200, 302) or (place, state_of_gate) == OWN_PAGE_WHILE_CLOSED
        assert not leaves_the_site(response.get("Location", "/"))
        assert b"<b>" not in response.content


# -- Rows that somebody broke by hand ----------------------------------------------------------

CELLS: dict[str, Any] = {
    "nothing": None,
    "a word": "maybe",
    "an empty text": "",
    "a negative number": -1,
    "the largest number": 2**63 - 1,
    "bytes": b"\xff\xfe\x00",
    "a null inside": "tr\x00ue",
    "a list": "[]",
    "broken JSON": "{",
    "a number in JSON": "7",
    "nested JSON": '{"fr": {"fr": ["x"]}, "": null, "made": 7}',
    "a date that is none": "2030-13-45 99:99:99",
    "markup": "<script>alert(1)</script>",
}
READERS: dict[Any, list[str]] = {
    SystemSetting: [SETTINGS],
    Maintenance: ["/admin/", CONFIRM],
    Change: [HISTORY],
}
COLUMNS = [
    (model, field.column)
    for model in (SystemSetting, Maintenance, Change)
    for field in model._meta.concrete_fields
    if not field.primary_key
]


@pytest.fixture
def without_constraints() -> Iterator[None]:
    """Let SQLite store what the constraints forbid, as a restored table may hold it."""
    if connection.vendor != "sqlite":
        pytest.skip("Other databases refuse such values in their columns.")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        yield
        cursor.execute("PRAGMA ignore_check_constraints = OFF")


@pytest.mark.usefixtures("without_constraints")
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
@pytest.mark.parametrize(("model", "column"), COLUMNS)
def test_a_broken_cell_neither_opens_the_site_nor_takes_a_page_away(
    boss: Client, model: Any, column: str, cell: Any
) -> None:
    services.init_defaults()
    services.close_site(reason="work")
    gate.refresh()
    if not _broken(model, column, cell):
        assert state() is Mode.CLOSED
        return
    with suppress(StoreUnavailableError):
        gate.refresh()

    assert_refused(Client().get("/account/"))
    assert Client().get("/maintenance/").status_code == 503
    assert gate.view().state.mode is Mode.CLOSED
    with suppress(StoreUnavailableError):
        assert store.load().policy.switch.mode is Mode.CLOSED
    for page in READERS[model]:
        response = boss.get(page)
        unreadable = response.status_code == 302 and response["Location"] == "/admin/"
        assert unreadable or response.status_code in (200, 503), page
        assert "X-Maintenance" not in response
        assert b"<script>alert" not in response.content
    assert run("history" if model is Change else "status").code in (0, 5)


def _broken(model: Any, column: str, cell: Any) -> bool:
    """Whether the database took *cell* in *column*."""
    quoted = connection.ops.quote_name(column)
    table = connection.ops.quote_name(model._meta.db_table)
    one = f"WHERE id = (SELECT max(id) FROM {table})" if column == "key" else ""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {quoted} = %s {one}", [cell])
    except IntegrityError:
        return False
    return True

"""The page and the other answers, as they leave the house."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
import inspect
import json
import logging
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import global_settings, settings
from django.contrib.auth.models import User
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import clear_script_prefix, set_script_prefix
from hypothesis import given
from hypothesis import strategies as st

from backsoon import definitions
from backsoon.core.vocabulary import Mode, Notice, Policy, Switch, Window, Words
from backsoon.gate import gate
from backsoon.http import answers, icons, pages, routes
from backsoon.http.compact import compact
from backsoon.signals import page_broken
from backsoon.snapshots import Mark, Snapshot
from backsoon.testing import give_pass, override_maintenance

SINCE = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)


def close(notice: Notice | None = None, ends_at: dt.datetime | None = None, **more: Notice) -> None:
    notices = MappingProxyType({"": notice or Notice(), **more})
    switch = Switch(mode=Mode.CLOSED, since=SINCE)
    gate.install(Snapshot(Policy(switch, ends_at, 0, notices), mark=Mark(3, 7)))


def page(path: str = "/maintenance/", **headers: str) -> Any:
    return Client().get(path, headers=headers)


def text(response: Any) -> str:
    return str(response.content.decode())


# -- What it says ------------------------------------------------------------------------------


def test_without_any_settings_the_page_says_what_is_going_on() -> None:
    close()
    html = text(page())
    assert "We will be back soon" in html
    assert "Thank you for your patience." in html
    assert "<svg" in html


def test_everything_that_was_set_is_shown() -> None:
    close(
        Notice(
            title="Moving house",
            message="Line one\nline two\n\nNext paragraph: https://status.example.com/x?a=1&b=2.",
            button_url="https://status.example.com/",
            button_text="View status",
            image_url="/static/logo.png",
            contact="help@example.com",
        ),
        ends_at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=40),
    )
    html = text(page())
    assert "Moving house" in html
    assert re.search(r"Line one<br ?/?>line two", html)
    assert 'href="https://status.example.com/x?a=1&amp;b=2"' in html
    assert 'href="https://status.example.com/"' in html
    assert "View status" in html
    assert 'src="/static/logo.png"' in html
    assert 'href="mailto:help@example.com"' in html
    assert "<time" in html


def test_the_chosen_icon_is_drawn_and_an_unknown_one_is_the_default() -> None:
    close(Notice(icon="fas fa-wrench"))
    wrench = icons.icon_svg("fas fa-wrench")
    assert wrench is not None
    assert wrench != icons.DEFAULT_SVG
    assert wrench in text(page())
    close(Notice(icon="bi bi-wrench"))
    assert icons.DEFAULT_SVG in text(page())


def test_a_button_with_an_address_and_no_text_has_words_of_ours() -> None:
    close(Notice(button_url="https://status.example.com/"))
    assert "More information" in text(page())


def test_a_button_text_without_an_address_shows_no_button() -> None:
    close(Notice(button_text="View status"))
    assert "View status" not in text(page())


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_nothing_that_was_typed_becomes_markup(evil: str) -> None:
    close(Notice(title=evil, message=evil, button_text=evil, button_url="https://x.example/",
                 icon=evil, contact=f"a@b.example{evil}"))  # fmt: skip
    html = text(page())
    assert evil not in html
    assert "<img src=x" not in html


@given(st.text(max_size=300))
def test_any_message_becomes_harmless_html(message: str) -> None:
    html = pages.message_html(message)
    allowed = re.sub(r"</?(p|br|a)\b[^<>]*>", "", html)
    assert "<" not in allowed
    assert not re.search(r'href="(?!https?://|mailto:)', html)


# -- Language ----------------------------------------------------------------------------------


def test_the_page_speaks_the_visitors_language() -> None:
    close()
    french = page(**{"accept-language": "fr-CA,fr;q=0.9,en;q=0.5"})
    assert "Nous revenons très vite" in text(french)
    assert french["Content-Language"] == "fr"
    assert '<html lang="fr"' in text(french)
    client = Client()
    client.cookies["django_language"] = "fr"
    assert "Nous revenons" in text(client.get("/maintenance/"))
    assert "Nous revenons" in text(page("/maintenance/?language=fr"))


@pytest.mark.parametrize(
    "header", ["", "xx", "en;q=zero", "*", "fr;q=0", "\x00", "a" * 10_000, "fr,,,;;;", "é"]
)
def test_a_strange_accept_language_still_gets_a_page(header: str) -> None:
    close()
    assert page(**{"accept-language": header}).status_code == 503


def test_texts_of_a_language_come_first_and_others_fall_back() -> None:
    close(Notice(message="Main"), fr=Notice(message="Principal"))
    assert "Main" in text(page())
    assert "Principal" in text(page("/maintenance/?language=fr"))


@override_settings(ROOT_URLCONF="tests.urls_i18n")
def test_with_language_prefixes_the_page_follows_where_the_visitor_was_going() -> None:
    close()
    client = Client()
    response = client.get("/fr/orders/")
    assert response["Location"] == "/fr/maintenance/?next=/fr/orders/"
    assert "Nous revenons" in text(client.get(response["Location"]))
    assert client.get("/en/login/").status_code == 200
    assert client.get("/fr/login/").status_code == 200


@override_settings(LANGUAGES=[("ar", "Arabic"), ("en", "English")])
def test_right_to_left_languages_run_right_to_left() -> None:
    close()
    assert 'dir="rtl"' in text(page("/maintenance/?language=ar"))


@override_settings(USE_I18N=False)
def test_without_translation_the_page_comes_in_the_sites_language() -> None:
    close()
    assert page(**{"accept-language": "fr"})["Content-Language"] == "en"


# -- Headers and weight ------------------------------------------------------------------------


def test_the_policy_names_exactly_the_inline_parts() -> None:
    close()
    response = page()
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", text(response), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(r"<[^>]+\sstyle=|<[^>]+\son[a-z]+=", text(response))


def test_the_page_is_one_small_response() -> None:
    close(
        Notice(title="T" * 60, message="M" * 300, button_url="https://x.example/", button_text="B"),
        ends_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=2),
    )
    response = page()
    assert len(response.content) <= 14_000
    assert len(page(**{"accept-encoding": "gzip"}).content) <= 5_000
    assert not re.findall(r"<(?:script|img|iframe)[^>]+src=|<link[^>]+stylesheet", text(response))


def test_compressed_and_plain_are_the_same_page() -> None:
    close()
    compressed = page(**{"accept-encoding": "br, gzip;q=0.8"})
    assert compressed["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.content) == page().content
    assert "Content-Encoding" not in page(**{"accept-encoding": "gzip;q=0, br"})


def test_the_wait_follows_the_expected_end() -> None:
    close(ends_at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=40))
    waits = {int(page()["Retry-After"]) for _ in range(20)}
    assert all(2160 <= wait <= 2640 for wait in waits)
    assert len(waits) > 1  # so that not everybody comes back in the same second


def test_the_status_tells_machines() -> None:
    close()
    response = page("/maintenance/status.json")
    assert response.status_code == 200
    assert json.loads(response.content) == {
        "version": 1,
        "mode": "closed",
        "why": "by_hand",
        "since": "2030-01-01T12:00:00+00:00",
        "until": None,
        "late": False,
        "next": None,
        "revision": 7,
        "language": "en",
        "title": "We will be back soon",
        "message": "We are carrying out maintenance to serve you better. "
        "Thank you for your patience.",
        "announced": [],
        "notice": None,
    }


def test_the_status_tells_when_the_next_planned_closure_is_and_the_page_has_its_words() -> None:
    now = dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    running = Window(now - hour, now + hour, words={"": Words("Moving house", "Back at noon")})
    later = Window(now + 9 * hour, now + 10 * hour)
    last = Window(now + 20 * hour)
    gate.install(Snapshot(windows=(last, running, later)))
    status = json.loads(page("/maintenance/status.json").content)
    assert status["mode"] == "closed"
    assert status["next"] == {
        "starts_at": later.starts_at.isoformat(),
        "ends_at": later.ends_at.isoformat() if later.ends_at else None,
    }
    html = page().content.decode()
    assert "Moving house" in html
    assert "Back at noon" in html
    gate.install(Snapshot(windows=(last,)))
    status = json.loads(page("/maintenance/status.json").content)
    assert status["next"] == {"starts_at": last.starts_at.isoformat(), "ends_at": None}


def test_the_status_of_an_open_site_tells_nothing_about_its_past() -> None:
    gate.install(Snapshot(Policy(Switch(since=SINCE, by="root", reason="secret"))))
    status = json.loads(page("/maintenance/status.json").content)
    assert status["mode"] == "open"
    assert status["since"] is None


# -- The way back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/account/", "/account/"),
        ("/account/?a=1&b=2", "/account/?a=1&b=2"),
        ("", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\tjavascript:alert(1)", "/"),
        ("/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("account/", "/"),
        ("/maintenance/", "/"),
        ("/maintenance/?next=/maintenance/", "/"),
        ("/" + "a" * 5_000, "/"),
        ("///evil.example/", "/"),
    ],
)
def test_next_leads_only_to_this_site(target: str, expected: str) -> None:
    response = Client().get("/maintenance/", {"next": target})
    assert response.status_code == 302
    assert response["Location"] == expected


def test_a_path_that_looks_like_a_host_comes_back_as_a_path() -> None:
    close()
    response = page("//evil.example/x")
    assert response["Location"].startswith("/maintenance/?next=")
    gate.install(Snapshot())
    assert not page(response["Location"])["Location"].startswith("//")


def test_a_query_survives_the_way_there_and_back() -> None:
    close()
    location = page("/account/?q=a%26b&x=%C3%A9")["Location"]
    gate.install(Snapshot())
    assert page(location)["Location"] == "/account/?q=a%26b&x=%C3%A9"


def test_under_a_script_prefix_everything_stays_below_it() -> None:
    close()
    routes.site_routes.cache_clear()
    client = Client(SCRIPT_NAME="/shop")
    try:
        set_script_prefix("/shop/")
        response = client.get("/account/")
        assert response["Location"] == "/shop/maintenance/?next=/shop/account/"
        assert client.get("/login/").status_code == 200
        assert client.get("/maintenance/").status_code == 503
        gate.install(Snapshot())
        assert client.get("/maintenance/?next=/shop/account/")["Location"] == "/shop/account/"
        assert client.get("/maintenance/?next=/shop/maintenance/")["Location"] == "/shop/"
    finally:
        clear_script_prefix()
        routes.site_routes.cache_clear()


# -- A template of the project's own -----------------------------------------------------------


def test_a_project_overrides_blocks_of_the_page(tmp_path: Path) -> None:
    write(
        tmp_path, '{% extends "backsoon/maintenance.html" %}{% block heading %}OURS{% endblock %}'
    )
    with templates_from(tmp_path):
        close()
        assert "OURS" in text(page())
        assert "We will be back soon" not in text(page()).split("</title>")[1]


@pytest.mark.parametrize(
    "source",
    [
        "{% nonsense %}",
        '{% extends "missing.html" %}',
        "{% include 'missing.html' %}",
        "{{ title|nofilter }}",
        "{% load nothing %}",
    ],
)
def test_a_broken_template_gives_the_built_in_page_and_a_report(
    tmp_path: Path, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []

    def notice(error: Exception, **kwargs: Any) -> None:
        errors.append(error)

    page_broken.connect(notice)
    write(tmp_path, source)
    with templates_from(tmp_path), caplog.at_level(logging.ERROR, logger="backsoon"):
        close(Notice(message="Still <here>"))
        response = page()
        page()
    assert response.status_code == 503
    assert "Still &lt;here&gt;" in text(response)
    assert "Retry-After" in response
    assert len(errors) == 1
    assert "backsoon/maintenance.html" in caplog.text


def test_a_receiver_that_fails_takes_nothing_from_the_visitor(tmp_path: Path) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError

    page_broken.connect(fail)
    write(tmp_path, "{% nonsense %}")
    with templates_from(tmp_path):
        close()
        assert page().status_code == 503


def test_a_broken_translation_still_gives_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError("corrupt .mo")

    close()
    monkeypatch.setattr("backsoon.http.pages.translation.override", fail)
    response = page()
    assert response.status_code == 503
    assert "We will be back soon" in text(response)


def test_pages_are_rendered_once_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    render = pages.render

    def count(*args: Any, **kwargs: Any) -> str:
        rendered.append(args[2])
        return render(*args, **kwargs)

    monkeypatch.setattr(pages, "render", count)
    close()
    for _ in range(3):
        page()
        page(**{"accept-language": "fr"})
    assert rendered == ["en", "fr"]
    close(Notice(message="New words"))
    assert "New words" in text(page())
    assert rendered == ["en", "fr", "en"]


def test_made_up_script_prefixes_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 5)
    close()
    view = gate.view()
    for number in range(12):
        made = pages.shelf.page(view, "en", prefix=f"/made-up-{number}/")
        assert f"/made-up-{number}/maintenance/status.json".encode() in made.body
        assert 1 <= len(pages.shelf.of(view).pages) <= 5
    kept = pages.shelf.page(view, "en", prefix="/made-up-11/")
    assert kept is pages.shelf.page(view, "en", prefix="/made-up-11/")


# -- For the tests of projects -----------------------------------------------------------------


@override_maintenance(message="As a decorator")
def test_the_override_decorates_functions() -> None:
    assert "As a decorator" in text(page())


@override_maintenance()
async def _coroutine() -> Mode:
    return gate.view().state.mode


def test_the_override_decorates_coroutine_functions() -> None:
    assert async_to_sync(_coroutine)() is Mode.CLOSED
    assert gate.view().state.mode is Mode.OPEN


def test_overrides_nest_and_leave_nothing_behind() -> None:
    with override_maintenance():
        with override_maintenance("open"):
            assert gate.view().state.mode is Mode.OPEN
        assert gate.view().state.mode is Mode.CLOSED
    assert gate.view().state == gate.view().state.__class__(Mode.OPEN, gate.view().state.why)


@pytest.mark.django_db
@pytest.mark.parametrize("client", [Client(), AsyncClient()], ids=["wsgi", "asgi"])
def test_a_forced_login_becomes_an_administrators_with_a_pass(client: Any) -> None:
    user = User.objects.create_superuser("root")
    client.force_login(user)

    def status() -> int:
        answer = client.get("/account/")
        return int(
            (async_to_sync(_awaited)(answer) if inspect.iscoroutine(answer) else answer).status_code
        )

    with override_maintenance():
        assert status() == 302
        give_pass(client, user)
        assert status() == 200


async def _awaited(answer: Any) -> Any:
    return await answer


def test_a_project_that_names_no_languages_is_not_offered_a_hundred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close()
    monkeypatch.setattr(settings, "LANGUAGES", global_settings.LANGUAGES)
    monkeypatch.setattr(settings, "is_overridden", lambda name: name != "LANGUAGES")
    assert definitions.languages() == [("en", "English"), ("fr", "French")]
    assert len(re.findall(r"<a [^>]*hreflang=", text(page()))) <= 2


def test_a_read_only_refusal_says_so_and_does_not_wait_for_an_opening() -> None:
    with override_maintenance("read_only"):
        html = text(Client().post("/account/"))
    assert "Nothing can be changed right now" in html
    assert "status.json" not in html


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="shut"):
        override_maintenance("shut")


# -- Whatever comes in -------------------------------------------------------------------------


@given(
    accept=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=60),
    target=st.text(max_size=60),
)
def test_no_header_and_no_query_makes_an_answer_fail(accept: str, target: str) -> None:
    close()
    request = RequestFactory().get(
        "/account/", {"next": target, "language": target}, headers={"accept": accept}
    )
    response = answers.refusal(request, gate.view())
    assert response.status_code in (302, 503)
    assert response["X-Maintenance"] == "closed"


def write(folder: Path, source: str) -> None:
    (folder / "backsoon").mkdir()
    (folder / "backsoon" / "maintenance.html").write_text(source)


def templates_from(folder: Path) -> override_settings:
    return override_settings(
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [folder],
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ]
    )


# -- Made smaller ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("a , b {\n  c: d;\n}\n\n.e f{g:h}", "a,b{c: d;}.e f{g:h}"),
        ('a { content: "x , y\\" ; z"; }', 'a{content: "x , y\\" ; z";}'),
        ("/* it's , so */ a {}", "/* it's , so */ a{}"),
        (".a\n.b { width: calc(1px + 2px) }", ".a .b{width: calc(1px + 2px)}"),
    ],
)
def test_a_style_sheet_loses_what_means_nothing_and_no_more(written: str, sent: str) -> None:
    assert compact(f"<STYLE nonce=x>{written}</style >") == f"<STYLE nonce=x>{sent}</style >"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("\n  a();\n    b(`x  y`);\n", "\na();\nb(`x  y`);\n"),
        ("  a = `x\n  y`;", "  a = `x\n  y`;"),
        ('  a = "x\\\n  y";', '  a = "x\\\n  y";'),
    ],
)
def test_a_script_loses_its_indentation_unless_it_may_mean_something(
    written: str, sent: str
) -> None:
    assert compact(f"<script>{written}</script>") == f"<script>{sent}</script>"


def test_text_of_the_page_stays_as_it_is() -> None:
    html = "<p>a ,\n   b</p><style>a {}</style><p>c ;\n  d</p>"
    assert compact(html) == "<p>a ,\n   b</p><style>a{}</style><p>c ;\n  d</p>"

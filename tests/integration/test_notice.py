"""The banner of closures to come: when it hangs, what it says, and into which pages it gets."""

from __future__ import annotations

import datetime as dt
import gzip
import re
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.template import Context, Template
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from backsoon.core.vocabulary import Mode, Policy, Switch, Window, Words
from backsoon.gate import gate
from backsoon.snapshots import Mark, Snapshot
from backsoon.testing import override_maintenance
from tests.visitors import Visitor

NOON = dt.datetime(2030, 1, 11, 12, tzinfo=dt.UTC)
DAY, HOUR, SECOND = dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(seconds=1)
NIGHT = dt.datetime(2030, 1, 13, 1, tzinfo=dt.UTC)
"""Sunday, two o'clock in Paris."""

MARKER = "data-backsoon-notice"
ITEM = "data-backsoon-item"
HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dt.datetime], None]:
    """Sets the wall clock that the gate sees; noon to begin with."""

    def set_to(moment: dt.datetime) -> None:
        monkeypatch.setattr(time, "time", moment.timestamp)

    set_to(NOON)
    return set_to


@pytest.fixture
def injecting() -> Any:
    with override_settings(
        BACKSOON={"NOTICE_BANNER": True, "EXEMPT": ["/charset/"]}, ROOT_URLCONF="tests.urls_banner"
    ):
        yield


def plan(*windows: Window, **policy: Any) -> None:
    gate.install(Snapshot(Policy(**policy), windows, Mark(1, 1)))


def words(**languages: tuple[str, str]) -> MappingProxyType[str, Words]:
    return MappingProxyType({
        "" if code == "any" else code: Words(*texts) for code, texts in languages.items()
    })  # fmt: skip


def tag(**context: Any) -> str:
    """What the tag draws."""
    return Template("{% load backsoon %}{% maintenance_notice %}").render(Context(context))


def told(html: str) -> str:
    """The words of the banners in *html*, as a person reads them."""
    items = re.findall(rf"<section[^>]*{ITEM}.*?</section>", html, re.DOTALL)
    text = re.sub(r"<button.*?</button>", "", " ".join(items))
    return " ".join(re.sub(r"<[^>]+>", "", text).replace("\xa0", " ").split())


# -- When, and what -----------------------------------------------------------------------------


def test_a_page_with_the_tag_has_a_board_and_its_script_also_with_nothing_to_tell() -> None:
    html = tag()  # without the mark for it, a test that asks the database fails
    assert MARKER in html
    assert "backsoon/notice.js" in html
    assert ITEM not in html
    assert 'data-status="/maintenance/status.json"' in html


def test_a_plan_is_told_from_its_lead_time_on_to_the_second(
    clock: Callable[[dt.datetime], None],
) -> None:
    plan(Window(NIGHT, NIGHT + 2 * HOUR))
    for moment, is_told in (
        (NIGHT - DAY - SECOND, False),
        (NIGHT - DAY, True),
        (NIGHT - SECOND, True),
    ):
        clock(moment)
        assert (ITEM in tag()) is is_told, moment
    clock(NIGHT)
    assert gate.view().state.mode is Mode.CLOSED
    assert ITEM not in tag()


def test_a_plan_with_a_lead_time_of_its_own_goes_by_that() -> None:
    plan(Window(NIGHT, NIGHT + HOUR, notice=2 * DAY))
    assert ITEM in tag()
    plan(Window(NOON + HOUR, NOON + 2 * HOUR, notice=dt.timedelta(0)))
    assert ITEM not in tag()


@override_settings(BACKSOON={"NOTICE": 0})
def test_a_site_may_tell_of_none_but_those_that_want_it() -> None:
    plan(Window(NOON + SECOND, NOON + HOUR))
    assert ITEM not in tag()
    plan(Window(NOON + SECOND, NOON + HOUR, notice=HOUR))
    assert ITEM in tag()


def test_it_says_when_with_the_zone_and_how_long(clock: Callable[[dt.datetime], None]) -> None:
    clock(NIGHT - HOUR)
    plan(Window(NIGHT, NIGHT + 2 * HOUR))
    with timezone.override("Europe/Paris"):
        text = told(tag())
    assert text == (
        "Planned maintenance on Sunday 13 January, 02:00–04:00 (Europe/Paris). "
        "The site will be closed for 2 hours."
    )
    with timezone.override("Pacific/Honolulu"):  # the same moment is another day there
        assert "Saturday 12 January, 15:00–17:00 (Pacific/Honolulu)" in told(tag())


def test_it_speaks_the_language_of_the_page_and_the_words_of_the_plan() -> None:
    speech = words(any=("New machines", "See https://status.example/ & wait."), fr=("Travaux", ""))
    plan(Window(NOON + HOUR, NOON + 2 * HOUR, words=speech))
    english = tag()
    assert "New machines" in told(english)
    assert 'See <a href="https://status.example/" rel="nofollow">' in english
    with translation.override("fr"):
        french = tag()
    assert 'lang="fr"' in french
    assert "Travaux" in told(french)
    assert "New machines" not in french


def test_words_of_operators_are_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    plan(Window(NOON + HOUR, NOON + 2 * HOUR, words=words(any=(evil, evil))))
    assert "<script>alert" not in tag()


def test_touching_closures_have_one_honest_end() -> None:
    plan(
        Window(NOON + HOUR, NOON + 2 * HOUR),
        Window(NOON + 2 * HOUR, NOON + 4 * HOUR, notice=dt.timedelta(0)),
    )
    text = told(tag())
    assert "13:00–16:00 (UTC)" in text
    assert "3 hours" in text
    assert text.count("Planned maintenance") == 1


def test_a_plan_without_an_end_promises_none() -> None:
    plan(Window(NOON + HOUR))
    text = told(tag())
    assert "beginning on Friday 11 January, 13:00 (UTC)" in text
    assert text.endswith("The site will be closed.")


def test_reading_only_is_told_while_it_goes_on_and_the_closure_after_it_as_well() -> None:
    plan(
        Window(NOON - HOUR, NOON + HOUR, mode=Mode.READ_ONLY),
        Window(NOON + 3 * HOUR, NOON + 4 * HOUR),
    )
    text = told(tag())
    assert text.startswith("You can read, but not change anything until Friday 11 January, 13:00")
    assert "Planned maintenance on Friday 11 January, 15:00–16:00 (UTC)" in text


def test_reading_only_by_hand_is_told_and_an_end_that_has_passed_is_no_promise() -> None:
    switch = Switch(Mode.READ_ONLY, since=NOON - HOUR)
    plan(switch=switch, ends_at=NOON + HOUR)
    assert "until" in told(tag())
    plan(switch=switch, ends_at=NOON - SECOND)
    assert told(tag()) == "For the moment you can read, but not change anything."


def test_a_planned_time_of_reading_only_ends_in_words_where_the_closure_begins() -> None:
    plan(
        Window(NOON + HOUR, NOON + 3 * HOUR, mode=Mode.READ_ONLY),
        Window(NOON + 2 * HOUR, NOON + 4 * HOUR),
    )
    first, second = told(tag()).split(" Planned maintenance on ")
    assert "13:00–14:00" in first
    assert "14:00–16:00" in second


def test_a_changed_plan_is_another_banner_and_the_same_plan_is_the_same() -> None:
    def key(window: Window) -> Any:
        plan(window)
        return re.search(r'data-key="([^"]+)"', tag().split(ITEM)[1])[1]  # type: ignore[index]

    window = Window(NOON + HOUR, NOON + 2 * HOUR, uid="one")
    assert key(window) == key(Window(NOON + HOUR, NOON + 2 * HOUR, uid="one"))
    assert key(window) != key(Window(NOON + HOUR, NOON + 3 * HOUR, uid="one"))
    assert key(window) != key(Window(NOON + HOUR, NOON + 2 * HOUR, uid="one", sequence=1))


def test_a_broken_template_takes_no_page_away(caplog: pytest.LogCaptureFixture) -> None:
    plan(Window(NOON + HOUR, NOON + 2 * HOUR))
    broken = [{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [
            ("django.template.loaders.locmem.Loader", {"backsoon/notice.html": "{% nonsense %}"}),
        ]},
    }]  # fmt: skip
    with override_settings(TEMPLATES=broken):
        template = Template("{% maintenance_notice %}", engine=_engine_with_tags())
        assert template.render(Context()) == ""
    assert "the banner could not be drawn" in caplog.text


def _engine_with_tags() -> Any:
    from django.template import Engine

    return Engine(builtins=["backsoon.templatetags.backsoon"])


def test_it_carries_the_nonce_of_a_page_that_has_one() -> None:
    assert tag(csp_nonce="abc").count('nonce="abc"') == 2


# -- What a page that was left open asks ---------------------------------------------------------


@pytest.mark.django_db
def test_the_status_names_what_hangs_there_and_the_address_of_it(visitor: Visitor) -> None:
    assert visitor.get("/maintenance/status.json").json()["notice"] is None
    plan(Window(NOON + HOUR, NOON + 2 * HOUR))
    key = visitor.get("/maintenance/status.json").json()["notice"]
    assert f'data-key="{key}"' in tag()
    answer = visitor.get("/maintenance/notice/", query_params={"language": "fr", "key": key})
    assert answer["Cache-Control"] == "public, max-age=60"
    assert answer["Content-Language"] == "fr"
    assert answer.content.decode().count(ITEM) == 1
    assert MARKER not in answer.content.decode()


@pytest.mark.django_db
def test_a_process_that_knows_another_plan_is_not_kept_by_caches(visitor: Visitor) -> None:
    plan(Window(NOON + HOUR, NOON + 2 * HOUR))
    answer = visitor.get("/maintenance/notice/?language=xx&key=of-another-plan")
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Language"] == "en"


@pytest.mark.django_db
def test_a_closed_site_names_no_banner(visitor: Visitor) -> None:
    with override_maintenance():
        assert visitor.get("/maintenance/status.json").json()["notice"] is None
        assert visitor.get("/maintenance/notice/").status_code == 302  # to the page


# -- Into pages that do not have the tag ---------------------------------------------------------


@pytest.mark.usefixtures("injecting")
@pytest.mark.django_db
class TestInjection:
    @pytest.fixture(autouse=True)
    def _plan(self) -> None:
        plan(Window(NOON + HOUR, NOON + 2 * HOUR))

    def page(self, visitor: Visitor, path: str = "/plain/", **headers: str) -> Any:
        return visitor.get(path, headers={**HTML, **headers})

    def test_it_stands_first_in_the_body_and_the_length_is_right(self, visitor: Visitor) -> None:
        page = self.page(visitor)
        html = page.content.decode()
        assert html.startswith('<html><body><div class="backsoon-notices"')
        assert page["Content-Length"] == str(len(page.content))
        assert html.endswith("hi</body></html>")
        assert "backsoon/notice.js" in html

    def test_without_the_setting_pages_stay_as_they_are(self, visitor: Visitor) -> None:
        with override_settings(BACKSOON={}):
            assert MARKER not in self.page(visitor).content.decode()

    def test_with_nothing_to_tell_pages_stay_as_they_are(self, visitor: Visitor) -> None:
        before = self.page(visitor)
        assert MARKER in before.content.decode()
        plan(Window(NIGHT + DAY, NIGHT + 2 * DAY))
        page = visitor.get("/plain/", headers={**HTML, "if-none-match": '"x"'})
        assert MARKER not in page.content.decode()

    def test_it_costs_no_query(self, visitor: Visitor) -> None:
        with CaptureQueriesContext(connection) as queries:
            assert MARKER in self.page(visitor).content.decode()
        assert len(queries) == 0

    def test_what_is_exempt_stays_as_it_is(self, visitor: Visitor) -> None:
        assert MARKER not in self.page(visitor, "/charset/utf-8/").content.decode()

    @pytest.mark.parametrize("path", ["/fragment/", "/json/", "/download/", "/streamed/", "/204/"])
    def test_what_is_no_whole_page_stays_as_it_is(self, visitor: Visitor, path: str) -> None:
        answer = self.page(visitor, path)
        body = answer.getvalue() if not answer.streaming else b""
        assert MARKER.encode() not in body

    def test_programs_and_frames_get_no_banner(self, visitor: Visitor) -> None:
        assert MARKER not in visitor.get("/plain/").content.decode()
        framed = self.page(visitor, **{"sec-fetch-dest": "iframe"})
        assert MARKER not in framed.content.decode()

    def test_a_page_that_has_the_tag_gets_no_second_one(self, visitor: Visitor) -> None:
        assert self.page(visitor, "/tagged/").content.decode().count(f"{MARKER} ") == 1

    def test_it_is_no_part_of_what_browsers_compare(self, visitor: Visitor) -> None:
        page = self.page(visitor, "/etag/")
        assert MARKER in page.content.decode()
        assert not page.has_header("ETag")
        assert not page.has_header("Last-Modified")
        assert page["Cache-Control"] == "max-age=600"
        # The copy that a browser kept has no banner: it must not hear that this is still the page.
        again = self.page(visitor, "/etag/", **{"if-none-match": '"constant"'})
        assert again.status_code == 200
        assert MARKER in again.content.decode()

    def test_a_page_that_was_compressed_stays_so(self, visitor: Visitor) -> None:
        page = self.page(visitor, "/zipped/", **{"accept-encoding": "gzip, br"})
        assert page["Content-Encoding"] == "gzip"
        assert page["Content-Length"] == str(len(page.content))
        assert MARKER in gzip.decompress(page.content).decode()
        # What could not be undone is not asked for.
        asked = self.page(visitor, "/asked/", **{"accept-encoding": "br"})
        assert asked.content == b"none"

    def test_the_admin_has_its_own_line(self, visitor: Visitor, root: User) -> None:
        visitor.client.force_login(root)
        assert MARKER not in self.page(visitor, "/admin/").content.decode()

    def test_reading_only_is_told_to_who_reads(self, visitor: Visitor) -> None:
        with override_maintenance("read_only"):
            html = self.page(visitor).content.decode()
            assert "you can read, but not change anything" in html
            refused = visitor.post("/plain/", headers=HTML)
            assert refused.status_code == 503
            assert MARKER not in refused.content.decode()

    def test_the_page_keeps_its_charset(self, visitor: Visitor) -> None:
        with override_settings(BACKSOON={"NOTICE_BANNER": True}):
            answer = self.page(visitor, "/charset/iso-8859-1/")
            assert MARKER in answer.content.decode("iso-8859-1")


# -- Keeping drafts -----------------------------------------------------------------------------


def drafts(**context: Any) -> str:
    return Template("{% load backsoon %}{% maintenance_drafts %}").render(Context(context))


def value(html: str, name: str) -> str:
    return re.search(rf'data-{name}="([^"]*)"', html)[1]  # type: ignore[index]


def request_of(user: Any) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_a_page_says_when_the_site_was_closed_last() -> None:
    plan(
        Window(NOON - 3 * HOUR, NOON - 2 * HOUR),
        Window(NOON + HOUR, NOON + 2 * HOUR),
    )
    html = drafts()
    assert "backsoon/drafts.js" in html
    assert int(value(html, "now")) == NOON.timestamp() * 1000
    assert int(value(html, "began")) == (NOON - 3 * HOUR).timestamp() * 1000
    assert int(value(html, "ended")) == (NOON - 2 * HOUR).timestamp() * 1000
    assert int(value(html, "logins")) == (NOON - 3 * HOUR).timestamp() * 1000


def test_a_page_says_when_the_switch_was_put_back() -> None:
    began = int((NOON - HOUR).timestamp() * 1000)
    plan(switch=Switch(Mode.OPEN, since=NOON - SECOND), generation=began)
    html = drafts()
    assert int(value(html, "began")) == began
    assert int(value(html, "ended")) == (NOON - SECOND).timestamp() * 1000


@pytest.mark.django_db
def test_drafts_of_one_user_are_not_those_of_another(bob: User, root: User) -> None:
    names = [value(drafts(request=request_of(user)), "user") for user in (bob, root, None)]
    assert len(set(names)) == 3
    assert names[2] == ""
    assert "bob" not in names[0]
    assert str(bob.pk) != names[0]


@pytest.mark.django_db
def test_an_async_view_that_has_asked_for_its_user_keeps_drafts_and_another_none(
    bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    from django.core.exceptions import SynchronousOnlyOperation
    from django.utils.functional import SimpleLazyObject

    def look_up() -> Any:
        raise SynchronousOnlyOperation("in async code")

    request = request_of(SimpleLazyObject(look_up))
    assert "data-backsoon-drafts" not in drafts(request=request)
    assert "await request.auser()" in caplog.text
    request._acached_user = bob
    assert value(drafts(request=request), "user")


def test_where_drafts_are_kept_is_one_of_two() -> None:
    from django.template import TemplateSyntaxError

    with pytest.raises(TemplateSyntaxError, match="storage must be"):
        Template("{% load backsoon %}{% maintenance_drafts 'cookie' %}").render(Context())


def test_the_documented_routes_are_there(client: Client) -> None:
    assert client.get("/maintenance/notice/").status_code == 200

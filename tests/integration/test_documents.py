"""What machines read: how it is sent, kept, and made."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from types import MappingProxyType
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import icalendar
import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError
from django.test import AsyncClient, Client, override_settings
from pytest_django import DjangoAssertNumQueries

from backsoon import almanac, services
from backsoon.changes import Outcome
from backsoon.core.vocabulary import Mode, Notice, Policy, State, Switch, Why, Window, Words
from backsoon.gate import View, gate
from backsoon.http import documents, publications
from backsoon.models import Window as Row
from backsoon.snapshots import Mark, Snapshot

pytestmark = pytest.mark.django_db

STATUS, CALENDAR, FEED = (
    f"/maintenance/{name}" for name in ("status.json", "calendar.ics", "feed.atom")
)
ALL = [STATUS, CALENDAR, FEED]
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def get(path: str, **headers: str) -> Any:
    return Client().get(path, headers=headers)


def state(path: str = STATUS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get(path).content)
    return found


def events(path: str = CALENDAR) -> list[Any]:
    return [*icalendar.Calendar.from_ical(get(path).content).walk("VEVENT")]


def entries(path: str = FEED) -> list[ElementTree.Element]:
    return ElementTree.fromstring(get(path).content).findall(f"{ATOM}entry")


def told(path: str = FEED) -> list[str]:
    return [entry.findtext(f"{ATOM}title") or "" for entry in entries(path)]


def close(**changes: Any) -> None:
    done(services.close_site(**changes))


def done(outcome: Outcome) -> Outcome:
    """What the news of a commit does, which a test's transaction never has."""
    gate.refresh()
    return outcome


# -- How it is sent ----------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("path", ALL)
def test_it_is_read_from_every_origin_kept_for_a_while_and_not_sent_twice(
    path: str, closed: bool
) -> None:
    if closed:
        close()
    first = get(path)
    assert first.status_code == 200
    assert first["Access-Control-Allow-Origin"] == "*"
    assert first["X-Maintenance"] == ("closed" if closed else "open")
    assert first["Cache-Control"].startswith("public, max-age=")
    assert "Set-Cookie" not in first
    assert "Cookie" not in first.get("Vary", "")
    again = get(path, **{"if-none-match": first["ETag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again["ETag"] == first["ETag"]
    assert again["Access-Control-Allow-Origin"] == "*"
    assert again["Cache-Control"].startswith("public, max-age=")


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("*", 304),
        ('"other", {etag}', 304),
        ("W/{etag}", 304),
        ('W/"other",W/{etag} , "more"', 304),
        ('"other"', 200),
        ("", 200),
        ("nonsense", 200),
        ('"', 200),
        ('"é"', 200),
        ('"{etag}"', 200),
        ('"a", ' * 1_000 + "{etag}", 200),
    ],
)
def test_conditions_are_understood_as_the_standard_says(
    path: str, closed: bool, condition: str, status: int
) -> None:
    if closed:
        close()
    etag = get(path)["ETag"]
    assert get(path, **{"if-none-match": condition.format(etag=etag)}).status_code == status


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("path", ALL)
def test_heads_preflights_and_other_methods(path: str, closed: bool) -> None:
    if closed:
        close()
    client = Client(enforce_csrf_checks=True)
    full, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length", "Access-Control-Allow-Origin"):
        assert head[name] == full[name]
    options = client.options(
        path, headers={"origin": "https://a.example", "access-control-request-method": "GET"}
    )
    assert options.status_code == 204
    assert options["Access-Control-Allow-Methods"] == options["Allow"] == "GET, HEAD, OPTIONS"
    assert options["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in options
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        refused = client.generic(method, path, b"{}")
        assert refused.status_code == 405
        assert refused["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", [CALENDAR, FEED])
def test_packed_ones_have_another_tag(path: str) -> None:
    plain, packed = get(path), get(path, **{"accept-encoding": "gzip"})
    assert gzip.decompress(packed.content) == plain.content
    assert packed["ETag"] != plain["ETag"]
    assert "Accept-Encoding" in plain["Vary"]
    assert get(path, **{"if-none-match": packed["ETag"]}).status_code == 200


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("path", ALL)
def test_the_address_alone_chooses_the_language(path: str, closed: bool, now: dt.datetime) -> None:
    words = {"": Words("Moving house"), "fr": Words("Déménagement")}
    done(services.schedule(now + HOUR, now + 2 * HOUR, words=words))
    if closed:
        close()
    french = {
        get(f"{path}{query}").content for query in ("?lang=fr", "?language=fr-CA", "?lang=FR")
    }
    english = {
        get(f"{path}{query}").content
        for query in ("", "?lang=xx", "?lang=", "?lang=%00", "?lang=../fr", "?x=" + "y" * 5_000,
                      "?" + "&".join("a" * 2 for _ in range(2_000)), "?lang=" + "fr" * 3_000)
    }  # fmt: skip
    assert len(french) == len(english) == 1
    assert french != english
    assert get(path, **{"accept-language": "fr"}).content in english
    assert get(f"{path}?lang=fr")["Content-Language"] == "fr"


def test_async_sites_answer_alike() -> None:
    close()

    async def all_of_them() -> list[bytes]:
        return [(await AsyncClient().get(path)).content for path in ALL]

    assert async_to_sync(all_of_them)() == [get(path).content for path in ALL]


@pytest.mark.parametrize("closed", [False, True])
def test_neither_session_nor_user_is_touched(
    closed: bool, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    if closed:
        close()
    for path in ALL:
        get(path)
    with django_assert_num_queries(0):
        for _ in range(5):
            for path in ALL:
                client = Client()
                client.cookies["sessionid"] = "made-up"
                assert client.get(path).status_code == 200


# -- For how long it is good -------------------------------------------------------------------


def install(now: dt.datetime, *windows: Window, **policy: Any) -> None:
    gate.install(Snapshot(Policy(**policy), windows, mark=Mark(1, 1)))


def test_nobody_keeps_the_state_beyond_the_moment_at_which_it_changes(now: dt.datetime) -> None:
    install(now, Window(now + dt.timedelta(seconds=3.5), uid="w"))
    assert get(STATUS)["Cache-Control"] in ("public, max-age=3", "public, max-age=2")
    install(now, Window(now + dt.timedelta(seconds=0.9), uid="w"))
    assert get(STATUS)["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_at_the_very_moment_the_new_state_is_told(now: dt.datetime, offset: int) -> None:
    window = Window(now + HOUR, now + 2 * HOUR, uid="w", notice=HOUR / 2)
    step = dt.timedelta(microseconds=offset)
    for moment, before, after in (
        (window.starts_at - HOUR / 2, ("open", 0), ("open", 1)),
        (window.starts_at, ("open", 1), ("closed", 0)),
        (window.ends_at, ("closed", 0), ("open", 0)),
    ):
        assert moment is not None
        with mock.patch.object(gate, "_clock", lambda at=moment + step: at.timestamp()):
            install(now, window)
            said = state()
        assert (said["mode"], len(said["announced"])) == (after if offset >= 0 else before)


def test_a_prepared_state_gives_way_when_the_notice_begins(now: dt.datetime) -> None:
    window = Window(now + HOUR, now + 2 * HOUR, uid="w", notice=HOUR / 2)
    install(now, window)
    first = get(STATUS)
    assert json.loads(first.content)["announced"] == []
    later = (now + 0.6 * HOUR).timestamp()
    with mock.patch.object(gate, "_clock", return_value=later):
        second = get(STATUS, **{"if-none-match": first["ETag"]})
    assert second.status_code == 200
    assert [one["uid"] for one in json.loads(second.content)["announced"]] == ["w"]


def test_a_process_that_knows_nothing_lets_nobody_keep_it() -> None:
    with mock.patch.object(gate, "_view", View(Snapshot(), State(Mode.CLOSED, Why.UNKNOWN))):
        response = get(STATUS)
    assert response["Cache-Control"] == "no-store"
    assert json.loads(response.content)["why"] == "unknown"


# -- What it says ------------------------------------------------------------------------------


def test_the_state_tells_what_visitors_may_know_and_no_more(now: dt.datetime) -> None:
    words = {"": Words("Moving house", "Soon"), "fr": Words("Déménagement", "")}
    running = Window(now - HOUR, now + HOUR, uid="a", reason="secret-reason", words=words)
    install(
        now, running, Window(now + 9 * HOUR, uid="b", notice=dt.timedelta(0)),
        Window(now + 10 * HOUR, now + 11 * HOUR, Mode.READ_ONLY, uid="c", words=words,
               reason="secret-reason"),
        Window(now + 30 * DAY, uid="d"),
        switch=Switch(by="root"),
        notices=MappingProxyType({"": Notice(message="Of the settings")}),
    )  # fmt: skip
    body = get(f"{STATUS}?lang=fr").content.decode()
    assert "secret-reason" not in body
    assert "root" not in body
    said = json.loads(body)
    assert (said["mode"], said["why"], said["language"]) == ("closed", "planned", "fr")
    assert (said["title"], said["message"]) == ("Déménagement", "Soon")
    assert [one["uid"] for one in said["announced"]] == ["c"]
    assert said["announced"][0]["mode"] == "read_only"
    assert said["announced"][0]["title"] == "Déménagement"
    assert said["next"]["starts_at"] == (now + 10 * HOUR).isoformat()


def test_a_plan_goes_through_calendar_and_feed(now: dt.datetime) -> None:
    plan = done(services.schedule(
        now + 2 * HOUR, now + 3 * HOUR, reason="secret-reason",
        words={"": Words("Moving, house; now", "One\nTwo"), "fr": Words("Déménagement", "")},
    )).windows[0]  # fmt: skip
    (event,) = events()
    assert (str(event["UID"]), event["STATUS"], event["SEQUENCE"]) == (plan.uid, "CONFIRMED", 0)
    assert str(event["SUMMARY"]) == "Moving, house; now"
    assert str(event["DESCRIPTION"]).startswith("One\nTwo\n")
    assert str(events(f"{CALENDAR}?lang=fr")[0]["SUMMARY"]) == "Déménagement"
    assert told() == ["Announced: Moving, house; now"]
    first_id = entries()[0].findtext(f"{ATOM}id")

    done(services.reschedule(plan.uid, ends_at=now + 5 * HOUR))
    (event,) = events()
    assert (str(event["UID"]), event["SEQUENCE"]) == (plan.uid, 1)
    assert event["DTEND"].dt == (now + 5 * HOUR).replace(microsecond=0)
    assert told() == ["Changed: Moving, house; now", "Announced: Moving, house; now"]
    assert entries()[1].findtext(f"{ATOM}id") == first_id

    done(services.cancel(plan.uid))
    (event,) = events()
    assert (str(event["UID"]), event["STATUS"], event["SEQUENCE"]) == (plan.uid, "CANCELLED", 2)
    assert told() == ["Cancelled: Moving, house; now"]
    for path in (CALENDAR, FEED):
        assert b"secret-reason" not in get(path).content


def test_a_closure_by_hand_is_told_in_the_feed_but_is_no_plan() -> None:
    close(reason="secret-reason")
    assert told() == ["Begun: Maintenance"]
    done(services.open_site())
    assert told() == ["Over: Maintenance", "Begun: Maintenance"]
    assert events() == []
    assert b"secret-reason" not in get(FEED).content


def test_a_plan_without_an_end_says_so(now: dt.datetime) -> None:
    done(services.schedule(now + 2 * HOUR, None))
    (event,) = events()
    assert event["DTEND"].dt - event["DTSTART"].dt == HOUR
    assert "The end is not known yet." in str(event["DESCRIPTION"])


def test_a_plan_that_nobody_shall_be_told_of_is_nowhere(now: dt.datetime) -> None:
    done(services.schedule(now + 2 * HOUR, now + 3 * HOUR, notice=dt.timedelta(0)))
    assert state()["next"] is None
    assert events() == []
    assert entries() == []


def test_subscribers_learn_of_a_plan_before_visitors_do(now: dt.datetime) -> None:
    done(services.schedule(now + 20 * DAY, now + 20 * DAY + HOUR))
    assert state()["announced"] == []
    assert len(events()) == 1
    assert entries() == []


def rows(now: dt.datetime, count: int, **changes: Any) -> None:
    Row.objects.bulk_create(
        Row(
            uid=f"w{number}", starts_at=now + (number + 1) * HOUR,
            ends_at=now + (number + 1.5) * HOUR, planned_start=now, created_at=now,
            **changes,
        )
        for number in range(count)
    )  # fmt: skip


def test_however_many_there_are_only_the_next_ones_are_told(now: dt.datetime) -> None:
    rows(now, 400)
    assert [str(event["UID"]) for event in events()] == [f"w{n}" for n in range(200)]


def test_what_was_deleted_by_hand_is_gone_when_rows_are_read_again(now: dt.datetime) -> None:
    rows(now, 2)
    assert len(events()) == 2
    Row.objects.filter(uid="w0").delete()
    assert len(events()) == 2
    with mock.patch.object(documents, "FRESH_SECONDS", 0.0):
        assert [str(event["UID"]) for event in events()] == ["w1"]


def test_old_and_broken_rows_are_left_out(now: dt.datetime) -> None:
    rows(now - 5 * 7 * DAY, 1)
    Row.objects.update(uid="old")
    rows(now - DAY, 3, translations=[1])
    Row.objects.filter(uid="w1").update(translations={"fr": "x", "en": None})
    assert [str(event["UID"]) for event in events()] == ["w0", "w1", "w2"]


@pytest.mark.parametrize(
    "title",
    [
        "a\r\nb",
        "👩‍🚒 \u202eRTL\u202c",
        "]]></title><script>",
        "&amp; <b>",
        "\x00\x08\ufffe",
        "x" * 200,
    ],
)
def test_nasty_words_break_neither_calendar_nor_feed(now: dt.datetime, title: str) -> None:
    rows(now, 1, title=title, message=title * 25, notice=DAY)
    summary = str(events()[0]["SUMMARY"])
    assert summary
    assert told()[0].startswith("Announced: ")
    if title.isprintable():
        assert summary == title
        assert told() == [f"Announced: {title}"]
    json.dumps(state())


def test_the_feed_is_what_the_standard_asks_for(now: dt.datetime) -> None:
    done(services.schedule(now + 2 * HOUR, now + 3 * HOUR))
    close()
    root = ElementTree.fromstring(get(f"{FEED}?lang=fr").content)
    assert root.tag == f"{ATOM}feed"
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "fr"
    links = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    assert links == {"self": "/maintenance/feed.atom?lang=fr", "alternate": "/maintenance/"}
    assert root.findtext(f"{ATOM}author/{ATOM}name")
    ids = [element.text or "" for element in root.iter(f"{ATOM}id")]
    assert len(ids) == len(set(ids)) == 3
    assert all(found.startswith("urn:uuid:") for found in ids)
    moments = [dt.datetime.fromisoformat(e.text or "") for e in root.iter(f"{ATOM}updated")]
    assert moments[0] == max(moments)
    assert all(moment.tzinfo is not None for moment in moments)


# -- When the database has nothing to say ------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("path", [CALENDAR, FEED])
def test_without_the_database_the_last_version_is_sent_or_a_503(path: str, closed: bool) -> None:
    if closed:
        close()
    away = mock.patch.object(almanac, "_ahead", side_effect=OperationalError("gone"))
    with away:
        refused = get(path)
    assert refused.status_code == 503
    assert refused["Retry-After"] == "30"
    assert refused["Cache-Control"] == "no-store"
    documents._readers.renew()
    good = get(path)
    assert good.status_code == 200
    with away, mock.patch.object(documents, "FRESH_SECONDS", 0.0):
        assert get(path).content == good.content


@pytest.mark.parametrize("path", [CALENDAR, FEED])
def test_whoever_comes_while_another_reads_takes_the_last_version(path: str) -> None:
    with mock.patch.object(documents, "FRESH_SECONDS", 0.0):
        assert documents._readers.enter()
        try:
            with mock.patch.object(documents, "FIRST_PATIENCE_SECONDS", 0.0):
                assert get(path).status_code == 503
        finally:
            documents._readers.leave(fault=False)
        first = get(path)
        assert documents._readers.enter()
        try:
            assert get(path).content == first.content
        finally:
            documents._readers.leave(fault=False)


def test_while_the_database_is_known_to_be_away_it_is_not_asked() -> None:
    first = get(CALENDAR)
    gone = mock.PropertyMock(return_value=False)
    with (
        mock.patch.object(type(gate), "store_is_reachable", gone),
        mock.patch.object(documents, "FRESH_SECONDS", 0.0),
        mock.patch.object(almanac, "read", side_effect=AssertionError),
    ):
        assert get(CALENDAR).content == first.content
        documents.forget()
        assert get(CALENDAR).status_code == 503


def test_a_crowd_asks_the_database_once() -> None:
    with mock.patch.object(almanac, "read", wraps=almanac.read) as reading:
        for number in range(50):
            get(f"{CALENDAR}?lang=fr&x={number}")
            get(f"{FEED}?x={number}")
    assert reading.call_count == 1


def test_what_is_kept_ready_does_not_grow_without_end() -> None:
    for number in range(documents.MOST_PREPARED + 20):
        Client(SCRIPT_NAME=f"/made-up-{number}").get(f"/made-up-{number}{FEED}")
    assert len(documents._documents) <= documents.MOST_PREPARED


@override_settings(BACKSOON={"BRAND": "Northlight & Co"})
def test_the_brand_is_named(now: dt.datetime) -> None:
    done(services.schedule(now + 2 * HOUR, now + 3 * HOUR))
    assert str(events()[0]["SUMMARY"]) == "Planned maintenance of Northlight & Co"
    assert publications.name() == "Maintenance of Northlight & Co"
    assert told() == ["Announced: Planned maintenance of Northlight & Co"]

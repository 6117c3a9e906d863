"""What people are to be told is written down with the change, or when the clock brings it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models.query import QuerySet

from backsoon import outbox, services, store
from backsoon.core.vocabulary import Words
from backsoon.exceptions import ConflictError
from backsoon.models import Announcement, Maintenance, SystemSetting

from .outbox import moments, soon, telling

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _somebody_to_tell() -> Any:
    with telling():
        yield


def test_a_planned_closure_is_announced_with_its_times_and_words() -> None:
    start, end = soon(hours=30), soon(hours=31)
    outcome = services.schedule(start, end, words={"fr": Words("Déménagement")})
    (told,) = Announcement.objects.all()
    assert (told.moment, told.window) == ("announced", outcome.windows[0].uid)
    assert told.facts["starts_at"] == start.isoformat()
    assert told.facts["until"] == end.isoformat()
    assert told.facts["words"]["fr"]["title"] == "Déménagement"
    assert told.expires_at == start


def test_each_change_of_a_plan_is_told_once() -> None:
    uid = services.schedule(soon(hours=30), soon(hours=31)).windows[0].uid
    services.reschedule(uid, ends_at=soon(hours=33))
    services.reschedule(uid, starts_at=soon(hours=31))
    services.reschedule(uid, reason="only for colleagues")
    services.cancel(uid)
    assert moments() == ["announced", "changed", "changed", "cancelled"]


def test_closing_extending_and_opening_by_hand_are_told() -> None:
    services.close_site(until=soon(hours=1))
    services.close_site(until=soon(hours=2))
    services.open_site()
    assert moments() == ["started", "extended", "ended"]
    assert not any(a.facts["planned"] for a in Announcement.objects.all())


def test_a_planned_closure_that_is_extended_and_ended_by_hand_is_told() -> None:
    uid = services.schedule(soon(), soon(hours=1)).windows[0].uid
    services.reschedule(uid, ends_at=soon(hours=2))
    services.open_site()
    assert moments() == ["started", "extended", "ended"]
    assert {a.window for a in Announcement.objects.all()} == {uid}


def test_nothing_is_told_of_a_change_that_was_not_made() -> None:
    services.close_site()
    before = store.load().mark
    with pytest.raises(ConflictError):
        services.open_site(expected=services.Mark(before.epoch - 1))
    assert moments() == ["started"]


def test_texts_that_change_are_nothing_to_tell() -> None:
    services.save_settings({"maintenance_title": services.Entry("Soon")})
    assert moments() == []


def test_without_anybody_to_tell_nothing_is_written() -> None:
    with telling(OPERATORS=[]):
        services.close_site()
        services.open_site()
    assert moments() == []


def test_the_site_closes_also_when_nothing_can_be_written_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise DatabaseError("no such table: backsoon_announcement")

    bulk_create = QuerySet.bulk_create
    monkeypatch.setattr(
        QuerySet, "bulk_create",
        lambda self, *args, **kwargs: (
            refuse(self) if self.model is Announcement else bulk_create(self, *args, **kwargs)
        ),
    )  # fmt: skip
    outcome = services.close_site()
    assert not outcome.state.is_open
    assert not services.current_state().is_open
    assert "could not be written down" in caplog.text


def test_a_closure_made_in_the_table_is_told_when_it_is_noticed() -> None:
    services.init_defaults()
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    services.adopt_outside_change()
    assert moments() == ["started"]


def test_what_a_restored_database_had_forgotten_is_not_told_again() -> None:
    services.close_site()
    known = store.load()
    Maintenance.objects.update(epoch=0, revision=0, mode="open")
    SystemSetting.objects.filter(key="maintenance_mode").update(value="false")
    services.reassert(known)
    assert not services.current_state().is_open
    assert moments() == ["started"]


# -- The clock ---------------------------------------------------------------------------------


def swept(now: dt.datetime) -> list[str]:
    outbox.sweep(store.load(), now)
    return moments()


def test_reminders_start_and_end_come_with_the_clock_and_once() -> None:
    start = soon(days=3)
    services.schedule(start, start + dt.timedelta(hours=1))
    day, hour, minute = dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(minutes=1)
    expected = ["announced"]
    for now, moment in (
        (start - 2 * day, None),
        (start - day + minute, "reminder"),
        (start - hour + minute, "reminder"),
        (start + minute, "started"),
        (start + hour + minute, "ended"),
    ):
        expected += [moment] if moment else []
        assert swept(now) == expected
        assert swept(now) == expected


def test_a_closure_planned_in_short_notice_is_not_followed_by_a_reminder() -> None:
    services.schedule(soon(minutes=59), soon(minutes=90))
    assert swept(soon(seconds=10)) == ["announced"]


def test_many_processes_write_a_moment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    services.schedule(soon(hours=2), soon(hours=3))
    snapshot = store.load()
    for _process in range(3):
        monkeypatch.setattr(outbox, "_last", (None, set()))
        outbox.sweep(snapshot, soon(hours=2, seconds=10))
    assert moments() == ["announced", "started"]


def test_a_plan_that_was_changed_meanwhile_is_not_told_as_it_was() -> None:
    uid = services.schedule(soon(hours=2), soon(hours=3)).windows[0].uid
    stale = store.load()
    services.cancel(uid)
    assert outbox.sweep(stale, soon(hours=2, seconds=10)) == 0
    assert moments() == ["announced", "cancelled"]


def test_what_a_timer_had_brought_is_told_by_whoever_switches_first() -> None:
    services.close_site(until=soon(seconds=0.05), open_at_end=True)
    end = store.load().policy.ends_at
    assert end is not None
    while store.utc_now() <= end:
        pass
    services.close_site()
    assert moments() == ["started", "ended", "started"]
    assert len(set(Announcement.objects.values_list("key", flat=True))) == 3


def test_a_tick_without_anything_new_asks_the_database_nothing(
    django_assert_num_queries: Any,
) -> None:
    services.schedule(soon(hours=2), soon(hours=3))
    snapshot = store.load()
    outbox.sweep(snapshot, soon())
    with django_assert_num_queries(0):
        outbox.sweep(snapshot, soon(seconds=1))

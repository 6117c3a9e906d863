"""Closing and waiting in the admin: what the progress page and the card say, and to whom."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models import JSONField, Value
from django.template.loader import render_to_string
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone, translation

from backsoon import inflight, quiesce, services, store, workers
from backsoon.admin import pages, quiet
from backsoon.changes import carry_out
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import ConflictError, StoreUnavailableError
from backsoon.models import Change, Maintenance, Worker

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from backsoon.services import Outcome

pytestmark = pytest.mark.django_db

PAGE = "/admin/settings/progress/"
DATA = "/admin/settings/progress.json"
EXTEND = "/admin/settings/extend/"
CONFIRM = "/admin/settings/maintenance/"
DAY = dt.timedelta(days=1)


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def staff(bob: User) -> User:
    bob.is_staff = True
    bob.save()
    return bob


@pytest.fixture
def closure() -> Outcome:
    """The site is closed."""
    return services.close_site(reason="migration")


def worker(
    name: str = "web1",
    *,
    acked: int | None = None,
    seen: int | None = None,
    silence: float = 0,
    units: list[list[Any]] | None = None,
    more: int = 0,
    **values: Any,
) -> Worker:
    now = timezone.now()
    running = units or []
    return Worker.objects.create(
        id=workers.new_id(),
        kind="wsgi",
        host=name,
        pid=4711,
        born_at=now - DAY,
        seen_at=now - dt.timedelta(seconds=silence),
        seen_epoch=acked if seen is None else seen,
        acked_epoch=acked,
        in_flight=len(running) + more,
        units=running,
        **values,
    )


def asked(client: Client, **query: Any) -> dict[str, Any]:
    response = client.get(DATA, query)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def text_of(client: Client, url: str = PAGE) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def epoch_of(outcome: Outcome) -> int:
    return outcome.mark.epoch


# -- What is said ------------------------------------------------------------------------------


def test_quiet_is_said_once_every_worker_has_acknowledged(boss: Client, closure: Outcome) -> None:
    worker("web1", acked=epoch_of(closure))
    late = worker("web2", seen=epoch_of(closure), units=[["POST", "/orders/", 12.0]])
    answer = asked(boss)
    assert (answer["verdict"], answer["headline"]) == ("waiting", "Waiting for 1 of 2 workers")
    assert "Still running: POST /orders/ (12 s) on web2:4711" in answer["html"]
    assert "Do not begin yet." in answer["html"]

    Worker.objects.filter(pk=late.pk).update(acked_epoch=epoch_of(closure), in_flight=0, units=[])
    answer = asked(boss)
    assert (answer["verdict"], answer["headline"]) == ("quiet", "All quiet. It is safe to begin.")
    assert "Do not begin" not in answer["html"]
    assert "Cron jobs" in answer["html"]


def test_the_page_says_the_same_without_scripts(boss: Client, closure: Outcome) -> None:
    worker("web1", seen=epoch_of(closure), units=[["POST", "/orders/", 12.0]], more=2)
    html = text_of(boss)
    assert "Waiting for 1 of 1 worker<" in html
    assert "POST /orders/ (12 s)" in html
    assert "and 2 more" in html
    assert f'href="?epoch={epoch_of(closure)}"' in html
    assert "Still running: POST /orders/ (12 s) on web1:4711, and 2 more" in html
    assert "Keep waiting" in html
    assert html.count(">Open again<") == 1


def test_who_is_not_heard_of_is_named_with_what_to_do(boss: Client, closure: Outcome) -> None:
    Maintenance.objects.update(since=timezone.now() - DAY)
    worker("web1", acked=epoch_of(closure))
    lost = worker("web2", seen=epoch_of(closure), silence=40, units=[["POST", "/pay/", 3.0]])
    answer = asked(boss)
    assert answer["verdict"] == "silent"
    assert answer["headline"] == "Not proven quiet: web2:4711 has not been heard of for 40 s"
    assert f">python manage.py maintenance on --wait --assume-dead {lost.pk[:8]}<" in answer["html"]
    assert "POST /pay/ (43 s)" in answer["html"]


def test_the_card_says_not_proven_quiet_once(boss: Client, closure: Outcome) -> None:
    Maintenance.objects.update(since=timezone.now() - DAY)
    worker("web1", silence=40)
    card = text_of(boss, "/admin/")
    assert "Not proven quiet: web1:4711 has not been heard of for 40 s. <a" in card
    assert "Not quiet." not in card


def test_who_was_declared_dead_is_not_shown_beside_its_successor(
    boss: Client, closure: Outcome
) -> None:
    buried: dict[str, Any] = {"ended_at": timezone.now() - DAY, "ended_how": Worker.Ending.ASSUMED}
    worker("web1", **buried)
    worker("web2", **buried)
    worker("web1", acked=epoch_of(closure))
    answer = asked(boss)
    assert answer["html"].count("web1:4711") == 1
    assert answer["html"].count("web2:4711") == 1
    assert answer["html"].count("declared dead") == 1


@pytest.mark.parametrize("ages", [(12.1, 12.9), (12.9, 12.1)])
def test_of_two_of_the_same_age_always_the_same_is_named(
    boss: Client, closure: Outcome, ages: tuple[float, float]
) -> None:
    for name, age in zip(("web1", "web2"), ages, strict=True):
        worker(name, seen=epoch_of(closure), units=[["POST", "/orders/", age]])
    assert "on web1:4711, and 1 more" in quiet.tell().detail


def test_several_who_are_not_heard_of_are_counted(boss: Client, closure: Outcome) -> None:
    Maintenance.objects.update(since=timezone.now() - DAY)
    worker("web1", silence=300)
    worker("web2", silence=9000)
    answer = asked(boss)
    assert answer["headline"] == "Not proven quiet: 2 workers have not been heard of for a while"
    assert "not heard of for 5 min" in answer["html"]
    assert "not heard of for 2 h" in answer["html"]


def test_nothing_is_called_quiet_where_nobody_has_registered(
    boss: Client, closure: Outcome
) -> None:
    answer = asked(boss)
    assert (answer["verdict"], answer["headline"]) == (
        "unknown", "Not known: no process has registered.",
    )  # fmt: skip
    worker("web1", ended_at=timezone.now(), ended_how=Worker.Ending.GONE)
    assert asked(boss)["verdict"] == "unknown"


def test_nothing_is_called_quiet_where_the_rows_cannot_be_read(
    boss: Client, closure: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**kwargs: Any) -> None:
        raise StoreUnavailableError("gone")

    worker("web1", acked=epoch_of(closure))
    monkeypatch.setattr(quiesce, "look", fail)
    answer = asked(boss)
    assert answer["verdict"] == "unknown"
    assert answer["headline"] == "Not known: the database did not answer."
    assert "All quiet" not in text_of(boss)
    assert "the database did not answer" in text_of(boss, "/admin/")


def test_who_was_declared_dead_a_moment_ago_is_waited_for_a_lease(
    boss: Client, closure: Outcome
) -> None:
    worker("web1", acked=epoch_of(closure))
    dead = worker("web2", silence=100)
    services.assume_dead(dead.pk, origin=services.Origin(name="ann"))
    answer = asked(boss)
    assert answer["verdict"] == "waiting"
    assert answer["headline"].startswith("All have answered. Waiting a few seconds")
    assert "declared dead, not waited for" in answer["html"]


def test_another_closure_than_the_one_that_was_waited_for_is_never_called_quiet(
    boss: Client, closure: Outcome
) -> None:
    worker("web1", acked=epoch_of(closure))
    assert asked(boss, epoch=epoch_of(closure))["verdict"] == "quiet"
    services.open_site()
    again = services.close_site()
    Worker.objects.update(acked_epoch=epoch_of(again), seen_epoch=epoch_of(again))
    answer = asked(boss, epoch=epoch_of(closure))
    assert (answer["verdict"], answer["closed"]) == ("overtaken", True)
    html = text_of(boss, f"{PAGE}?epoch={epoch_of(closure)}")
    assert "Somebody has switched" in html
    assert "Open again" not in html
    assert asked(boss, epoch=epoch_of(again))["verdict"] == "quiet"


def test_an_open_site_has_nothing_to_wait_for(boss: Client) -> None:
    worker("web1", seen=0)
    answer = asked(boss)
    assert (answer["verdict"], answer["headline"], answer["closed"]) == (
        "overtaken", "The site is open.", False,
    )  # fmt: skip
    html = text_of(boss)
    assert "Open again" not in html


def test_read_only_is_quiet_when_nothing_writes(boss: Client) -> None:
    closed = services.close_site(mode=Mode.READ_ONLY)
    worker("web1", acked=epoch_of(closed))
    assert "Visitors still read" in asked(boss)["html"]


def test_a_worker_that_does_not_know_yet_is_waited_for(boss: Client, closure: Outcome) -> None:
    worker("web1", seen=0)
    assert "has not answered yet" in asked(boss)["html"]
    assert asked(boss)["verdict"] == "waiting"


def test_paths_of_strangers_are_no_markup(boss: Client, closure: Outcome) -> None:
    worker("<b>web1</b>", seen=epoch_of(closure), units=[["POST", "/<script>x</script>/", 1.0]])
    for html in (asked(boss)["html"], text_of(boss)):
        assert "<script>x" not in html
        assert "<b>web1" not in html
        assert "/&lt;script&gt;x" in html


def test_lengths_of_time_have_one_unit() -> None:
    assert [quiet.span(s) for s in (0.4, 119.9, 120, 7199, 7200, 90_000)] == [
        "0 s", "119 s", "2 min", "119 min", "2 h", "25 h",
    ]  # fmt: skip


# -- A command ---------------------------------------------------------------------------------

RUN = {"command": "python manage.py migrate --noinput", "ended": ""}


def test_all_quiet_is_not_the_whole_story_while_a_command_runs(boss: Client) -> None:
    closed = services.close_site(run=RUN)
    worker("web1", acked=epoch_of(closed))
    answer = asked(boss)
    assert answer["verdict"] == "quiet"
    assert answer["headline"] == "All quiet. The site is closed for a command."
    assert (
        'may still run: <code dir="ltr">python manage.py migrate --noinput</code>' in answer["html"]
    )
    assert "Begin nothing beside it." in answer["html"]
    assert "safe to begin" not in text_of(boss)


def test_who_waits_for_the_others_reads_of_the_command_as_well(boss: Client) -> None:
    closed = services.close_site(run=RUN)
    worker("web1", seen=epoch_of(closed), units=[["POST", "/orders/", 1.0]])
    assert "manage.py migrate" in asked(boss)["html"]


def test_card_and_question_name_the_command(boss: Client) -> None:
    services.close_site(run=RUN | {"command": "<b>migrate</b>"})
    html = text_of(boss, "/admin/")
    assert '<dt>Command</dt><dd><code dir="ltr">&lt;b&gt;migrate&lt;/b&gt;</code>' in html
    dialog = html.partition("<dialog")[2]
    for question in (dialog, text_of(boss, CONFIRM)):
        assert "The site is closed for a command, which may still run:" in question
        assert "Opening does not stop it." in question
        assert "&lt;b&gt;migrate" in question


def test_a_command_that_has_ended_is_not_spoken_of(boss: Client) -> None:
    closed = services.close_site(run=RUN | {"ended": "2030-01-01T12:00:00+00:00"})
    worker("web1", acked=epoch_of(closed))
    assert asked(boss)["headline"] == "All quiet. It is safe to begin."
    for url in ("/admin/", CONFIRM, PAGE):
        assert "migrate" not in text_of(boss, url)


def test_others_of_the_staff_do_not_read_the_command(client: Client, staff: User) -> None:
    services.close_site(run=RUN)
    client.force_login(staff)
    assert "migrate" not in text_of(client, "/admin/")


@pytest.mark.parametrize("broken", [[], "migrate", 7, None, {"command": 7}, {"ended": None}])
def test_a_record_that_somebody_broke_names_no_command(boss: Client, broken: Any) -> None:
    services.close_site(run=RUN)
    Maintenance.objects.update(run=broken if broken is not None else Value(None, JSONField()))
    assert store.load().policy.switch.run == ""
    assert "Maintenance Mode is Active" in text_of(boss, "/admin/")


# -- Who may see it ----------------------------------------------------------------------------


def test_administrators_see_it_and_have_no_buttons(
    client: Client, support: User, closure: Outcome
) -> None:
    support.is_staff = True
    support.save()
    client.force_login(support)
    worker("web1", acked=epoch_of(closure))
    assert asked(client)["verdict"] == "quiet"
    html = text_of(client)
    assert "All quiet" in html
    assert "Open again" not in html
    assert client.post(EXTEND).status_code == 403


def test_others_of_the_staff_do_not_see_what_runs(
    client: Client, staff: User, closure: Outcome
) -> None:
    worker("web1", seen=epoch_of(closure), units=[["POST", "/secret/", 1.0]])
    client.force_login(staff)
    assert client.get(PAGE).status_code == 403
    refused = client.get(DATA)
    assert (refused.status_code, refused.json()["success"]) == (403, False)
    index = text_of(client, "/admin/")
    assert PAGE not in index
    assert EXTEND not in index
    assert "of 1 worker" not in index


def test_strangers_get_the_login_page_and_as_json_a_refusal(client: Client) -> None:
    assert client.get(PAGE)["Location"].startswith("/admin/login/?next=")
    assert client.get(DATA).status_code == 403


def test_the_answer_is_stored_nowhere_and_changes_nothing(boss: Client, closure: Outcome) -> None:
    response = boss.get(DATA)
    assert "no-store" in response["Cache-Control"]
    refused = boss.post(DATA)
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")
    assert boss.post(PAGE).status_code == 405


# -- The card ----------------------------------------------------------------------------------


def test_the_card_says_whether_all_is_quiet(boss: Client, closure: Outcome) -> None:
    busy = worker("web1", seen=epoch_of(closure), units=[["POST", "/orders/", 1.0]])
    html = text_of(boss, "/admin/")
    assert "Not quiet. Waiting for 1 of 1 worker." in html
    assert f'href="{PAGE}"' in html
    Worker.objects.filter(pk=busy.pk).update(acked_epoch=epoch_of(closure))
    assert "All quiet: nothing that began before runs any more." in text_of(boss, "/admin/")


def test_the_card_of_an_open_site_says_nothing_about_quiet(boss: Client) -> None:
    worker("web1", seen=0)
    html = text_of(boss, "/admin/")
    assert "backsoon-quietness" not in html
    assert "See what runs" not in html


# -- Closing and waiting -----------------------------------------------------------------------


def test_without_javascript_one_button_closes_and_leads_to_the_wait(boss: Client) -> None:
    assert 'name="wait"' in text_of(boss, CONFIRM)
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": "0", "wait": "1"}, follow=True)
    assert response.redirect_chain == [(f"{PAGE}?epoch=1", 302)]
    assert "Maintenance mode enabled" in response.content.decode()


def test_the_question_says_what_the_second_button_waits_for(boss: Client) -> None:
    sentence = "With “Enable and wait” you see when nothing that began before runs any more."
    for url in ("/admin/", CONFIRM):
        assert sentence in text_of(boss, url)
    services.close_site()
    for url in ("/admin/", CONFIRM):
        assert sentence not in text_of(boss, url)


def test_the_other_button_leads_back_to_the_card(boss: Client) -> None:
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": "0"})
    assert response["Location"] == "/admin/"


def test_who_would_be_locked_out_cannot_wait_there(client: Client, staff: User) -> None:
    staff.user_permissions.add(Permission.objects.get(codename="change_maintenance"))
    client.force_login(staff)
    assert 'name="wait"' not in text_of(client, CONFIRM)
    assert "data-next" not in text_of(client, "/admin/")


def counted_now() -> list[int]:
    """How many units are counted: ordinary ones, those that only read, and the others."""
    return [len(inflight.UNITS), len(inflight.READERS), len(inflight.APART)]


def toggle(client: Client) -> None:
    client.post("/admin/settings/toggle-maintenance/", {"enabled": "true"})


def confirm(client: Client) -> None:
    client.post(CONFIRM, {"enabled": "true"})


def save_settings(client: Client) -> None:
    client.post("/admin/settings/?group=maintenance", {"maintenance_mode": "on"})


@pytest.mark.parametrize("close", [toggle, confirm, save_settings])
def test_nobody_waits_for_the_request_that_closes(
    boss: Client, monkeypatch: pytest.MonkeyPatch, close: Any
) -> None:
    counted: list[list[int]] = []

    def look_first(*args: Any, **kwargs: Any) -> Outcome:
        counted.append(counted_now())
        return carry_out(*args, **kwargs)

    for verbs in ("attempts", "saving"):
        monkeypatch.setattr(f"backsoon.services.{verbs}.carry_out", look_first)
    close(boss)
    assert counted == [[0, 0, 1]]
    assert counted_now() == [0, 0, 0]


def test_a_request_that_nobody_counts_is_not_counted_by_standing_aside() -> None:
    pages.stand_aside(RequestFactory().post("/"))
    assert counted_now() == [0, 0, 0]


@pytest.fixture(params=["en", "fr"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    with translation.override(request.param):
        yield request.param


def test_every_telling_can_be_said_in_every_language(language: str, closure: Outcome) -> None:
    worker("web1", seen=epoch_of(closure), units=[["POST", "/orders/", 12.0]], more=3)
    worker("web2", silence=100)
    worker("web3", acked=epoch_of(closure))
    telling = quiet.tell()
    assert telling.headline
    assert telling.epoch == epoch_of(closure)
    assert [line.place for line in telling.lines] == ["web1:4711", "web2:4711", "web3:4711"]


# -- More time ---------------------------------------------------------------------------------


def overdue_at() -> dt.datetime | None:
    return Maintenance.objects.get().overdue_at


def test_one_press_gives_the_closure_a_day_more(boss: Client, root: User, closure: Outcome) -> None:
    before = overdue_at()
    assert before is not None
    card = text_of(boss, "/admin/")
    assert "Give 24 hours more" in card
    assert f'action="{EXTEND}"' in card
    response = boss.post(EXTEND, {"epoch": epoch_of(closure)}, follow=True)
    assert overdue_at() == before + DAY
    assert "The closure may last until" in response.content.decode()
    latest = Change.objects.latest("pk")
    assert (latest.actor_name, latest.channel, latest.action) == ("root", "web", "settings")


def test_pressed_on_an_outdated_page_it_changes_nothing(boss: Client, closure: Outcome) -> None:
    services.extend_closure(DAY)
    before = overdue_at()
    response = boss.post(EXTEND, {"epoch": epoch_of(closure)}, follow=True)
    assert "Somebody else switched in the meantime" in response.content.decode()
    assert overdue_at() == before


def test_pressed_when_the_site_is_open_it_says_so(boss: Client) -> None:
    response = boss.post(EXTEND, {}, follow=True)
    assert "there is nothing to extend" in response.content.decode()


def test_pressed_while_the_database_is_away_it_says_that_nothing_changed(
    boss: Client, closure: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailableError("gone")

    monkeypatch.setattr(services, "extend_closure", fail)
    response = boss.post(EXTEND, {"epoch": epoch_of(closure)}, follow=True)
    assert "Nothing was changed" in response.content.decode()


def test_more_time_is_never_given_by_a_link(boss: Client, closure: Outcome) -> None:
    before = overdue_at()
    assert boss.get(EXTEND).status_code == 405
    assert Client(enforce_csrf_checks=True).post(EXTEND).status_code in (302, 403)
    assert overdue_at() == before


def test_the_bar_says_that_a_closure_is_overdue() -> None:
    told = [
        render_to_string("backsoon/admin/bar.html", {"mode": "closed", "overdue": overdue})
        for overdue in (True, False)
    ]
    assert ["it has lasted too long" in html for html in told] == [True, False]


def test_the_card_says_that_a_closure_is_overdue(boss: Client, closure: Outcome) -> None:
    Maintenance.objects.update(overdue_at=timezone.now() - DAY)
    html = text_of(boss, "/admin/")
    assert "Overdue since" in html
    assert "Open it, or give it more time." in html
    assert "Give 24 hours more" in html


@override_settings(BACKSOON={"OPEN_WHEN_OVERDUE": True})
def test_the_card_says_when_the_site_opens_at_the_latest(boss: Client) -> None:
    services.close_site()
    assert "Opens at the latest" in text_of(boss, "/admin/")


@override_settings(BACKSOON={"MAX_CLOSURE": 0})
def test_a_closure_without_a_limit_shows_none(boss: Client) -> None:
    services.close_site()
    html = text_of(boss, "/admin/")
    assert "Give 24 hours more" not in html
    assert "<dt>Alarm</dt>" not in html


# -- Small things around -----------------------------------------------------------------------


def test_after_a_conflict_the_page_lists_nothing_that_will_not_happen(boss: Client) -> None:
    services.close_site(origin=services.Origin(name="ann"))
    response = boss.post(CONFIRM, {"enabled": "true", "epoch": "0"})
    html = response.content.decode()
    assert response.status_code == 409
    assert "ann switched in the meantime" in html
    assert "Maintenance is active already" in html
    assert "Visitors will see the maintenance page at once" not in html


def test_closing_a_read_only_site_still_has_its_consequences(boss: Client) -> None:
    services.close_site(mode=Mode.READ_ONLY)
    html = boss.post(CONFIRM, {"enabled": "true", "epoch": "0"}).content.decode()
    assert "Maintenance is active already" not in html
    assert "Visitors will see the maintenance page at once" in html


def test_the_filters_of_the_history_have_titles_that_can_be_read(
    boss: Client, closure: Outcome
) -> None:
    services.open_site(origin=services.Origin(name="ann", channel=Change.Channel.COMMAND))
    html = " ".join(text_of(boss, "/admin/backsoon/change/").split())
    for title in ("By time", "By action", "By origin", "By person"):
        assert title in html
    assert "By from where" not in html


def test_the_settings_stand_in_the_lists_of_the_admin(
    boss: Client, staff: User, client: Client
) -> None:
    entry = "/admin/backsoon/systemsetting/"
    assert entry in text_of(boss, "/admin/")
    assert boss.get(entry)["Location"] == "/admin/settings/"
    client.force_login(staff)
    assert entry not in text_of(client, "/admin/")


def test_without_our_addresses_the_lists_do_not_name_them(boss: Client) -> None:
    with override_settings(ROOT_URLCONF="tests.integration.urls_without_ours"):
        assert "/admin/backsoon/systemsetting/" not in text_of(boss, "/admin/")


def test_the_history_tells_of_alarms_and_extensions_in_words(
    boss: Client, closure: Outcome
) -> None:
    services.extend_closure(DAY)
    html = text_of(boss, "/admin/backsoon/change/")
    _before, found, told = html.partition("Overdue from: ")
    assert found
    told = told.partition("</span>")[0]
    assert " → " in told
    assert not re.search(r"\d{4}-\d\d-\d\dT", told)


def test_a_conflict_of_two_who_extend_is_one_extension(closure: Outcome) -> None:
    services.extend_closure(DAY, expected=closure.mark)
    with pytest.raises(ConflictError):
        services.extend_closure(DAY, expected=closure.mark)

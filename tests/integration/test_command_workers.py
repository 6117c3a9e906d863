"""``manage.py maintenance workers``, and what ``status`` and ``doctor`` say of them."""

from __future__ import annotations

import pytest

from backsoon import services
from backsoon.models import Maintenance, Worker
from tests.integration.commands import failing_database, run
from tests.integration.fleet import Fleet, fleet

pytestmark = pytest.mark.django_db

__all__ = ["fleet"]


def test_each_worker_is_listed_with_what_it_knows_and_runs(fleet: Fleet) -> None:
    services.close_site()
    fleet.worker(4711, id="a" * 32, seen_epoch=1, acked_epoch=1)
    units = [["POST", "/orders/", 12.0], ["GET", "/report/", 3.0]]
    fleet.worker(4712, id="b" * 32, seen_epoch=1, in_flight=3, units=units)
    fleet.worker(88, "web2", id="c" * 32, silent_for=720.0)
    result = run("workers")
    assert result.code == 0
    assert [line.rstrip() for line in result.lines] == [
        (
            "ID      WORKER     KIND  VERSION  HEARD OF        KNOWS  STATE                  "
            "RUNNING, AS LAST HEARD"
        ),
        "aaaaaa  web1:4711  wsgi  1.0      0.0 s ago       1      quiet",
        (
            "bbbbbb  web1:4712  wsgi  1.0      0.0 s ago       1      busy                   "
            "POST /orders/ for 12 s"
        ),
        " " * 80 + "GET /report/ for 3.0 s",
        " " * 80 + "1 more",
        "cccccc  web2:88    wsgi  1.0      12 minutes ago  -      silent for 12 minutes",
        (
            "The site is closed (epoch 1). Workers: not quiet: web1:4712 (wsgi) busy, "
            "web2:88 (wsgi) silent for 12 minutes."
        ),
    ]


def test_the_list_in_json_has_all_that_is_known(fleet: Fleet) -> None:
    services.close_site()
    worker = fleet.worker(seen_epoch=1, acked_epoch=1, apart=1)
    answer = run("workers", "--json").json
    (told,) = answer.pop("workers")
    assert answer == {"mode": "closed", "epoch": 1, "quiet": True}
    assert told == {
        "id": worker,
        "kind": "wsgi",
        "host": "web1",
        "pid": 4711,
        "version": "1.0",
        "condition": "quiet",
        "age": 0.0,
        "silence": 0.0,
        "seen_epoch": 1,
        "acked_epoch": 1,
        "in_flight": 0,
        "apart": 1,
        "units": [],
        "ended": "",
    }


def test_those_that_have_ended_are_listed_only_when_asked_for(fleet: Fleet) -> None:
    fleet.worker(4711)
    units = [["POST", "/orders/", 12.0]]
    fleet.worker(4712, ended_at=fleet.now(), ended_how=Worker.Ending.GONE, units=units)
    assert "web1:4712" not in run("workers").out
    assert "/orders/" not in run("workers", "--all").out
    assert "ended (gone)" in run("workers", "--all").out
    assert len(run("workers", "--json").json["workers"]) == 1
    assert len(run("workers", "--json", "--all").json["workers"]) == 2


def test_an_empty_list_says_what_that_means(fleet: Fleet) -> None:
    (line,) = run("workers").lines
    assert line.startswith("No worker is registered. A process registers with its first request")
    assert run("workers", "--json").json["workers"] == []


def test_different_versions_are_pointed_out(fleet: Fleet) -> None:
    fleet.worker(4711, version="1.0")
    fleet.worker(4712, version="1.1")
    assert run("workers").lines[-1] == (
        "Different versions of Backsoon run at once: 1.0, 1.1. Restart those that are behind."
    )


def test_without_a_database_the_workers_are_not_known() -> None:
    with failing_database():
        result = run("workers")
    assert result.code == 5
    assert result.err.startswith("The workers are not known: the database ")


# -- status ---------------------------------------------------------------------------------------


def workers_line() -> str:
    (line,) = [line for line in run("status").lines if line.startswith("  workers: ")]
    return line.removeprefix("  workers: ")


def test_status_says_whether_all_have_acknowledged(fleet: Fleet) -> None:
    assert workers_line() == "none is registered"
    services.close_site()
    for pid in range(4):
        fleet.worker(pid, seen_epoch=1, acked_epoch=1)
    assert workers_line() == "quiet: all 4 workers acknowledged"
    assert run("status", "--json").json["quiet"] is True
    fleet.worker(4711, seen_epoch=1, in_flight=1)
    assert workers_line() == "not quiet: web1:4711 (wsgi) busy"
    answer = run("status", "--json").json
    assert (answer["quiet"], len(answer["workers"])) == (False, 5)


def test_status_of_an_open_site_says_who_does_not_know(fleet: Fleet) -> None:
    services.close_site()
    services.open_site()
    fleet.worker(4711, seen_epoch=2)
    assert workers_line() == "1; the site is open in it"
    fleet.worker(4712, seen_epoch=1)
    assert workers_line() == "2; not known to be open in web1:4712 (wsgi) unaware"
    assert run("status", "--json").json["quiet"] is None


def test_somebodys_word_is_not_enough_before_the_lease_is_over(fleet: Fleet) -> None:
    services.close_site()
    fleet.worker(4711, seen_epoch=1, acked_epoch=1)
    fleet.worker(88, ended_at=fleet.now(), ended_how=Worker.Ending.ASSUMED)
    assert workers_line().startswith("not quiet: one is not waited for on somebody's word")
    fleet.pause(0.0)
    fleet.seconds = 10.0
    assert workers_line() == "quiet: the one worker acknowledged"


# -- doctor ---------------------------------------------------------------------------------------


def findings() -> dict[str, str]:
    answer = run("doctor", "--json").json
    return {finding["id"]: finding["level"] for finding in answer["findings"]}


def test_the_doctor_finds_silent_workers_and_different_versions(fleet: Fleet) -> None:
    fleet.worker(4711, version="1.0")
    assert not {"silent", "versions"} & set(findings())
    fleet.worker(88, "web2", silent_for=60.0, version="1.1")
    found = findings()
    assert (found["silent"], found["versions"]) == ("problem", "note")


def test_a_closure_that_another_process_begins_is_about_its_own_number(fleet: Fleet) -> None:
    services.close_site()
    worker = fleet.worker(seen_epoch=1, acked_epoch=1)
    services.open_site()
    services.close_site()
    assert Maintenance.objects.get().epoch == 3
    assert workers_line() == "not quiet: web1:4711 (wsgi) unaware"
    Worker.objects.filter(pk=worker).update(seen_epoch=3, acked_epoch=3)
    assert workers_line() == "quiet: the one worker acknowledged"


def test_a_worker_that_knows_that_the_site_is_open_is_not_called_quiet(fleet: Fleet) -> None:
    fleet.worker(4711, seen_epoch=0, in_flight=1, units=[["GET", "/", 0.1]])
    _head, line, _summary = run("workers").lines
    assert " open " in line
    assert "quiet" not in line

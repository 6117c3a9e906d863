"""The emergency brake: pulled without the database, obeyed at once, merged when it is back."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from backsoon import brakes, braking, environment, hostfiles, lastknown, services, store
from backsoon import gate as gate_module
from backsoon.core.vocabulary import Brake, Mode, Why
from backsoon.exceptions import ConflictError, StoreUnavailableError
from backsoon.gate import Gate
from backsoon.hostfiles import DirectoryUnusableError, UnusableError
from backsoon.models import Change, Maintenance
from backsoon.services import Fate
from tests.integration.commands import failing_database, run, stop_the_clock

pytestmark = pytest.mark.django_db

ANN = services.Origin(name="ann@web1", channel=Change.Channel.COMMAND)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A host called web1 with a directory of its own, and a process that serves."""
    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    monkeypatch.setattr(socket, "gethostname", lambda: "web1")
    monkeypatch.setattr(lastknown, "_written", None)
    monkeypatch.setattr(lastknown, "_told", {})
    monkeypatch.setattr(brakes, "_seen", None)
    with override_settings(BACKSOON={"STATE_DIR": tmp_path / "state"}):
        yield tmp_path / "state"


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


def worker(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A process that was born just now and has had its first look."""
    one = Gate()
    monkeypatch.setattr(one.watcher, "start", one.keeper.look)
    monkeypatch.setattr(gate_module, "FIRST_READING_SECONDS", 0.0)
    one.view()
    return one


def mode(one: Gate) -> Mode:
    one.keeper.look()
    return one.view().state.mode


def orders() -> list[Change]:
    """The rows of the history that tell of an order on one host."""
    return [change for change in Change.objects.all() if "local" in change.after]


def pull(wanted: Mode, reason: str = "") -> Brake:
    return services.pull_brake(wanted, origin=ANN, host="web1", reason=reason)


# -- Workers obey --------------------------------------------------------------------------------


def test_with_the_database_gone_an_order_closes_and_opens_the_host_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(monkeypatch)
    assert mode(one) is Mode.OPEN
    with failing_database():
        pull(Mode.CLOSED, "fire")
        assert mode(one) is Mode.CLOSED
        state = one.view().state
        assert (state.why, state.by, state.reason) == (Why.SWITCH, "ann@web1", "fire")
        pull(Mode.OPEN)
        assert mode(one) is Mode.OPEN


def test_an_order_of_this_host_ends_its_logins_and_opening_does_not_revive_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(monkeypatch)
    before = one.view().state.generation
    with failing_database():
        pull(Mode.CLOSED)
        assert mode(one) is Mode.CLOSED
        ended = one.view().state.generation
        assert ended > before
        pull(Mode.OPEN)
        assert mode(one) is Mode.OPEN
        assert one.view().state.generation == ended
    assert mode(one) is Mode.OPEN
    assert one.view().state.generation == ended == Maintenance.objects.get().generation


def test_a_worker_born_without_the_database_believes_the_hosts_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services.close_site(message="Moving house")
    worker(monkeypatch)
    with failing_database():
        newborn = worker(monkeypatch)
        view = newborn.view()
        assert (view.state.mode, view.state.why) == (Mode.CLOSED, Why.SWITCH)
        assert view.snapshot.policy.notice("en").message == "Moving house"
    services.open_site()
    assert mode(newborn) is Mode.OPEN


def test_a_copy_brings_no_lease(monkeypatch: pytest.MonkeyPatch, host: Path) -> None:
    with override_settings(BACKSOON={"STATE_DIR": host, "ON_STORE_LOSS": "close"}):
        worker(monkeypatch)
        with failing_database():
            newborn = worker(monkeypatch)
            assert newborn.view().state.why is Why.UNKNOWN
            assert newborn.view().state.mode is Mode.CLOSED
            pull(Mode.OPEN)  # somebody decided; that needs none
            assert mode(newborn) is Mode.OPEN


def test_a_worker_born_without_the_database_and_without_a_copy_obeys_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with failing_database():
        assert worker(monkeypatch).view().state.why is Why.UNKNOWN
        pull(Mode.OPEN)
        newborn = worker(monkeypatch)
        assert newborn.view().state.mode is Mode.OPEN
        assert newborn.snapshot is None  # an order is no knowledge


def test_a_copy_is_written_again_when_somebody_removed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(monkeypatch)
    hostfiles.path_of(lastknown.KIND).unlink()
    one.refresh()
    one.keeper.look()
    assert lastknown.load() is not None


def test_when_an_order_disappears_without_the_database_it_stays_in_force_until_a_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(monkeypatch)
    with failing_database():
        brake = pull(Mode.CLOSED)
        assert mode(one) is Mode.CLOSED
        brakes.release(brake)
        assert mode(one) is Mode.CLOSED
    assert mode(one) is Mode.OPEN


# -- Merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [Mode.CLOSED, Mode.OPEN])
def test_the_first_worker_that_reaches_the_database_makes_the_order_everybodys(
    monkeypatch: pytest.MonkeyPatch, wanted: Mode
) -> None:
    services.init_defaults()
    if wanted is Mode.OPEN:
        services.close_site(until=store.utc_now() + HOUR)
    one, other = worker(monkeypatch), worker(monkeypatch)
    with failing_database():
        brake = pull(wanted, "fire")
        assert mode(one) is mode(other) is wanted
    assert mode(one) is mode(other) is wanted
    assert not hostfiles.path_of(brakes.KIND).exists()
    (row,) = orders()
    assert row.action == (Change.Action.CLOSED if wanted is Mode.CLOSED else Change.Action.OPENED)
    assert (row.actor_name, row.channel, row.reason) == ("ann@web1", "command", "fire")
    assert row.at == brake.at
    assert row.after["local"] == "set locally on web1 while the database was away"
    control = Maintenance.objects.get()
    assert (control.mode, control.since, control.epoch) == (wanted.value, brake.at, row.epoch)
    assert control.generation >= brake.generation
    stored = store.load()
    assert not stored.changed_outside
    assert stored.policy.ends_at is None
    assert one.view().state.mode is wanted


def test_a_later_decision_elsewhere_holds_and_the_history_tells_of_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker(monkeypatch)
    with failing_database():
        brake = pull(Mode.CLOSED, "fire")
        assert mode(one) is Mode.CLOSED
    services.close_site(reason="elsewhere")
    services.open_site(reason="elsewhere")
    assert mode(one) is Mode.OPEN
    (row,) = orders()
    assert row.action == Change.Action.NOTICED
    assert (row.at, row.actor_name, row.reason) == (brake.at, "ann@web1", "fire")
    assert row.after["local"].endswith("; not applied")
    assert Maintenance.objects.get().mode == "open"
    assert not hostfiles.path_of(brakes.KIND).exists()


def test_where_the_host_knew_nothing_the_clocks_tell_which_decision_is_later(
    noon: dt.datetime,
) -> None:
    services.close_site()
    early = Brake(Mode.OPEN, noon - HOUR, by="ann@web1", host="web1")
    late = Brake(Mode.OPEN, noon + HOUR, by="ann@web1", host="web1")
    assert services.merge_brake(early) is Fate.OVERRULED
    assert Maintenance.objects.get().mode == "closed"
    assert services.merge_brake(late) is Fate.APPLIED
    assert Maintenance.objects.get().mode == "open"


@pytest.mark.parametrize("epoch", [0, None])
@pytest.mark.parametrize("moved", [True, False])
def test_however_often_it_is_merged_the_history_gets_one_row(
    noon: dt.datetime, epoch: int | None, moved: bool
) -> None:
    if moved:
        services.close_site()
    brake = Brake(Mode.CLOSED, noon + HOUR, by="ann@web1", host="web1", epoch=epoch)
    fates = [services.merge_brake(brake) for _again in range(3)]
    assert fates[1:] == [Fate.SETTLED, Fate.SETTLED]
    assert fates[0] is (Fate.OVERRULED if moved and epoch == 0 else Fate.APPLIED)
    assert len(orders()) == 1


@pytest.mark.parametrize("applies", [None, True, False])
def test_two_that_merge_at_the_same_moment_leave_one_row(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch, applies: bool | None
) -> None:
    brake = Brake(Mode.CLOSED, noon, by="ann@web1", host="web1", epoch=0)
    name = {None: "_holds", True: "_plan", False: "_record_overruled"}[applies]
    real = getattr(braking, name)
    looked = False

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        nonlocal looked
        if not looked:  # the other one is faster, after we have looked
            looked = True
            assert services.merge_brake(brake, applies=applies) is not Fate.SETTLED
        return real(*args, **kwargs)

    monkeypatch.setattr(braking, name, overtaken)
    assert services.merge_brake(brake, applies=applies) is Fate.SETTLED
    assert looked
    assert len(orders()) == 1


def test_a_database_that_can_be_read_but_not_written_leaves_the_order_in_force(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = worker(monkeypatch)
    pull(Mode.CLOSED)

    def refuse(execute: Any, sql: str, *args: Any) -> Any:
        if not sql.startswith(("SELECT", "SAVEPOINT", "ROLLBACK", "RELEASE")):
            raise OperationalError("read-only transaction")
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        assert mode(one) is Mode.CLOSED
        assert mode(one) is Mode.CLOSED
        assert one.store_is_reachable
    assert caplog.text.count("what was ordered on this host cannot be stored") == 1
    assert mode(one) is Mode.CLOSED
    assert len(orders()) == 1


def test_an_order_whose_file_cannot_be_removed_is_merged_once_and_then_lets_go(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = worker(monkeypatch)
    pull(Mode.CLOSED)

    def refuse(*args: Any) -> None:
        raise UnusableError("Read-only file system")

    monkeypatch.setattr(hostfiles.Folder, "remove", refuse)
    assert mode(one) is Mode.CLOSED
    assert "its file cannot be removed" in caplog.text
    services.open_site()
    assert mode(one) is Mode.OPEN
    with failing_database():
        assert mode(one) is Mode.OPEN  # also when nobody can say any more that it was merged
    other = worker(monkeypatch)
    assert mode(other) is Mode.OPEN
    assert len(orders()) == 1


def test_an_order_survives_a_database_that_was_set_back_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services.close_site()
    services.open_site()
    services.close_site()
    one = worker(monkeypatch)
    with failing_database():
        pull(Mode.OPEN)
        assert mode(one) is Mode.OPEN
    Maintenance.objects.update(epoch=1, revision=1)  # a backup was restored
    assert mode(one) is Mode.OPEN
    control = Maintenance.objects.get()
    assert (control.mode, control.epoch) == ("open", 4)
    assert mode(one) is Mode.OPEN


# -- The command ---------------------------------------------------------------------------------


def test_on_local_writes_the_order_before_it_asks_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(*args: Any) -> Any:
        assert hostfiles.path_of(brakes.KIND).exists(), "the database was asked first"
        raise OperationalError("it is gone")

    with connection.execute_wrapper(look):
        result = run("on", "--local")
    assert result.code == 0
    assert "it is gone" in result.out


def test_on_local_says_what_was_done_where_and_how_to_undo_it(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker(monkeypatch)
    with failing_database():
        result = run("on", "--local", "--reason", "fire")
    assert result.lines[0] == "Maintenance is on, on this host: web1, since 12:00 UTC."
    own = hostfiles.user_name(os.geteuid())
    assert f"run as {own} obey within 1 s" in result.lines[1]
    assert result.lines[1].endswith(str(hostfiles.path_of(brakes.KIND)))
    assert "answered with an error (the disk is full). Other hosts are not told." in result.lines[2]
    assert result.lines[3:] == ["  To undo: manage.py maintenance off --local"]
    brake = brakes.read()
    assert brake is not None
    assert (brake.mode, brake.reason, brake.host) == (Mode.CLOSED, "fire", "web1")
    assert brake.by.endswith("@web1")
    assert brake.epoch == 0


def test_off_local_opens_and_says_how_to_undo_it() -> None:
    with failing_database():
        result = run("off", "--local")
    assert result.lines[0].startswith("The site is open, on this host: web1, since ")
    assert result.lines[-1] == "  To undo: manage.py maintenance on --local"


def test_where_no_process_left_a_copy_the_answer_says_that_nobody_may_see_the_order() -> None:
    with failing_database():
        assert "Nobody may see it" in run("on", "--local").out


@pytest.mark.parametrize("sub_command", ["on", "off"])
def test_with_the_database_there_the_order_is_everybodys_at_once(sub_command: str) -> None:
    services.init_defaults()
    services.close_site()  # of which this host has not heard
    result = run(sub_command, "--local", "--reason", "drill")
    assert result.code == 0
    assert "this holds for all hosts. Maintenance is " in result.out
    other = "off" if sub_command == "on" else "on"
    assert result.lines[-1] == f"  To undo: manage.py maintenance {other}"
    (row,) = orders()
    assert row.after["local"] == "set locally on web1"
    wanted = "closed" if sub_command == "on" else "open"
    assert Maintenance.objects.get().mode == wanted
    assert brakes.read() is None


def test_local_answers_in_json() -> None:
    with failing_database():
        answer = run("on", "--local", "--json").json
    assert answer.pop("database").endswith("decided otherwise meanwhile.")
    assert answer.pop("notes")
    assert answer.pop("at")
    assert answer.pop("by").endswith("@web1")
    assert answer.pop("generation") > 0
    assert answer == {
        "mode": "closed",
        "reason": "",
        "host": "web1",
        "epoch": None,
        "local": True,
        "file": str(hostfiles.path_of(brakes.KIND)),
        "stored": False,
    }


@pytest.mark.parametrize(
    "option",
    [
        ["--message", ""],
        ["--until", "+1h"],
        ["--until", "+1h", "--open-at-end"],
        ["--keep-logins"],
        ["--read-only"],
    ],
)
def test_what_needs_the_database_is_refused_with_local(option: list[str]) -> None:
    result = run("on", "--local", *option)
    assert result.code == 2
    assert f"{option[0]} needs the database" in result.err
    assert brakes.read() is None


def test_a_directory_that_cannot_be_used_exits_with_1_and_says_what_to_do(host: Path) -> None:
    host.mkdir()
    host.chmod(0o777)
    result = run("on", "--local")
    assert result.code == 1
    assert "can be written to by other users. Nothing was changed." in result.err
    assert f"chmod 700 {host}" in result.err
    assert result.out == ""
    assert not Change.objects.exists()


def test_a_directory_of_another_user_is_answered_with_the_line_to_type(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.mkdir(mode=0o700)
    monkeypatch.setattr(hostfiles, "own_uid", lambda: 12_345)
    result = run("off", "--local", "--reason", "all is well")
    owner = hostfiles.user_name(os.geteuid())
    assert result.code == 1
    assert f"Type: sudo -u {owner} " in result.err
    assert result.err.endswith("maintenance off --local --reason 'all is well'")


def test_an_order_that_the_servers_would_not_see_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hostfiles, "other_users", lambda: [("www-data", True)])
    result = run("on", "--local")
    assert result.code == 1
    assert "the servers of this site run as www-data" in result.err
    assert "Type: sudo -u www-data " in result.err
    assert brakes.read() is None


def test_directories_of_other_users_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "other_users", lambda: [("www-data", False)])
    with failing_database():
        result = run("on", "--local")
    assert result.code == 0
    assert "www-data has a directory of its own." in result.out
    assert "type: sudo -u www-data " in result.out


def test_other_users_are_found_by_the_names_and_owners_of_their_directories(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    uid = os.geteuid()
    for name in (f"backsoon-{uid}", f"backsoon-{uid + 1}", "backsoon-x", "unrelated"):
        (tmp_path / name).mkdir()
    (tmp_path / f"backsoon-{uid}0").touch()
    with override_settings(BACKSOON={}):
        assert hostfiles.other_users() == []
        monkeypatch.setattr(hostfiles, "own_uid", lambda: uid + 1)
        own = hostfiles.user_name(uid)
        assert hostfiles.other_users() == [(own, False)]
        (tmp_path / f"backsoon-{uid}" / hostfiles.file_name("copy")).touch()
        assert hostfiles.other_users() == [(own, True)]
    with override_settings(BACKSOON={"STATE_DIR": tmp_path}):
        assert hostfiles.other_users() == []


@pytest.mark.parametrize("sub_command", ["on", "off"])
def test_an_ordinary_change_takes_the_place_of_an_order_that_waits(sub_command: str) -> None:
    if sub_command == "off":
        services.close_site()
    brake = pull(Mode.OPEN if sub_command == "on" else Mode.CLOSED, "fire")
    result = run(sub_command)
    assert result.code == 0
    assert "takes the place of the order on this host" in result.out
    assert "(fire)" in result.out
    assert brakes.read() is None
    assert Maintenance.objects.get().mode == ("closed" if sub_command == "on" else "open")
    (row,) = orders()
    assert row.at == brake.at
    assert row.after["local"].endswith("; not applied")


def test_an_ordinary_change_that_changes_nothing_takes_the_place_of_an_order_too() -> None:
    services.close_site()
    pull(Mode.OPEN)
    assert run("on", "--json").json["superseded"]["mode"] == "open"
    assert brakes.read() is None
    assert Maintenance.objects.get().mode == "closed"


def test_an_ordinary_change_without_the_database_leaves_the_order_in_force() -> None:
    brake = pull(Mode.CLOSED)
    with failing_database():
        assert run("off").code == 5
    assert brakes.read() == brake


def test_an_order_that_cannot_be_recorded_is_told_to_be_still_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brake = pull(Mode.CLOSED)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise StoreUnavailableError("gone again")

    monkeypatch.setattr(services, "merge_brake", fail)
    assert "still in force, it could not be recorded: gone again" in run("off").out
    assert brakes.read() == brake


@pytest.mark.parametrize(
    ("outcome", "said", "stored"),
    [
        (ConflictError("overtaken"), "could not be told (overtaken); a process here tries", False),
        (Fate.SETTLED, "A process here has told the database already.", True),
    ],
)
def test_the_answer_says_when_somebody_else_was_at_it(
    monkeypatch: pytest.MonkeyPatch, outcome: Any, said: str, stored: bool
) -> None:
    def merge(*args: Any, **kwargs: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(services, "merge_brake", merge)
    assert said in run("on", "--local").out
    assert run("on", "--local", "--json").json["stored"] is stored


# -- Status and doctor ---------------------------------------------------------------------------


def test_status_shows_an_order_that_waits(noon: dt.datetime) -> None:
    pull(Mode.CLOSED, "fire")
    result = run("status")
    assert result.code == 0
    assert result.lines[0] == "Maintenance is off (epoch 0). The site is open."
    assert (
        "  In force on this host, whatever the database says: closed on web1 at 12:00 UTC by "
        "ann@web1 (fire)." in result.lines
    )
    answer = run("status", "--json").json
    assert (answer["mode"], answer["read_from"]) == ("open", "database")
    assert answer["brake"]["mode"] == "closed"


def test_status_without_the_database_shows_what_this_host_knows_and_still_exits_with_5(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site(until=noon + HOUR)
    worker(monkeypatch)
    with failing_database():
        result = run("status", "--exit-code")
        assert result.code == 5
        (line,) = result.lines
        assert line == (
            "On this host, as far as it knew last: Maintenance is on since 12:00 UTC (epoch 1). "
            "Visitors see the page; the expected end is 13:00 UTC."
        )
        pull(Mode.OPEN)
        result = run("status")
        assert result.code == 5
        assert result.lines[0] == (
            "On this host, by an order on it: Maintenance is off since 12:00 UTC (epoch 1). "
            "The site is open."
        )
        answer = json.loads(run("status", "--json").out)
    assert (answer["mode"], answer["read_from"], answer["epoch"]) == ("open", "host", 1)
    assert answer["brake"]["mode"] == "open"


def test_doctor_shows_an_order_that_waits() -> None:
    pull(Mode.CLOSED)
    findings = run("doctor", "--json").json["findings"]
    (found,) = [each for each in findings if each["id"] == "brake"]
    assert found["level"] == "problem"
    assert "closed on this host alone, by ann@web1" in found["message"]


def test_doctor_shows_a_directory_that_cannot_be_used(host: Path) -> None:
    host.mkdir()
    host.chmod(0o777)
    findings = run("doctor", "--json").json["findings"]
    assert "backsoon.W007" in [each["id"] for each in findings]
    with pytest.raises(DirectoryUnusableError), hostfiles.reading():
        pass

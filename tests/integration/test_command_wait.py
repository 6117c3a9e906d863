"""``manage.py maintenance on --wait`` and ``off --wait``: nothing is said that is not proven."""

from __future__ import annotations

import datetime as dt
import io
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management.base import OutputWrapper

from backsoon import quiesce, services, store
from backsoon.core.quiesce import Condition, Report, Running, Standing, Verdict
from backsoon.core.vocabulary import Mode, State, Why
from backsoon.exceptions import StoreUnavailableError
from backsoon.management.maintenance import interrupting, narration, table, waiting, worker_words
from backsoon.management.maintenance.console import Console
from backsoon.models import Change, Maintenance, Worker
from backsoon.quiesce import Progress
from backsoon.snapshots import Mark
from tests.integration.commands import failing_database, run
from tests.integration.fleet import Fleet, fleet

pytestmark = pytest.mark.django_db

__all__ = ["fleet"]

CLOSED = "Maintenance is on since 12:00 UTC (epoch 1). Visitors see the page."
GO_ON = (
    "Look with: manage.py maintenance workers. To go on waiting: manage.py maintenance on --wait."
)
HOUR = dt.timedelta(hours=1)
SLOW = ("POST", "/orders/", 3.0)


def is_closed() -> bool:
    return services.current_state().mode is Mode.CLOSED


# -- The good end ---------------------------------------------------------------------------------


def test_it_ends_with_0_as_soon_as_every_worker_has_acknowledged(fleet: Fleet) -> None:
    fleet.acknowledges(fleet.worker(4711), at=0.1)
    fleet.acknowledges(fleet.worker(4712), at=0.5)
    result = run("on", "--wait")
    assert result.code == 0
    assert result.lines == [
        CLOSED,
        "Waiting for 2 workers, at most 60 s.",
        "web1:4711 (wsgi) acknowledged",
        "web1:4712 (wsgi) acknowledged",
        (
            "Quiet: both workers acknowledged after 0.5 s. No ordinary request or task runs, "
            "and none starts until the site is opened."
        ),
    ]
    assert is_closed()


def test_what_still_runs_is_told_once_and_again_only_when_it_has_changed(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.is_busy(worker, 0.1, SLOW, ("GET", "/report/", 1.0))
    fleet.is_busy(worker, 5.0, SLOW)
    fleet.acknowledges(worker, at=9.0)
    lines = run("on", "--wait").lines[2:-1]
    assert [line.rpartition(" for ")[0] for line in lines] == [
        "still running on web1:4711 (wsgi): POST /orders/ for 3.0 s, GET /report/",
        "still running on web1:4711 (wsgi): POST /orders/",
        "",
    ]
    assert lines[-1] == "web1:4711 (wsgi) acknowledged"


def test_a_worker_that_comes_later_is_waited_for(fleet: Fleet) -> None:
    fleet.acknowledges(fleet.worker(4711), at=1.0)

    def join() -> None:
        fleet.acknowledges(fleet.worker(4799), at=2.0)

    fleet.at(0.5, join)
    result = run("on", "--wait")
    assert result.code == 0
    assert "web1:4799 (wsgi) acknowledged" in result.lines


def test_without_any_worker_it_says_what_that_means(fleet: Fleet) -> None:
    result = run("on", "--wait")
    assert result.code == 0
    assert result.lines[-1].startswith("Quiet: no worker is registered, so nothing runs that ")
    assert result.lines[-1].endswith("it runs without the middleware.")


def test_requests_of_administrators_are_not_waited_for_but_counted(fleet: Fleet) -> None:
    worker = fleet.worker(apart=2)
    fleet.acknowledges(worker, at=0.1)
    last = run("on", "--wait").lines[-1]
    assert last.endswith("Not waited for: 2 requests or tasks of administrators, or exempt.")


def test_read_only_promises_no_more_than_it_is(fleet: Fleet) -> None:
    fleet.acknowledges(fleet.worker(), at=0.1)
    last = run("on", "--wait", "--read-only").lines[-1]
    assert last.endswith("Nothing of the time before runs any more; visitors can only read.")


def test_to_repeat_it_on_a_closed_site_is_to_go_on_waiting(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.is_busy(worker, 0.1, SLOW)
    assert run("on", "--wait", "--timeout", "2").code == 4
    fleet.acknowledges(worker, at=5.0)
    result = run("on", "--wait")
    assert result.code == 0
    assert result.lines[0].startswith("It was on already; nothing to change. ")
    assert Maintenance.objects.get().epoch == 1


def test_the_answer_in_json_is_one_line_and_the_progress_goes_elsewhere(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.acknowledges(worker, at=0.1)
    stderr = io.StringIO()
    result = run("on", "--wait", "--json", stderr=stderr)
    answer = result.json
    assert (answer["mode"], answer["quiet"], answer["verdict"]) == ("closed", True, "quiet")
    assert (answer["epoch"], answer["rolled_back"], answer["changed"]) == (1, False, True)
    assert 0.1 <= answer["waited"] < 0.2
    (told,) = answer["workers"]
    assert (told["id"], told["host"], told["pid"]) == (worker, "web1", 4711)
    assert (told["condition"], told["acked_epoch"], told["units"]) == ("quiet", 1, [])
    assert "web1:4711 (wsgi) acknowledged" in stderr.getvalue()


# -- 4: something still runs ----------------------------------------------------------------------


def test_what_runs_when_the_time_is_over_is_named_and_the_site_stays_closed(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "5s")
    assert result.code == 4
    assert result.err == (
        "Closed, but not quiet after 5.0 s. Still running: POST /orders/ for 3.0 s on web1:4711 "
        f"(wsgi). The site stays closed. {GO_ON} If it is a stream that does not end: manage.py "
        "maintenance on --wait --cut-streams."
    )
    assert is_closed()


def test_an_answer_in_json_that_is_not_good_comes_with_the_exit_code_and_the_sentence(
    fleet: Fleet,
) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "5", "--json", stderr=io.StringIO())
    assert (result.code, result.json["quiet"], result.json["verdict"]) == (4, False, "busy")
    (unit,) = result.json["workers"][0]["units"]
    assert (unit["method"], unit["path"], unit["age"]) == ("POST", "/orders/", 3.0)
    assert result.err.startswith("Closed, but not quiet ")


def test_a_path_cannot_steer_the_terminal(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, ("GET", "/\x1b[2J/", 1.0))
    result = run("on", "--wait", "--timeout", "1")
    assert "\x1b" not in result.out + result.err
    assert "GET /\\x1b[2J/ for " in result.err


def test_streams_are_cut_after_a_grace_when_that_is_asked_for(fleet: Fleet) -> None:
    run("on", "--wait", "--cut-streams")
    noon = fleet.now()
    assert Maintenance.objects.get().cut_streams_at == noon + dt.timedelta(seconds=10)
    run("on", "--wait", "--cut-streams", "2m")
    assert Maintenance.objects.get().cut_streams_at == noon + dt.timedelta(seconds=120)


# -- 3: somebody cannot be heard ------------------------------------------------------------------


def test_silence_is_no_acknowledgement_and_the_way_out_is_named(fleet: Fleet) -> None:
    fleet.acknowledges(fleet.worker(4711), at=0.1)
    silent = fleet.worker(88, "web2", silent_for=300.0)
    result = run("on", "--wait")
    assert result.code == 3
    assert result.err == (
        "Closed, but not proven quiet after 7.0 s. Not heard of: web2:88 (wsgi) for 5 minutes 10 "
        "seconds. It may be paused with a request in hand. After 2 minutes of silence nobody "
        f"waits for more of it. The site stays closed. {GO_ON} If you know that "
        f"web2:88 is dead: manage.py maintenance on --wait --assume-dead {silent[:6]}."
    )
    assert "web2:88 (wsgi) has not been heard of for 5 minutes" in result.lines
    assert is_closed()


def test_a_silence_that_has_not_lasted_long_is_waited_out(fleet: Fleet) -> None:
    fleet.acknowledges(fleet.worker(88, "web2", silent_for=60.0), at=45.0)
    assert run("on", "--wait", "--timeout", "5m", "--rollback").code == 0
    assert is_closed()


def test_a_wait_ends_early_once_a_silence_has_lasted_for_two_minutes(fleet: Fleet) -> None:
    fleet.worker(88, "web2", silent_for=60.0)
    result = run("on", "--wait", "--timeout", "5m")
    assert result.code == 3
    assert fleet.seconds == 60.0


def test_a_silence_that_the_time_did_not_suffice_for_is_not_said_to_be_a_long_one(
    fleet: Fleet,
) -> None:
    fleet.worker(88, "web2", silent_for=60.0)
    result = run("on", "--wait", "--timeout", "20")
    assert (result.code, fleet.seconds) == (3, 20.0)
    assert "nobody waits for more" not in result.err


def test_a_word_that_comes_late_in_a_wait_is_waited_out_for_a_lease(fleet: Fleet) -> None:
    silent = fleet.worker(88, "web2", silent_for=60.0)
    fleet.at(20.0, lambda: services.assume_dead(silent, origin=services.CODE))
    assert run("on", "--wait").code == 0
    assert fleet.seconds == 25.0


def test_a_worker_that_lives_and_says_nothing_of_the_closure_proves_nothing(fleet: Fleet) -> None:
    fleet.worker()
    result = run("on", "--wait", "--timeout", "3")
    assert result.code == 3
    assert (
        "Heard of lately, but without word that it knows of the closure: web1:4711 (wsgi)."
    ) in result.err


def test_a_worker_that_is_paused_with_a_request_in_hand_is_not_taken_for_quiet(
    fleet: Fleet,
) -> None:
    fleet.worker(silent_for=0.0, seen_epoch=0, in_flight=1, units=[["POST", "/orders/", 1.0]])
    result = run("on", "--wait", "--timeout", "30")
    assert result.code == 3
    assert "Not heard of: web1:4711 (wsgi)" in result.err


def test_who_is_said_to_be_dead_is_recorded_and_waited_out_for_a_lease(fleet: Fleet) -> None:
    silent = fleet.worker(88, "web2", silent_for=60.0)
    result = run("on", "--wait", "--assume-dead", silent[:8])
    assert result.code == 0
    assert "web2:88 is not waited for, on your word" in result.lines
    assert fleet.seconds >= 5.0
    assert Worker.objects.get().ended_how == Worker.Ending.ASSUMED
    buried = Change.objects.get(action=Change.Action.BURIED)
    assert buried.after["worker"] == silent
    assert run("on", "--wait", "--assume-dead", silent[:8]).code == 0


@pytest.mark.parametrize(
    ("typed", "why"),
    [("beef", "no worker has it"), ("", "no worker has it"), ("ab", "more than one worker has")],
)
def test_who_cannot_be_told_from_the_id_is_a_usage_error_and_nothing_is_closed(
    fleet: Fleet, typed: str, why: str
) -> None:
    fleet.worker(id="ab" * 16)
    fleet.worker(id="ac" + "ab" * 15)
    fleet.worker(id="ab" + "ac" * 15)
    result = run("on", "--wait", "--assume-dead", typed)
    assert result.code == 2
    assert result.err.startswith("Not closed: --assume-dead: ")
    assert why in result.err
    assert not is_closed()


def test_fencing_cuts_off_the_silent_ones_only_and_goes_on_waiting(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.acknowledges(fleet.worker(4711), at=0.1)
    silent = fleet.worker(88, "web2", silent_for=60.0)
    fenced = []

    def fence(worker: str, *, origin: services.Origin) -> int:
        fenced.append(worker)
        row = Worker.objects.filter(pk=worker)
        row.update(ended_at=fleet.now(), ended_how=Worker.Ending.FENCED)
        return 2

    monkeypatch.setattr(services, "fence", fence)
    result = run("on", "--wait", "--fence")
    assert (result.code, fenced) == (0, [silent])
    assert fleet.seconds < 20.0  # a silence that is acted on need not be a long one
    assert "web2:88 (wsgi) is cut off: 2 database sessions ended" in result.lines
    assert "web2:88 (wsgi) is not waited for any more" in result.lines


def test_a_worker_whose_end_is_proven_meanwhile_is_told(fleet: Fleet) -> None:
    worker = Worker.objects.filter(pk=fleet.worker())
    gone = {"ended_how": Worker.Ending.GONE}
    fleet.at(2.0, lambda: worker.update(ended_at=fleet.now(), **gone))
    result = run("on", "--wait")
    assert result.code == 0
    assert "web1:4711 (wsgi) has ended" in result.lines


def test_who_cannot_be_fenced_keeps_the_site_from_being_quiet(fleet: Fleet) -> None:
    fleet.worker(88, "web2", silent_for=60.0)
    result = run("on", "--wait", "--fence")
    assert result.code == 3
    assert "web2:88 (wsgi) could not be cut off from the database: " in result.out


# -- 5: the database ------------------------------------------------------------------------------


def lose_the_database(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, until: float) -> None:
    """From the second look on, until some moment."""
    look = quiesce.look
    began: list[float] = []

    def look_in_vain(**arguments: Any) -> Progress:
        if began and fleet.seconds < until:
            raise StoreUnavailableError("the server closed the connection")
        began.append(fleet.seconds)
        return look(**arguments)

    monkeypatch.setattr(quiesce, "look", look_in_vain)


def test_a_database_that_stays_away_exits_with_5_when_the_time_is_over_and_the_closure_is_stored(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.worker()
    lose_the_database(fleet, monkeypatch, until=1_000.0)
    result = run("on", "--wait", "--timeout", "5")
    assert result.code == 5
    assert fleet.seconds >= 5.0
    assert result.err.startswith("Closed, but not proven quiet: the database ")
    assert "(the server closed the connection)" in result.err
    assert result.err.endswith(
        "The switch was stored before that and stays where it is. Bring the database back. Then, "
        "to go on waiting: manage.py maintenance on --wait."
    )
    assert is_closed()


def test_a_database_that_comes_back_in_time_is_no_failure(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.acknowledges(fleet.worker(), at=0.1)
    lose_the_database(fleet, monkeypatch, until=20.0)
    assert run("on", "--wait").code == 0
    assert fleet.seconds >= 20.0


def test_a_database_that_is_away_from_the_start_changes_nothing_and_waits_for_nothing() -> None:
    with failing_database():
        result = run("on", "--wait")
    assert result.code == 5
    assert "Nothing was changed" in result.err


# -- 6: somebody else, and 130: Ctrl-C ------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--rollback",)])
def test_somebody_who_opens_meanwhile_ends_the_wait_and_is_named(
    fleet: Fleet, options: tuple[str, ...]
) -> None:
    fleet.worker()
    root = services.Origin(name="root@vm", channel=Change.Channel.COMMAND)
    fleet.at(2.0, lambda: services.open_site(origin=root))
    result = run("on", "--wait", *options)
    assert result.code == 6
    assert fleet.seconds < 5.0
    assert result.err == (
        "Not quiet: root@vm opened the site at 12:00 UTC. Talk to them; then repeat the command."
    )


def test_a_timer_that_ends_the_closure_during_a_wait_is_nobodys_deed(fleet: Fleet) -> None:
    fleet.worker()
    result = run("on", "--wait", "--until", "+1m", "--open-at-end", "--timeout", "5m")
    assert result.code == 6
    assert "somebody else switched, or a time is over that was set before. " in result.err


def test_off_names_who_closed_the_site_meanwhile(fleet: Fleet) -> None:
    services.close_site()
    fleet.worker()
    root = services.Origin(name="root@vm", channel=Change.Channel.COMMAND)
    fleet.at(2.0, lambda: services.close_site(origin=root))
    result = run("off", "--wait")
    assert result.code == 6
    assert result.err.startswith("Opened, but root@vm closed the site at 12:00 UTC. Talk to them")


@pytest.mark.parametrize(
    ("unit", "advised"),
    [
        (SLOW, ["If it is a stream"]),
        (("TASK", "shop.deliver", 3.0), ["If it is a task"]),
        (("WEBSOCKET", "/chat/", 3.0), []),
    ],
)
def test_what_is_advised_fits_what_still_runs(
    fleet: Fleet, unit: tuple[str, str, float], advised: list[str]
) -> None:
    fleet.is_busy(fleet.worker(), 0.1, unit)
    err = run("on", "--wait", "--timeout", "1").err
    assert [text for text in ("If it is a stream", "If it is a task") if text in err] == advised


def test_to_go_on_waiting_for_a_read_only_site_does_not_close_it(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    err = run("on", "--read-only", "--wait", "--timeout", "1").err
    assert "To go on waiting: manage.py maintenance on --read-only --wait." in err


def test_a_milder_closure_of_somebody_else_is_not_taken_for_ours(fleet: Fleet) -> None:
    worker = fleet.worker()
    fleet.at(0.001, lambda: services.close_site(mode=Mode.READ_ONLY))
    fleet.acknowledges(worker, at=0.01)
    assert run("on", "--wait").code == 6


def test_ctrl_c_leaves_the_site_closed_and_says_how_to_go_on(fleet: Fleet) -> None:
    fleet.worker()
    fleet.at(1.0, interrupt)
    result = run("on", "--wait")
    assert result.code == 130
    assert result.err == (
        "Closed, but interrupted, so whether it is quiet is not known. The switch stays where it "
        "is. Look with: manage.py maintenance status. To go on waiting: manage.py maintenance on "
        "--wait."
    )
    assert is_closed()


def test_ctrl_c_opens_again_where_a_rollback_was_asked_for(fleet: Fleet) -> None:
    fleet.worker()
    fleet.at(1.0, interrupt)
    result = run("on", "--wait", "--rollback")
    assert result.code == 130
    assert result.err.endswith("is not known. Opened again, as --rollback asks.")
    assert not is_closed()


@pytest.mark.parametrize("number", interrupting.ENDING)
def test_sigterm_and_sighup_during_a_wait_are_as_ctrl_c(
    fleet: Fleet, number: signal.Signals
) -> None:
    fleet.worker()
    fleet.at(1.0, lambda: signal.raise_signal(number))
    result = run("on", "--wait", "--rollback")
    assert result.code == 130
    assert result.err.endswith("is not known. Opened again, as --rollback asks.")
    assert signal.getsignal(number) is signal.SIG_DFL
    fleet.at(2.0, lambda: signal.raise_signal(number))
    assert run("off", "--wait").code == 130


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_a_signal_that_is_handled_already_or_ignored_does_not_interrupt_a_wait(
    fleet: Fleet, handler: Any
) -> None:
    before = signal.signal(signal.SIGTERM, handler)
    try:
        fleet.acknowledges(fleet.worker(), at=2.0)
        fleet.at(1.0, lambda: signal.raise_signal(signal.SIGTERM))
        assert run("on", "--wait").code == 0
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_program_may_wait_in_any_thread() -> None:
    def handler_inside() -> Any:
        with interrupting.as_ctrl_c():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler_inside).result() is signal.SIG_DFL


def interrupt() -> None:
    raise KeyboardInterrupt


# -- Rolling back ---------------------------------------------------------------------------------


def test_what_did_not_become_quiet_is_opened_again_if_that_is_asked_for(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "2", "--rollback", "--json", stderr=io.StringIO())
    assert result.code == 4
    assert result.err.endswith("on web1:4711 (wsgi). Opened again, as --rollback asks.")
    assert (result.json["mode"], result.json["rolled_back"]) == ("open", True)
    assert not is_closed()


def test_a_site_that_was_closed_before_is_not_rolled_back(fleet: Fleet) -> None:
    services.close_site()
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "2", "--rollback")
    assert result.code == 4
    assert result.err.endswith("because the site was closed before. It stays closed.")
    assert is_closed()


def test_a_rollback_brings_a_read_only_site_back_with_all_that_was_said_about_it(
    fleet: Fleet,
) -> None:
    end, rest = fleet.now() + HOUR, 2 * HOUR
    services.close_site(
        mode=Mode.READ_ONLY, reason="moving", until=end, open_at_end=True, longest=rest
    )
    alarm_at = store.load().policy.switch.overdue_at
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "2", "--rollback", "--json", stderr=io.StringIO())
    assert result.code == 4
    assert result.err.endswith(
        "Taken back, as --rollback asks. The site is read-only again, as it was before."
    )
    assert (result.json["mode"], result.json["rolled_back"]) == ("read_only", True)
    policy = store.load().policy
    assert (policy.switch.mode, policy.switch.reason) == (Mode.READ_ONLY, "moving")
    assert (policy.ends_at, policy.switch.open_at_end) == (end, True)
    assert policy.switch.overdue_at == alarm_at


@pytest.mark.parametrize("keep_logins", [False, True])
def test_a_rollback_closes_a_site_that_was_made_read_only_and_treats_logins_as_before(
    fleet: Fleet, keep_logins: bool
) -> None:
    services.close_site(keep_logins=keep_logins)
    logins = store.load().policy.generation
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--read-only", "--wait", "--timeout", "2", "--rollback")
    assert result.err.startswith("Read-only, but not quiet after 2.0 s.")
    assert result.err.endswith("The site is closed again, as it was before.")
    assert is_closed()
    assert (store.load().policy.generation == logins) is keep_logins


def test_a_rollback_forgets_an_alarm_that_was_never_to_be(fleet: Fleet) -> None:
    services.close_site(mode=Mode.READ_ONLY, longest=dt.timedelta(0))
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    run("on", "--wait", "--timeout", "2", "--rollback")
    assert store.load().policy.switch.overdue_at is None


def test_a_rollback_leaves_a_planned_closure_alone(fleet: Fleet) -> None:
    services.schedule(fleet.now(), fleet.now() + HOUR, mode=Mode.READ_ONLY)
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--wait", "--timeout", "2", "--rollback")
    assert "Taken back, as --rollback asks. Planned maintenance is on, read-only," in result.err
    assert services.current_state().mode is Mode.READ_ONLY


def test_who_made_the_site_read_only_in_vain_is_told_that_it_stays_so(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    result = run("on", "--read-only", "--wait", "--timeout", "2")
    assert result.err.startswith("Read-only, but not quiet after 2.0 s. ")
    assert " The site stays read-only. " in result.err


def test_what_somebody_else_has_switched_since_is_not_rolled_back(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    fleet.at(1.0, lambda: services.close_site(open_at_end=True, until=fleet.now() + HOUR))
    result = run("on", "--wait", "--timeout", "2", "--rollback")
    assert result.code == 3
    assert "Not taken back, because somebody else switched since. Maintenance is on" in result.err
    assert is_closed()


def test_a_rollback_that_fails_says_so(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: Any) -> None:
        raise StoreUnavailableError("the disk is full")

    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    monkeypatch.setattr(services, "open_site", fail)
    result = run("on", "--wait", "--timeout", "2", "--rollback")
    assert result.code == 4
    assert result.err.endswith(
        "That could not be taken back, and the site stays closed: the disk is full"
    )


# -- What is typed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--timeout", "5"),
        ("--rollback",),
        ("--cut-streams",),
        ("--assume-dead", "abc"),
        ("--fence",),
        ("--wait", "--timeout", "0"),
        ("--wait", "--timeout", "soon"),
        ("--wait", "--timeout", "2d"),
        ("--wait", "--timeout", "nan"),
        ("--wait", "--cut-streams", "-1"),
        ("--wait", "--local"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error_and_nothing_is_closed(
    fleet: Fleet, arguments: tuple[str, ...]
) -> None:
    result = run("on", *arguments)
    assert result.code == 2
    assert not is_closed()


@pytest.mark.parametrize(
    ("typed", "seconds"), [("2", 2), ("1.5s", 1.5), ("2m", 120), ("1h", 3_600), (2, 2), (0.5, 0.5)]
)
def test_a_length_is_seconds_or_has_a_unit(typed: str | float, seconds: float) -> None:
    wish = waiting.wish_of({"wait": True, "timeout": typed, "cut_streams": typed}, "Not closed")
    assert wish is not None
    assert (wish.seconds, wish.cut_streams_after) == (seconds, seconds)


def test_a_program_may_give_the_time_as_a_number(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, SLOW)
    assert run("on", wait=True, timeout=2).code == 4
    assert 2 <= fleet.seconds < 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--timeout", "5"),
        ("--until", "noon"),
        ("--wait", "--timeout", "0"),
        ("--message", "x" * 5_001),
        ("--open-at-end",),
    ],
)
def test_a_refusal_does_not_say_of_a_closed_site_that_it_is_not_closed(
    fleet: Fleet, arguments: tuple[str, ...]
) -> None:
    services.close_site()
    result = run("on", *arguments)
    assert result.code == 2
    assert result.err.startswith("Nothing changed: ")


# -- off ------------------------------------------------------------------------------------------


def test_off_waits_until_every_worker_knows(fleet: Fleet) -> None:
    services.close_site()
    fleet.acknowledges(fleet.worker(4711), at=0.3)
    result = run("off", "--wait")
    assert result.code == 0
    assert result.lines[1:] == [
        "Waiting for 1 worker, at most 60 s.",
        "web1:4711 (wsgi) knows",
        "Open everywhere: the one worker knows after 0.3 s.",
    ]


def test_off_names_who_does_not_know_and_the_site_is_open_all_the_same(fleet: Fleet) -> None:
    services.close_site()
    fleet.worker(88, "web2", silent_for=400.0)
    result = run("off", "--wait", "--json", stderr=io.StringIO())
    assert (result.code, result.json["mode"], result.json["quiet"]) == (3, "open", False)
    assert result.err.startswith("Opened, but not everywhere after 7.0 s: web2:88 (wsgi) has not ")
    assert not is_closed()


# -- The table on a terminal ----------------------------------------------------------------------


def progress_of(*standings: Standing) -> Progress:
    state = State(Mode.CLOSED, Why.SWITCH)
    return Progress(Verdict.WAITING, Mark(1, 1), state, 12.0, standings)


def standing(condition: Condition, pid: int = 4711, **facts: Any) -> Standing:
    return Standing(Report(f"{pid:032x}", "wsgi", "web1", pid, **facts), condition)


BUSY = standing(Condition.BUSY, in_flight=3, units=(Running("POST", "/orders/", 12.3),))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_table_shows_first_who_is_waited_for() -> None:
    quiet = standing(Condition.QUIET, 1)
    assert table.drawn(progress_of(quiet, BUSY), 60.0, 80, 24) == [
        "Waiting for 2 workers, 12 s of 60 s. 1 busy, 1 quiet",
        "  WORKER     KIND  STATE  RUNNING",
        "  web1:4711  wsgi  busy   POST /orders/ for 12 s",
        "                          2 more",
        "  web1:1     wsgi  quiet",
    ]


def test_who_had_ended_before_the_wait_is_not_in_the_table() -> None:
    long_ago = standing(Condition.ENDED, 1, ended_how="gone", ended_ago=3_600.0)
    meanwhile = standing(Condition.ENDED, 2, ended_how="gone", ended_ago=3.0)
    lines = table.drawn(progress_of(long_ago, meanwhile), 60.0, 80, 24)
    assert lines[0] == "Waiting for 1 worker, 12 s of 60 s. 1 ended"
    assert len(lines) == 3


@pytest.mark.parametrize("columns", [20, 40, 79])
@pytest.mark.parametrize("path", ["/a" * 100, "/注文" * 30, "/e\u0301" * 60, "/\x1b[2J/"])
def test_no_line_is_wider_than_the_terminal(columns: int, path: str) -> None:
    busy = standing(Condition.BUSY, in_flight=1, units=(Running("GET", path, 1.0),))
    for line in table.drawn(progress_of(busy), 60.0, columns, 24):
        assert table._width(line) < columns
        assert line.isprintable()


def test_a_table_is_never_higher_than_the_terminal() -> None:
    many = [standing(Condition.QUIET, pid) for pid in range(1, 50)]
    lines = table.drawn(progress_of(*many), 60.0, 80, 10)
    assert len(lines) == 9
    assert lines[-1] == "  … and 43 lines more"


def test_the_table_is_drawn_again_at_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    teller = narration.narrator(Console(OutputWrapper(terminal)), 60.0)
    teller.show(progress_of(BUSY))
    first = terminal.getvalue()
    teller.show(progress_of(BUSY))
    again = terminal.getvalue()[len(first) :]
    height = first.count("\n")
    assert again == first.replace("\r", f"\r\x1b[{height}A", 1)
    teller.say("web1:4711 is cut off")
    before = len(terminal.getvalue())
    teller.show(progress_of(BUSY))
    assert terminal.getvalue()[before:] == first  # below, and over nothing
    assert "\x1b[3" not in terminal.getvalue()  # no colours
    assert "\x1b[?" not in terminal.getvalue()  # nothing that would have to be put right


@pytest.mark.parametrize(
    ("out", "term", "as_json"),
    [(io.StringIO, "xterm", False), (Terminal, "dumb", False), (Terminal, "xterm", True)],
)
def test_there_is_no_table_where_it_could_not_be_drawn(
    monkeypatch: pytest.MonkeyPatch, out: type[io.StringIO], term: str, as_json: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    console = Console(OutputWrapper(out()), as_json=as_json)
    assert isinstance(narration.narrator(console, 60.0), narration.Lines)


def test_the_beginning_of_an_identifier_that_is_shown_is_that_of_no_other() -> None:
    ids = ["ab" * 16, "ab" * 15 + "ac", "f" * 32]
    reports = [Report(identity, "wsgi", "web1", 1) for identity in ids]
    shown = worker_words.short_ids(reports)
    assert shown["f" * 32] == "f" * 6
    assert shown[ids[0]] == ids[0]
    assert worker_words.short_ids(reports[:1]) == {ids[0]: ids[0][:6]}


def test_lengths_of_time_are_short() -> None:
    lengths = (0.04, 9.9, 9.97, 119.4, 300.0)
    assert [worker_words.length(each) for each in lengths] == [
        "0.0 s", "9.9 s", "10 s", "119 s", "5 minutes",
    ]  # fmt: skip

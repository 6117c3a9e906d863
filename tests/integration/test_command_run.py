"""``manage.py maintenance run``: the site is open again only after a command that succeeded."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import os
import shlex
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backsoon import processes, services
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import StoreUnavailableError
from backsoon.management.maintenance import runs
from backsoon.management.maintenance.child import FORWARDED, Child
from backsoon.models import Change, Maintenance, Worker
from tests.integration.commands import Result, run
from tests.integration.fleet import Fleet, fleet

pytestmark = pytest.mark.django_db

__all__ = ["fleet"]

HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _in_no_other_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BACKSOON_RUN", raising=False)


def python(code: str) -> list[str]:
    """A command that runs *code*."""
    return ["--", sys.executable, "-c", code]


def ends_with(code: int) -> list[str]:
    """A command with that exit code."""
    return python(f"raise SystemExit({code})")


def run_it(*arguments: str) -> tuple[Result, list[str]]:
    """Run it; also what it wrote to the standard error."""
    stderr = io.StringIO()
    return run("run", *arguments, stderr=stderr), stderr.getvalue().splitlines()


def mode() -> Mode:
    return services.current_state().mode


def test_the_command_runs_with_the_site_closed_and_quiet_and_then_it_opens(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.acknowledges(fleet.worker(), at=0.5)
    seen = tmp_path / "seen"
    arguments = python(f"open({str(seen)!r}, 'x')")
    command = shlex.join(arguments[1:])
    result, told = run_it("--reason", "release 42", *arguments)
    assert (result.code, result.out) == (0, "")
    assert seen.exists()
    assert told == [
        "Maintenance is on since 12:00 UTC (epoch 1). Visitors see the page.",
        "Waiting for 1 worker, at most 60 s.",
        "web1:4711 (wsgi) acknowledged",
        (
            "Quiet: the one worker acknowledged after 0.5 s. No ordinary request or task runs, "
            "and none starts until the site is opened."
        ),
        f"Running: {command}",
        "The command succeeded. Maintenance is off since 12:00 UTC (epoch 2). The site is open.",
    ]
    assert list(Change.objects.order_by("pk").values_list("action", "reason")) == [
        ("closed", "release 42"),
        ("opened", "release 42"),
    ]


def test_a_command_that_fails_leaves_the_site_closed_and_its_exit_code_is_passed_on(
    fleet: Fleet,
) -> None:
    result, _told = run_it(*ends_with(7))
    assert result.code == 7
    assert result.err == (
        "The command failed with exit code 7, so the site stays closed. When all is well: "
        "manage.py maintenance off"
    )
    assert mode() is Mode.CLOSED
    assert "ended with exit code 7" in run("status").out


def test_the_history_tells_which_command_began_and_how_it_ended(fleet: Fleet) -> None:
    command = shlex.join(ends_with(7)[1:])
    run_it(*ends_with(7))
    ended, begun = Change.objects.order_by("-pk")
    assert (begun.action, begun.after["command"]) == ("closed", command)
    assert (ended.action, ended.before, ended.after) == (
        "settings",
        {"command": command},
        {"command": f"ended with exit code 7: {command}"},
    )
    assert "→ ended with exit code 7: " in run("history").out


def test_the_history_tells_of_a_command_that_was_given_up_and_of_one_on_a_closed_site(
    fleet: Fleet,
) -> None:
    fleet.is_busy(fleet.worker(), 0.1, ("POST", "/orders/", 3.0))
    run_it("--timeout", "2", *ends_with(0))
    assert Change.objects.order_by("-pk")[0].after["command"].startswith("was given up: ")
    Worker.objects.all().delete()
    run_it(*ends_with(0))
    ended, begun = Change.objects.order_by("-pk")[:2]
    assert begun.after == {"command": shlex.join(ends_with(0)[1:])}
    assert ended.after["command"].startswith("ended with exit code 0: ")


def test_a_command_that_a_signal_ended_has_the_exit_code_that_shells_give_it(fleet: Fleet) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_it(*python(kill))[0].code == 128 + 9
    assert mode() is Mode.CLOSED


def test_with_open_anyway_the_site_opens_and_the_failure_is_told_all_the_same(
    fleet: Fleet,
) -> None:
    result, _told = run_it("--open-anyway", *ends_with(7))
    assert result.code == 7
    assert result.err.startswith("The command failed with exit code 7. Maintenance is off since ")
    assert mode() is Mode.OPEN


def test_nothing_is_run_before_it_is_quiet(fleet: Fleet, tmp_path: Path) -> None:
    fleet.is_busy(fleet.worker(), 0.1, ("POST", "/orders/", 3.0))
    seen = tmp_path / "seen"
    result, _told = run_it("--timeout", "2", *python(f"open({str(seen)!r}, 'x')"))
    assert result.code == 4
    assert result.err.startswith("Not run: closed, but not quiet after 2.0 s. Still running: POST ")
    assert not seen.exists()
    assert mode() is Mode.CLOSED
    assert "it was given up before it began" in run("status").out


def test_what_does_not_become_quiet_is_rolled_back_if_that_is_asked_for(fleet: Fleet) -> None:
    fleet.is_busy(fleet.worker(), 0.1, ("POST", "/orders/", 3.0))
    result, _told = run_it("--timeout", "2", "--rollback", *ends_with(0))
    assert result.code == 4
    assert result.err.endswith("Opened again, as --rollback asks.")
    assert mode() is Mode.OPEN


def test_a_rollback_of_a_run_brings_a_read_only_site_back(fleet: Fleet) -> None:
    services.close_site(mode=Mode.READ_ONLY)
    fleet.is_busy(fleet.worker(), 0.1, ("POST", "/orders/", 3.0))
    result, _told = run_it("--timeout", "2", "--rollback", *ends_with(0))
    assert result.err.endswith("The site is read-only again, as it was before.")
    assert mode() is Mode.READ_ONLY


def test_a_planned_closure_that_goes_on_outlives_a_run(fleet: Fleet) -> None:
    services.schedule(fleet.now(), fleet.now() + HOUR)
    result, told = run_it(*ends_with(0))
    assert result.code == 0
    assert "Planned maintenance is on since " in told[-1]
    assert mode() is Mode.CLOSED


def test_a_site_that_was_closed_before_stays_closed(fleet: Fleet) -> None:
    services.close_site(reason="moving", until=fleet.now() + HOUR)
    result, told = run_it(*ends_with(0))
    assert result.code == 0
    assert told[-1] == ("The command succeeded. The site was closed before, so it stays closed.")
    state = services.current_state()
    assert (state.mode, state.reason, state.until) == (Mode.CLOSED, "moving", fleet.now() + HOUR)
    assert Maintenance.objects.get().run == {}


def test_a_site_that_was_read_only_is_read_only_again(fleet: Fleet) -> None:
    services.close_site(mode=Mode.READ_ONLY, reason="moving")
    result, told = run_it(*ends_with(0))
    assert result.code == 0
    assert told[-1].endswith("The site is read-only again, as it was before.")
    assert (mode(), services.current_state().reason) == (Mode.READ_ONLY, "moving")


def test_a_closed_site_is_not_made_milder(fleet: Fleet, tmp_path: Path) -> None:
    services.close_site()
    assert run_it("--read-only", *ends_with(3))[0].code == 3
    assert mode() is Mode.CLOSED


def test_the_command_can_tell_that_it_runs_in_a_closure(
    fleet: Fleet, capfd: pytest.CaptureFixture[str]
) -> None:
    result, _told = run_it(*python("import os; print(os.environ['BACKSOON_RUN'])"))
    assert result.code == 0
    assert len(capfd.readouterr().out.strip()) == 32


def test_the_arguments_of_the_command_are_its_own(
    fleet: Fleet, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; print(sys.argv[1:])"
    assert run_it(*python(code), "--reason", "x", "--", "-v", "a b")[0].code == 0
    assert capfd.readouterr().out.strip() == "['--reason', 'x', '--', '-v', 'a b']"


def test_the_answer_in_json_leaves_the_standard_output_to_the_command(fleet: Fleet) -> None:
    result, told = run_it("--json", *ends_with(7))
    assert (result.code, result.out) == (7, "")
    answer = json.loads(told[-1])
    assert (answer["mode"], answer["ran"], answer["exit_code"]) == ("closed", True, 7)
    assert answer["quiet"] is True


def test_a_program_may_run_a_command_in_any_thread() -> None:
    child = Child([sys.executable, "-c", "raise SystemExit(7)"], os.environ)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(child.run).result() == 7


def test_the_handlers_of_signals_are_put_back(fleet: Fleet) -> None:
    before = [signal.getsignal(number) for number in FORWARDED]
    assert run_it(*ends_with(0))[0].code == 0
    assert [signal.getsignal(number) for number in FORWARDED] == before


def test_a_signal_that_is_ignored_stays_so(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        code = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
        assert Child([sys.executable, "-c", code], os.environ).run() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert capfd.readouterr().out.strip() == "True"


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--",), 2),
        (("--timeout", "soon", "--", "true"), 2),
        (("--until", "noon", "--", "true"), 2),
        (("--", "no-such-command-anywhere"), 127),
        (("--", "/"), 127),
    ],
)
def test_what_cannot_be_run_closes_nothing(
    fleet: Fleet, arguments: tuple[str, ...], code: int
) -> None:
    result, _told = run_it(*arguments)
    assert result.code == code
    assert result.err.startswith("Not run: ")
    assert mode() is Mode.OPEN
    assert not Change.objects.exists()


def test_a_command_that_cannot_be_started_leaves_the_site_closed(
    fleet: Fleet, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    result, _told = run_it("--", str(broken))
    assert result.code == 127
    assert result.err.startswith("The command could not be started: ")
    assert mode() is Mode.CLOSED


def test_a_run_inside_of_a_run_is_refused(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    record = stored(fleet)
    monkeypatch.setenv("BACKSOON_RUN", record.id)
    result, _told = run_it("--take-over", *ends_with(0))
    assert result.code == 1
    assert "this is part of a maintenance run already" in result.err
    assert runs.read() == record


def test_a_variable_that_outlived_its_run_stands_in_nobodys_way(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKSOON_RUN", "abc")
    assert run_it(*ends_with(0))[0].code == 0
    monkeypatch.setenv("BACKSOON_RUN", stored(fleet, ended="2030-01-01T12:00:00+00:00").id)
    assert run_it(*ends_with(0))[0].code == 0


def stored(fleet: Fleet, **facts: Any) -> runs.Run:
    """The record of a run of another process; this one, unless something else is said."""
    record = dataclasses.replace(runs.begun(["migrate.sh", "--all"]), **facts)
    services.close_site(run=record.data)
    return record


def test_another_run_that_lives_is_not_interfered_with(fleet: Fleet) -> None:
    stored(fleet)
    result, _told = run_it(*ends_with(0))
    assert result.code == 6
    assert "the site is closed for another command: migrate.sh --all (" in result.err
    assert "it is still there. Wait until that has ended." in result.err


def test_another_run_that_may_live_elsewhere_is_refused_unless_it_is_taken_over(
    fleet: Fleet,
) -> None:
    stored(fleet, machine="another boot", host="web9")
    result, _told = run_it(*ends_with(0))
    assert result.code == 6
    assert "whether it is still there can only be seen on web9." in result.err
    assert run_it("--take-over", *ends_with(0))[0].code == 0
    assert mode() is Mode.CLOSED


@pytest.mark.parametrize("facts", [{"pid": 2**22 + 7}, {"ended": "2030-01-01T12:00:00+00:00"}])
def test_a_run_that_has_ended_stands_in_nobodys_way(fleet: Fleet, facts: dict[str, Any]) -> None:
    stored(fleet, **facts)
    assert run_it(*ends_with(0))[0].code == 0


def test_a_run_that_closes_while_another_one_begins_is_not_taken_for_a_site_that_was_closed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[runs.Run] = []
    read = runs.read

    def then_close() -> runs.Run | None:
        monkeypatch.setattr(runs, "read", read)
        found = read()
        others.append(stored(fleet))
        return found

    monkeypatch.setattr(runs, "read", then_close)
    result, _told = run_it(*ends_with(0))
    assert result.code == 6
    assert [runs.read()] == others


# -- Interrupted ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--rollback",)])
def test_sigterm_before_the_command_begins_is_as_ctrl_c(
    fleet: Fleet, options: tuple[str, ...]
) -> None:
    fleet.worker()
    fleet.at(1.0, lambda: signal.raise_signal(signal.SIGTERM))
    result, told = run_it(*options, *ends_with(0))
    assert result.code == 130
    assert not any("Running" in line for line in told)
    assert mode() is (Mode.OPEN if options else Mode.CLOSED)
    assert ("it was given up before it began" in run("status").out) is (not options)


def test_who_interrupts_a_run_outside_of_the_wait_finds_it_recorded_as_over(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr("backsoon.management.maintenance.child.Child.run", interrupted)
    result, _told = run_it(*ends_with(0))
    assert result.code == 130
    assert result.err.startswith("Interrupted. Maintenance is on since ")
    assert "it was given up before it began" in run("status").out


# -- Somebody else, meanwhile ---------------------------------------------------------------------


def switching(monkeypatch: pytest.MonkeyPatch, act: Any, code: int = 0) -> None:
    """Let somebody else *act* while the command runs, which ends with *code*."""

    def run_instead(self: object) -> int:
        act()
        return code

    monkeypatch.setattr("backsoon.management.maintenance.child.Child.run", run_instead)


def test_somebody_who_switched_meanwhile_wins(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = services.Origin(name="alice@laptop", channel=Change.Channel.COMMAND)

    def reopen_and_close() -> None:
        services.open_site(origin=alice)
        services.close_site(origin=alice, reason="fire")

    switching(monkeypatch, reopen_and_close)
    result, _told = run_it(*ends_with(0))
    assert result.code == 6
    assert result.err.startswith(
        "The command succeeded. The site was left as it is, because alice@laptop switched in the "
        "meantime. Maintenance is on since "
    )
    assert services.current_state().reason == "fire"


def test_a_command_that_opens_the_site_and_fails_is_not_said_to_leave_it_closed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    switching(monkeypatch, services.open_site, code=4)
    result, told = run_it("--json", *ends_with(4))
    assert result.code == 4
    assert result.err == (
        "The command failed with exit code 4. Maintenance is off since 12:00 UTC (epoch 2). The "
        "site is open."
    )
    assert json.loads(told[-1])["mode"] == "open"


def test_a_closure_whose_timer_ran_out_during_the_command_is_not_begun_anew(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site(until=fleet.now() + HOUR, open_at_end=True)

    def take_long() -> None:
        fleet.seconds += 2 * 3_600

    switching(monkeypatch, take_long, code=4)
    result, _told = run_it(*ends_with(4))
    assert result.code == 4
    assert result.err.endswith("The site is open.")
    assert mode() is Mode.OPEN


@pytest.mark.parametrize("code", [0, 4])
def test_a_run_whose_closure_somebody_amended_meanwhile_is_recorded_as_over(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    switching(monkeypatch, lambda: run("on", "--reason", "it takes longer"), code=code)
    result, _told = run_it(*ends_with(code))
    assert result.code == (code or 6)
    assert f"ended with exit code {code}" in run("status").out
    assert (mode(), services.current_state().reason) == (Mode.CLOSED, "it takes longer")


def test_a_database_that_is_gone_afterwards_exits_with_5_and_says_that_the_command_succeeded(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**arguments: Any) -> None:
        raise StoreUnavailableError("connection refused")

    switching(monkeypatch, lambda: monkeypatch.setattr(services, "open_site", fail))
    result, _told = run_it(*ends_with(0))
    assert result.code == 5
    assert result.err.startswith(
        "The command succeeded. The site could not be opened and stays closed: the database "
    )
    assert result.err.endswith("(connection refused). Open it with: manage.py maintenance off")


# -- The record -----------------------------------------------------------------------------------


def test_status_and_off_tell_of_a_run_that_was_killed(fleet: Fleet) -> None:
    record = stored(fleet, pid=2**22 + 7, by="deploy@web1")
    line = "migrate.sh --all (deploy@web1, process 4194311, since 12:00 UTC); this process is gone"
    assert f"command: {line} without a word" in run("status").out
    told = run("status", "--json").json["run"]
    assert (told["id"], told["gone"], told["exit_code"]) == (record.id, True, None)
    assert line in run("off").out
    assert runs.read() is None
    assert run("status", "--json").json["run"] is None


@pytest.mark.parametrize(
    "row",
    [
        {"command": 7, "pid": "seven", "since": "noon", "started": True},
        {"ended": "2030-01-01T12:00:00"},
        {"pid": -1, "machine": processes.machine()},
        {"command": "\x1b[2J", "by": None},
    ],
)
def test_a_record_that_somebody_changed_by_hand_is_told_as_far_as_it_can_be(
    fleet: Fleet, row: dict[str, Any]
) -> None:
    services.close_site()
    Maintenance.objects.update(run=row)
    result = run("status")
    assert result.code == 0
    assert "  command: " in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize("row", [[], "text", 7, None, {}])
def test_what_is_no_record_is_none(fleet: Fleet, row: Any) -> None:
    services.close_site()
    Maintenance.objects.update(run=row if row is not None else {})
    assert runs.read() is None


def test_a_long_command_is_kept_by_its_beginning() -> None:
    record = runs.begun(["echo", "x" * 500])
    assert len(record.command) == runs.LONGEST_COMMAND
    assert shlex.split(runs.begun(["a b", "$c"]).command) == ["a b", "$c"]

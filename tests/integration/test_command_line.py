"""The entrance of ``manage.py maintenance``: what is typed and what the shell sees."""

from __future__ import annotations

import io
import os

import pytest
from django.core.management.base import CommandError, OutputWrapper
from django.db import connection, connections
from django.test import override_settings

from backsoon.exceptions import OutdatedTablesError, StoreUnavailableError
from backsoon.management.commands.init_default_settings import Command as InitCommand
from backsoon.management.commands.maintenance import SUB_COMMANDS, Command
from backsoon.management.maintenance import failures
from backsoon.management.maintenance.console import Console
from tests.integration.commands import exit_code, failing_database, run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a command be typed: at its end it must not close the database of the tests."""
    monkeypatch.setattr(connections, "close_all", lambda: None)


def type_in(*arguments: str) -> int:
    """Run as the shell does, and return the exit code."""
    try:
        Command().run_from_argv(["manage.py", "maintenance", *arguments])
    except SystemExit as leaving:
        return exit_code(leaving)
    return 0


def test_each_sub_command_takes_json_and_help() -> None:
    for name in SUB_COMMANDS:
        with pytest.raises(SystemExit) as leaving:
            Command().create_parser("manage.py", "maintenance").parse_args([name, "--help"])
        assert leaving.value.code == 0


@pytest.mark.parametrize(
    "arguments", [(), ("open",), ("on", "--bogus"), ("status", "now"), ("history", "--limit")]
)
@pytest.mark.usefixtures("typed")
def test_what_cannot_be_understood_exits_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_in(*arguments) == 2
    assert "usage: manage.py maintenance" in capsys.readouterr().err
    assert run(*arguments).code == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("typed")
def test_errors_are_one_sentence_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with failing_database():
        assert type_in("on") == 5
    err = capsys.readouterr().err
    assert err.startswith("CommandError: Not known to be closed: the database ")
    assert "Traceback" not in err


@pytest.mark.django_db
@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("arguments", [("--traceback", "on"), ("on", "--traceback")])
def test_a_traceback_comes_when_asked_for_before_or_behind_the_sub_command(
    arguments: tuple[str, ...],
) -> None:
    with failing_database(), pytest.raises(CommandError) as caught:
        type_in(*arguments)
    assert isinstance(caught.value.__cause__, StoreUnavailableError)


@pytest.mark.django_db
@pytest.mark.usefixtures("typed")
def test_the_options_of_every_command_of_django_are_taken_behind_the_sub_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert type_in("status", "--no-color", "-v", "0", "--settings", "tests.settings") == 0
    assert "The site is open." in capsys.readouterr().out


@pytest.mark.usefixtures("typed")
@override_settings(BACKSOON={"ANSWR": "redirect"})
def test_settings_that_cannot_be_used_are_one_error_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert type_in("on") == 1
    assert "Did you mean 'ANSWER'?" in capsys.readouterr().err


@pytest.mark.django_db
@pytest.mark.usefixtures("typed")
def test_the_defaults_can_be_made_by_typing(capsys: pytest.CaptureFixture[str]) -> None:
    InitCommand().run_from_argv(["manage.py", "init_default_settings"])
    assert "Made 9 settings" in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.usefixtures("typed")
def test_a_fault_elsewhere_in_the_project_does_not_keep_the_site_from_closing(
    settings: pytest.FixtureRequest,
) -> None:
    settings.ROOT_URLCONF = "no.such.module"  # type: ignore[attr-defined]
    assert type_in("on") == 0


def test_tables_of_an_earlier_version_are_told_as_such() -> None:
    error = failures.as_command_error(OutdatedTablesError("old"), "Not closed")
    assert error.returncode == 5
    assert "are those of an earlier version. Nothing was changed. Run: manage.py migrate" in str(
        error
    )


def test_what_the_terminal_cannot_write_is_escaped() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(OutputWrapper(raw)).answer({}, ["reason: déménagement"])
    raw.seek(0)
    assert raw.read() == "reason: d\\xe9m\\xe9nagement\n"


def test_a_database_on_the_network_is_given_two_seconds_unless_the_project_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, object] = {}
    monkeypatch.setattr(connection, "vendor", "postgresql")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    failures.do_not_wait_long()
    assert options == {"connect_timeout": 2}
    options["connect_timeout"] = 10
    failures.do_not_wait_long()
    assert options == {"connect_timeout": 10}


@pytest.mark.parametrize(
    ("vendor", "host", "port", "place"),
    [
        ("postgresql", "db.internal", "", "shop on db.internal:5432"),
        ("postgresql", "db.internal", "6432", "shop on db.internal:6432"),
        ("postgresql", "::1", 5432, "shop on [::1]:5432"),
        ("postgresql", "", "", "shop on the local socket"),
        ("mysql", "/run/mysqld.sock", "", "shop on /run/mysqld.sock"),
        ("mysql", "localhost", "", "shop on localhost:3306"),
        ("other", "localhost", "", "shop on localhost"),
        ("sqlite", "", "", "shop"),
    ],
)
def test_errors_name_the_place_of_the_database_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, vendor: str, host: str, port: object, place: str
) -> None:
    monkeypatch.setattr(connection, "vendor", vendor)
    values = {"NAME": "shop", "HOST": host, "PORT": port, "USER": "u", "PASSWORD": "secret"}
    for key, value in values.items():
        monkeypatch.setitem(connection.settings_dict, key, value)
    assert failures.database_place() == place


@pytest.mark.parametrize("as_json", [False, True])
def test_whoever_stops_reading_stops_no_command(as_json: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does when it has enough
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        console = Console(OutputWrapper(pipe), as_json=as_json)
        console.answer({"mode": "open"}, ["one", "two"])
        console.answer({"mode": "open"}, ["three"])
    # Closing it has written what was left, to nobody.

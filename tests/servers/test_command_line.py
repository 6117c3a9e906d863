"""The exit codes of the real command line, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.demo_server import ROOT, Console, environment, manage

pytestmark = pytest.mark.servers

NOBODY_LISTENS = "postgres://demo:secret@127.0.0.1:1/demo"


@pytest.fixture(scope="module")
def env(new_directory: Callable[[str], Path]) -> dict[str, str]:
    """The environment of a demo without a server."""
    return environment(new_directory("commands"))


def test_the_status_has_an_exit_code_for_each_mode(env: dict[str, str], tmp_path: Path) -> None:
    console = Console(env, tmp_path / "console.log")
    try:
        for verb, options, code in (
            ("open", {}, 0),
            ("close", {}, 10),
            ("close", {"mode": "read_only"}, 11),
        ):
            console.carry_out(verb, **options)
            assert (
                manage(env, "maintenance", "status", "--exit-code", check=False).returncode == code
            )
            assert manage(env, "maintenance", "status", check=False).returncode == 0
    finally:
        console.carry_out("reset")
        console.end()


def test_what_was_done_exits_with_0_and_says_the_new_state(env: dict[str, str]) -> None:
    closed = manage(env, "maintenance", "on", "--reason", "New disks", "--json")
    assert json.loads(closed.stdout)["mode"] == "closed"
    opened = manage(env, "maintenance", "off")
    assert opened.stdout.startswith("Maintenance is off since ")
    assert opened.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [[], ["shut"], ["on", "--until", "yesterday"], ["on", "--until", "2001-01-01T00:00Z"]],
    ids=["nothing", "unknown", "no-time", "past"],
)
def test_a_wrong_call_exits_with_2_and_changes_nothing(
    env: dict[str, str], arguments: list[str]
) -> None:
    done = manage(env, "maintenance", *arguments, check=False)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sub_command", ["status", "on", "off"])
def test_an_unreachable_database_exits_with_5_and_says_so(
    env: dict[str, str], sub_command: str
) -> None:
    away = {**env, "DATABASE_URL": NOBODY_LISTENS}
    done = manage(away, "maintenance", sub_command, check=False)
    assert done.returncode == 5
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_without_tables_exits_with_5_and_says_what_to_do(tmp_path: Path) -> None:
    done = manage(environment(tmp_path), "maintenance", "on", check=False)
    assert done.returncode == 5
    assert "manage.py migrate" in done.stderr


def test_a_shell_sees_the_exit_codes_and_the_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "away.py").write_text(
        "from tests.settings import *\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3',\n"
        f"    'NAME': {str(tmp_path / 'nowhere' / 'db.sqlite3')!r}}}}}\n",
        encoding="utf-8",
    )
    path = os.pathsep.join((str(tmp_path), *sys.path, str(ROOT)))
    env = {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "away"}
    for arguments, code, words in (
        (("maintenance", "on"), 5, "nowhere/db.sqlite3 could not be reached (unable to open"),
        (("maintenance", "on", "--until", "noon"), 2, "Not closed"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr

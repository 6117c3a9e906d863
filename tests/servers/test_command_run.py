"""``maintenance run`` in a process of its own: what signals do to it and to its command."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.demo_server import FAST_SETTINGS, ROOT, environment, is_running, manage, until

pytestmark = pytest.mark.servers

SECONDS = 20.0

COUNTING = """
import os, pathlib, signal, sys, time

got = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, lambda number, frame: got.append(signal.Signals(number).name))
directory = pathlib.Path(sys.argv[1])
(directory / "new").write_text(str(os.getpid()))
(directory / "new").rename(directory / "started")
deadline = time.monotonic() + 15
while not (directory / "go").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
    if got and not (directory / "got").exists():
        time.sleep(0.2)  # a second one would come now
        (directory / "got").write_text(" ".join(got))
    (directory / "all").write_text(" ".join(got))
sys.exit(9 if got else 0)
"""
"""A command that counts the signals it gets, until it is told to go on."""

SOMEBODY_ELSEWHERE = """
from django.utils.timezone import now
from backsoon.models import Worker
Worker.objects.create(id="e" * 32, host="elsewhere", pid=1, born_at=now(), seen_at=now())
"""
"""A worker that a closure waits for."""


@pytest.fixture
def env(new_directory: Callable[[str], Path]) -> dict[str, str]:
    """The environment of a demo without a server."""
    return environment(new_directory("runs"), FAST_SETTINGS)


@pytest.fixture
def run_line(tmp_path: Path) -> list[str]:
    """The command line of a run of the counting command."""
    command = [sys.executable, "-c", COUNTING, str(tmp_path)]
    return [sys.executable, str(ROOT / "manage.py"), "maintenance", "run", "--", *command]


@contextmanager
def running(line: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run *line* in a session of its own, as a service manager does."""
    process = subprocess.Popen(
        line, env=env, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS)


def text_of(path: Path) -> str:
    """What *path* holds, once it is there and not empty."""
    return until(
        lambda: (path.read_text() or None) if path.exists() else None, SECONDS, f"no {path.name}"
    )


def status(env: dict[str, str]) -> str:
    return manage(env, "maintenance", "status").stdout


def test_signals_that_are_sent_to_it_are_passed_on_once_and_the_site_stays_closed(
    env: dict[str, str], run_line: list[str], tmp_path: Path
) -> None:
    with running(run_line, env) as process:
        text_of(tmp_path / "started")
        process.send_signal(signal.SIGTERM)
        assert text_of(tmp_path / "got") == "SIGTERM"
        assert process.poll() is None  # it waits for what the command makes of it
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)
        # A Python that ends has no handlers any more, so it must have got them before.
        until(lambda: len((tmp_path / "all").read_text().split()) == 3 or None, SECONDS, "all")
        (tmp_path / "go").touch()
        assert process.wait(SECONDS) == 9
    assert set((tmp_path / "all").read_text().split()) == {"SIGTERM", "SIGINT", "SIGHUP"}
    assert "it ended with exit code 9" in status(env)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_wait_that_is_told_to_end_takes_the_closure_back_and_says_so(
    env: dict[str, str], number: signal.Signals
) -> None:
    manage(env, "shell", "-c", SOMEBODY_ELSEWHERE)
    line = [sys.executable, str(ROOT / "manage.py"), "maintenance", "on", "--wait", "--rollback"]
    with subprocess.Popen(
        line, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("Waiting for 1 worker"):
            assert process.poll() is None
        process.send_signal(number)
        _out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Opened again, as --rollback asks." in err
    assert "maintenance is off" in status(env).lower()


def test_ctrl_c_reaches_the_command_once(
    env: dict[str, str], run_line: list[str], tmp_path: Path
) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.execve(run_line[0], run_line, env)
    try:
        text_of(tmp_path / "started")
        os.write(terminal, b"\x03")
        assert text_of(tmp_path / "got") == "SIGINT"
        (tmp_path / "go").touch()
        ended = until(
            lambda: code if (code := _ended(pid, terminal)) is not None else None,
            SECONDS,
            "it did not end",
        )
        assert ended == 9
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
    assert "it ended with exit code 9" in status(env)


def _ended(pid: int, terminal: int) -> int | None:
    """The exit code of *pid* if it has ended; reads what it writes, or it would have to wait."""
    os.set_blocking(terminal, False)
    with suppress(OSError):
        os.read(terminal, 65_536)
    ended, code = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(code) if ended else None


def test_a_run_that_is_killed_leaves_the_site_closed_and_status_says_why(
    env: dict[str, str], run_line: list[str], tmp_path: Path
) -> None:
    with running(run_line, env) as process:
        command = int(text_of(tmp_path / "started"))
        told = status(env)
        assert "maintenance is on" in told.lower()
        assert f"process {process.pid}, since" in told
        assert "it is still there" in told
        refused = manage(env, "maintenance", "run", "--", "true", check=False)
        assert (refused.returncode, "for another command" in refused.stderr) == (6, True)
        process.kill()
        process.wait(SECONDS)
        told = status(env)
        assert "this process is gone without a word" in told
        assert is_running(command)  # it outlives its parent, as status warns
        (tmp_path / "go").touch()
    opened = manage(env, "maintenance", "off").stdout
    assert "It was closed for a command: " in opened

"""Which processes have ended beyond doubt, and which only seem to."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backsoon import processes
from backsoon.processes import Process, is_gone, machine, started, this_process
from tests.demo_server import until

PATIENCE = 10.0

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells, by /proc.")

pytestmark = linux

SLEEPS = "import sys; sys.stdin.read()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", SLEEPS], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait(PATIENCE)
    assert process.stdin is not None
    process.stdin.close()


def process_of(child: subprocess.Popen[bytes]) -> Process:
    return Process("this", machine(), child.pid, started(child.pid))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def test_this_process_lives() -> None:
    this = this_process()
    assert this.pid == os.getpid()
    assert this.started
    assert not is_gone(this)


def test_a_child_lives_until_it_has_ended(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child)
    assert not is_gone(process)
    child.kill()
    child.wait(PATIENCE)
    assert is_gone(process)


def test_a_process_that_stands_still_lives(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child)
    child.send_signal(signal.SIGSTOP)
    until(lambda: state(child.pid) == "T" or None, PATIENCE, "it stands still")
    assert not is_gone(process)


def test_a_process_has_ended_though_its_parent_has_not_asked_for_it_yet(
    child: subprocess.Popen[bytes],
) -> None:
    process = process_of(child)
    child.kill()
    until(lambda: state(child.pid) == "Z" or None, PATIENCE, "only its entry is left")
    assert is_gone(process)


def test_a_process_lives_while_a_thread_does_though_its_first_one_has_ended() -> None:
    code = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            until(lambda: state(child.pid) == "Z" or None, PATIENCE, "its first thread has ended")
            assert not is_gone(process_of(child))
        finally:
            child.kill()


def test_another_process_of_the_same_number_does_not_stand_in_for_one_that_has_ended(
    child: subprocess.Popen[bytes],
) -> None:
    process = process_of(child)
    assert process.started is not None
    assert is_gone(dataclasses.replace(process, started=process.started - 1))


def test_where_the_start_is_not_known_a_number_that_is_taken_proves_nothing(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = process_of(child)
    assert not is_gone(dataclasses.replace(process, started=None))
    monkeypatch.setattr(processes, "_stat", lambda pid: [])  # /proc of others may be hidden
    assert not is_gone(process)


@pytest.mark.parametrize("where", ["", "another boot/pid:[1]/time:[1]"])
def test_of_another_machine_nothing_is_proven(where: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(PATIENCE)
    assert is_gone(Process("this", machine(), ended.pid, 1))
    assert not is_gone(Process("other", where, ended.pid, 1))


@pytest.mark.parametrize("pid", [0, -1, -4711])
def test_numbers_that_mean_groups_of_processes_are_none(pid: int) -> None:
    assert not is_gone(Process("this", machine(), pid, 1))


def test_a_number_that_no_process_can_have_is_no_proof() -> None:
    assert not is_gone(Process("this", machine(), 2**70, 1))


def test_a_machine_is_a_boot_with_its_numbers_and_its_time() -> None:
    boot, numbers, time = machine().split("/")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert numbers.startswith("pid:")
    assert time.startswith("time:")


@pytest.mark.parametrize("option", ["--time", "--pid"])
def test_a_process_of_another_namespace_is_never_taken_for_ended(option: str) -> None:
    """There its number or its start are others, so that it seems not to be."""
    code = (
        "from backsoon.processes import this_process as p; t = p()\n"
        "print(t.machine, t.pid, t.started, flush=True); input()"
    )
    shift = ["--boottime", "100000"] if option == "--time" else []
    source = str(Path(processes.__file__).parents[1])
    with subprocess.Popen(
        ["unshare", option, *shift, "--fork", "--kill-child", sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": source},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        line = child.stdout.readline().split()
        if not line:
            pytest.skip("No namespaces can be made here.")
        where, pid, start = line
        assert where != machine()
        assert not is_gone(Process("this", where, int(pid), int(start)))
        child.kill()


def test_a_name_of_a_process_with_brackets_and_spaces_hides_nothing() -> None:
    started_at = this_process().started
    name = Path("/proc/self/comm")
    usual = name.read_text(encoding="utf-8")
    this_thread = threading.get_native_id() == os.getpid()
    if not this_thread:
        pytest.skip("Only the first thread's name is the process's.")
    try:
        name.write_text(") S (1 2 3", encoding="utf-8")
        assert started(os.getpid()) == started_at
    finally:
        name.write_text(usual, encoding="utf-8")

"""Which process this is, and whether another one on this host has ended.

A process number means something only together with the boot of the machine and the namespace that
counts it, and it is given away again; the moment at which a process started tells two of the same
number apart. Source: proc(5), pid_namespaces(7), time_namespaces(7).
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """Where a process runs, and which one it is there."""

    host: str
    machine: str
    """Boot and namespace of the numbers; empty where the system does not tell."""
    pid: int
    started: int | None
    """In clock ticks since the machine was started; ``None`` where the system does not tell."""


def this_process() -> Process:
    """The calling one."""
    pid = os.getpid()
    return Process(socket.gethostname()[:255], machine(), pid, started(pid))


@cache
def machine() -> str:
    """The boot and the namespaces in which process numbers and starts of this process count."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = _namespace("pid")
    except OSError:
        return ""
    try:
        # In another one the same process seems to have started at another time.
        return f"{boot}/{numbers}/{_namespace('time')}"
    except OSError:  # before Linux 5.6 there is but one
        return f"{boot}/{numbers}"


def _namespace(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")  # noqa: PTH115  (no file that exists)


def is_gone(process: Process) -> bool:
    """Whether *process* has ended beyond doubt. False whenever that cannot be proven here."""
    if not process.machine or process.machine != machine() or process.pid <= 0:
        return False
    try:
        os.kill(process.pid, 0)  # asked first: /proc may hide what belongs to other users
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it exists and is not ours to signal
    if _is_buried_alive(process.pid):
        return True
    now = started(process.pid)
    return now is not None and process.started is not None and now != process.started


def started(pid: int) -> int | None:
    """When the process *pid* started; ``None`` where the system does not tell."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _is_buried_alive(pid: int) -> bool:
    """Whether nothing of the process is left but its entry, which its parent has not read yet."""
    fields = _stat(pid)
    # While other threads run, a process whose first thread has ended looks the same but for them.
    return bool(fields) and fields[0] in "ZX" and int(fields[17]) <= 1


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the second may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()

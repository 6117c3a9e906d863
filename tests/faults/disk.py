"""A small disk that can be full, or read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 8


def obstacle() -> str | None:
    """Why no disk can be had on this machine, as a sentence; None when one can."""
    if os.geteuid() == 0 or subprocess.run(["sudo", "-n", "true"], check=False).returncode == 0:
        return None
    return "This user may not mount anything: run as root, or with sudo that asks no password."


class Disk:
    """A file system of its own, in memory. *path* is an empty directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def __enter__(self) -> Disk:
        self.path.mkdir(exist_ok=True)
        size = f"size={MEGABYTES}m,mode=700,uid={os.geteuid()},gid={os.getegid()}"
        _as_root("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.path))
        return self

    def __exit__(self, *error: object) -> None:
        # Lazily: a server that was killed may still have a file open.
        _as_root("umount", "--lazy", str(self.path))

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte is left."""
        with self._ballast.open("wb", buffering=0) as ballast:
            for size in (1 << 16, 1):
                try:
                    while ballast.write(b"x" * size):
                        pass
                except OSError:  # as intended
                    continue
        try:
            yield
        finally:
            self._ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written. No file may be open for writing at that moment."""
        _as_root("mount", "-o", "remount,ro", str(self.path))
        try:
            yield
        finally:
            _as_root("mount", "-o", "remount,rw", str(self.path))


def _as_root(*command: str) -> None:
    prefix = () if os.geteuid() == 0 else ("sudo", "-n")
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")

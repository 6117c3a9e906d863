"""Small files that the processes of one host share, in a directory that nobody else can write to.

What is read there decides whether the site is open, so nobody but the user that the processes run
as may put anything there: a directory of somebody else's, one that others may write to, or a
symlink is not used at all. Each file bears a seal made with ``SECRET_KEY``, so that what is torn,
damaged or another site's is known for what it is. Files appear whole or not at all, also when the
machine loses its power in the middle: written under another name, brought to the disk, renamed.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections
from django.utils.crypto import constant_time_compare, salted_hmac

from . import conf

VERSION = 1
"""Of the files' contents. Raise it when an older Backsoon would misread what a newer one writes."""

LARGEST = 16 * 1024 * 1024
"""Bytes that are read at most; ours are a few thousand."""

LOCK_SECONDS = 0.25
"""How long a writer waits for another one. A stopped process must not stop the others."""

LEFTOVER_SECONDS = 60
"""After this time a file under a temporary name belongs to a process that died while writing."""


def _if_there(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


# Windows has neither, and the package has to be importable there.
_fcntl: Any = _if_there("fcntl")
_pwd: Any = _if_there("pwd")

_TELLS_OWNERS = hasattr(os, "geteuid") and os.open in os.supports_dir_fd
"""Whether files have owners here, and can be reached through a directory that is held open."""

_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class UnusableError(Exception):
    """A directory or file that cannot be used; the message says which and why."""


class DirectoryUnusableError(UnusableError):
    """Nothing can be kept on this host; ``hint`` says what to do about it.

    ``owner`` is the user that the directory belongs to where it is another one's.
    """

    def __init__(self, message: str, hint: str, owner: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells that a file was replaced, without opening it."""

    device: int
    inode: int
    size: int
    changed_ns: int


# -- Where -------------------------------------------------------------------------------------


def directory() -> Path:
    """The directory that the settings, systemd or the system's own habits name.

    Raises :class:`DirectoryUnusableError` where nothing names one, and where the system cannot say
    who may write to it: on Windows.
    """
    if not _TELLS_OWNERS:
        raise DirectoryUnusableError(
            "this system has no directories that can be kept from other users by owner and mode",
            "No setting changes that. Start processes while the database is within reach.",
        )
    configured = conf.current().state_dir
    return Path(configured) if configured else default_directory()


def default_directory() -> Path:
    """What is used where nothing is configured.

    systemd makes the directories of ``StateDirectory=`` and names them, separated by colons, in
    ``$STATE_DIRECTORY`` (systemd.exec(5)).

    Raises :class:`DirectoryUnusableError` where no directory for temporary files can be written to.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given) / "backsoon"
    return _temporary_directory() / f"backsoon-{own_uid()}"


def _temporary_directory() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:  # it has tried to write to each
        raise DirectoryUnusableError(
            "there is no directory for temporary files that can be written to",
            f"Name a directory in {conf.SETTING}['STATE_DIR'] that the user that the servers run "
            "as can write to.",
        ) from error


def file_name(kind: str) -> str:
    """The name of this site's file of that kind: no two sites of a host share one."""
    database = connections.settings[conf.current().database]
    identity = [str(database.get(part) or "") for part in ("ENGINE", "NAME", "HOST", "PORT")]
    digest = salted_hmac("backsoon.hostfiles.name", json.dumps(identity), algorithm="sha256")
    return f"{kind}-{digest.hexdigest()[:20]}.json"


def path_of(kind: str) -> Path:
    """Where this site's file of that kind is. Raises :class:`DirectoryUnusableError`."""
    return directory() / file_name(kind)


def other_users() -> list[tuple[str, bool]]:
    """The users that have default directories of their own here, and whether this site is theirs.

    That it is can be seen only by those who may look into them: by root.
    """
    if conf.current().state_dir or os.environ.get("STATE_DIRECTORY"):
        return []
    found: list[tuple[str, bool]] = []
    try:
        neighbours = sorted(_temporary_directory().glob("backsoon-*"))
    except DirectoryUnusableError:
        return found
    for path in neighbours:
        number = path.name.removeprefix("backsoon-")
        with suppress(OSError):
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) or number != str(status.st_uid):
                continue
            if status.st_uid == own_uid():
                continue
            serves_us = os.access(path, os.X_OK) and (path / file_name("copy")).exists()
            found.append((user_name(status.st_uid), serves_us))
    return found


def own_uid() -> int:
    """The user that this process acts as; 0 where users have no numbers, as files belong to 0."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def user_name(uid: int) -> str:
    """The name of a user, or ``#33``, which sudo takes as well, where it has none."""
    if _pwd is None:
        return f"#{uid}"
    try:
        return str(_pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"#{uid}"


# -- Looking, without opening anything ---------------------------------------------------------


def obstacle() -> DirectoryUnusableError | None:
    """Why the directory could not be used now, if it could not. Changes nothing."""
    try:
        path = directory()
    except DirectoryUnusableError as error:
        return error
    try:
        if path.is_symlink() or path.exists():
            _judge(path, path.lstat())
            writable = os.access(path, os.W_OK | os.X_OK)
        else:
            above = next(folder for folder in path.parents if folder.exists())
            writable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    except DirectoryUnusableError as error:
        return error
    except OSError as error:
        return _directory_error(path, error)
    if writable:
        return None
    return _directory_error(path, PermissionError("it cannot be written to"))


def signature(kind: str) -> Signature | None:
    """What the file looks like from outside; ``None`` when there is none. One system call."""
    try:
        status = os.lstat(path_of(kind))
    except (OSError, DirectoryUnusableError):
        return None
    return _signature(status)


def _signature(status: os.stat_result) -> Signature:
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


# -- Reading and writing -----------------------------------------------------------------------


class Folder:
    """The directory, opened and found to be safe."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def read(self, kind: str) -> tuple[bytes, Signature] | None:
        """What was sealed, and the file's signature; ``None`` when there is no such file.

        Raises :class:`UnusableError` saying what is wrong with it.
        """
        name = file_name(kind)
        # O_NONBLOCK: a pipe in the file's place must not make us wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableError(f"{self._path / name}: {_said(error)}") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableError(f"{self._path / name} is no ordinary file")
            content = _read_all(descriptor)
        except OSError as error:
            raise UnusableError(f"{self._path / name}: {_said(error)}") from error
        finally:
            os.close(descriptor)
        payload = _unsealed(kind, content)
        if payload is None:
            raise UnusableError(f"{self._path / name} {_flaw(content)}")
        return payload, _signature(status)

    def write(self, kind: str, payload: bytes) -> Signature:
        """Put *payload* in the place of what was there. Raises :class:`UnusableError`."""
        name = file_name(kind)
        self._clear_leftovers(name)
        temporary = f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o600, dir_fd=self._descriptor)
            try:
                try:
                    os.fchmod(descriptor, 0o600)  # whatever the umask took away
                    _write_all(descriptor, _sealed(kind, payload))
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.rename(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=self._descriptor)
                raise
            os.fsync(self._descriptor)  # else the new name may be lost with the power
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError as error:
            raise UnusableError(f"{self._path / name}: {_said(error)}") from error
        return _signature(status)

    def remove(self, kind: str) -> None:
        """Remove the file. Raises :class:`UnusableError`."""
        name = file_name(kind)
        try:
            os.unlink(name, dir_fd=self._descriptor)
            os.fsync(self._descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UnusableError(f"{self._path / name}: {_said(error)}") from error

    def _clear_leftovers(self, name: str) -> None:
        """Remove what processes left behind that died while they wrote."""
        with suppress(OSError):
            for left in os.listdir(self._descriptor):  # noqa: PTH208  (a descriptor has no path)
                if left.startswith(f".{name}."):
                    status = os.stat(left, dir_fd=self._descriptor, follow_symlinks=False)
                    if time.time() - status.st_mtime > LEFTOVER_SECONDS:
                        os.unlink(left, dir_fd=self._descriptor)


@contextmanager
def reading() -> Iterator[Folder | None]:
    """The directory; ``None`` when there is none. Raises :class:`DirectoryUnusableError`."""
    path = directory()
    try:
        descriptor = _open(path, to_write=False)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise _directory_error(path, error) from error
    try:
        yield Folder(descriptor, path)
    finally:
        os.close(descriptor)


@contextmanager
def writing() -> Iterator[Folder]:
    """The directory, made if need be, with no other writer in it.

    Raises :class:`DirectoryUnusableError`.
    """
    path = directory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        descriptor = _open(path, to_write=True)
    except OSError as error:
        raise _directory_error(path, error) from error
    try:
        with _alone(descriptor):
            yield Folder(descriptor, path)
    finally:
        os.close(descriptor)


def _open(path: Path, *, to_write: bool) -> int:
    # Root may look at what the servers of another user keep; writing there it leaves to them.
    by_owner = to_write or own_uid() != 0
    with suppress(FileNotFoundError):
        # For the better words; what counts is what was opened.
        _judge(path, path.lstat(), by_owner=by_owner)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _judge(path, os.fstat(descriptor), by_owner=by_owner)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _judge(path: Path, status: os.stat_result, *, by_owner: bool = True) -> None:
    """Refuse a directory through which another user could feed us what to believe."""
    if stat.S_ISLNK(status.st_mode):
        raise DirectoryUnusableError(
            f"{path} is a symlink",
            f"Name the directory that it leads to in {conf.SETTING}['STATE_DIR'].",
        )
    if not stat.S_ISDIR(status.st_mode):
        raise DirectoryUnusableError(
            f"{path} is no directory", f"Name a directory in {conf.SETTING}['STATE_DIR']."
        )
    if by_owner and status.st_uid != own_uid():
        owner, own = user_name(status.st_uid), user_name(own_uid())
        raise DirectoryUnusableError(
            f"{path} belongs to {owner}, and this process runs as {own}",
            f"Run this as the user that the servers run as. If that is {own}, let the directory "
            f"be its own (chown {own} {path}).",
            owner,
        )
    if status.st_mode & _FOR_OTHERS:
        raise DirectoryUnusableError(
            f"{path} can be written to by other users",
            f"Take that right from them (chmod 700 {path}).",
        )


def _directory_error(path: Path, error: OSError) -> DirectoryUnusableError:
    return DirectoryUnusableError(
        f"{path}: {_said(error)}",
        "Let the user that the servers run as write there, or name another directory in "
        f"{conf.SETTING}['STATE_DIR'].",
    )


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Keep other writers out, as far as they and the file system play along.

    What they would spoil is mended at the next reading of the database, so a lock that cannot be
    had is no reason to write nothing.
    """
    if _fcntl is None:
        yield
        return
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        except OSError:  # a file system without locks
            break
    try:
        yield
    finally:
        with suppress(OSError):
            # Not left to the closing: a child forked meanwhile has the same lock open.
            _fcntl.flock(descriptor, _fcntl.LOCK_UN)


def _read_all(descriptor: int) -> bytes:
    content = bytearray()
    while len(content) <= LARGEST and (part := os.read(descriptor, 65_536)):
        content += part
    return bytes(content)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _said(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


# -- The seal ----------------------------------------------------------------------------------


def _sealed(kind: str, payload: bytes) -> bytes:
    """A line that says what this is, and the payload."""
    digest = hashlib.sha256(payload).hexdigest()
    seal = salted_hmac(f"backsoon.hostfiles.{kind}.{VERSION}", digest, algorithm="sha256")
    header = {"backsoon": kind, "version": VERSION, "seal": seal.hexdigest()}
    return b"%s\n%s\n" % (json.dumps(header).encode(), payload)


def _unsealed(kind: str, content: bytes) -> bytes | None:
    """The payload, if the content is byte for byte what this site wrote."""
    _header, newline, rest = content.partition(b"\n")
    payload = rest[:-1]
    if not newline or not constant_time_compare(content, _sealed(kind, payload)):
        return None
    return payload


def _flaw(content: bytes) -> str:
    """What is wrong with a file whose seal is."""
    if not content:
        return "is empty"
    try:
        version = json.loads(content.partition(b"\n")[0])["version"]
    except (KeyError, RecursionError, TypeError, ValueError):
        version = None
    if isinstance(version, int) and version > VERSION:
        return "was written by a newer version of Backsoon"
    return "is damaged, or another site wrote it"

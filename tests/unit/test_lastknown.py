"""The copy of what this host read last, and the directory it lies in."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backsoon import brakes, checks, hostfiles, lastknown
from backsoon.core.vocabulary import Brake, Mode, Notice, Policy, Switch, Window
from backsoon.hostfiles import DirectoryUnusableError
from backsoon.snapshots import Mark, Snapshot

UTC = dt.UTC
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The directory of a host on which nothing was kept yet, and a process that serves."""
    monkeypatch.setattr("backsoon.environment.in_test_environment", lambda: False)
    monkeypatch.setattr(lastknown, "_written", None)
    monkeypatch.setattr(lastknown, "_told", {})
    monkeypatch.setattr(brakes, "_seen", None)
    with override_settings(BACKSOON={"STATE_DIR": tmp_path / "state"}):
        yield tmp_path / "state"


def closed(epoch: int = 7, message: str = "Moving house") -> Snapshot:
    return Snapshot(
        policy=Policy(
            switch=Switch(
                Mode.CLOSED, since=NOON, by="ann@web1", reason="new disks", run="migrate"
            ),
            ends_at=NOON + HOUR,
            generation=1_900_000_000_000,
            notices={"": Notice(message=message, icon="fas fa-tools"), "fr": Notice(title="Zut")},
        ),
        windows=(
            Window(NOON + 2 * HOUR, NOON + 3 * HOUR, Mode.READ_ONLY, keep_logins=True, reason="b"),
            Window(NOON + 4 * HOUR),
        ),
        mark=Mark(epoch, epoch + 3),
    )


def copy_in(place: Path) -> Path:
    (found,) = place.glob("copy-*")
    return found


def in_a_new_process() -> None:
    """Forget what this process remembers of the files."""
    lastknown._written = None
    lastknown._told.clear()
    brakes._seen = None


# -- What comes back -----------------------------------------------------------------------------


def test_what_was_kept_comes_back_as_it_was(place: Path) -> None:
    lastknown.save(closed())
    assert lastknown.load() == closed()


def test_a_copy_of_an_earlier_version_knows_of_no_command() -> None:
    data = json.loads(lastknown._encoded(closed()))
    del data["switch"]["run"]
    assert lastknown._decoded(json.dumps(data).encode()).policy.switch.run == ""


moments = st.datetimes(timezones=st.just(UTC))
texts = st.text(max_size=20)
notices = st.builds(Notice, **{field.name: texts for field in dataclasses.fields(Notice)})
policies = st.builds(
    Policy,
    switch=st.builds(
        Switch,
        mode=st.sampled_from(Mode),
        since=st.none() | moments,
        by=texts,
        reason=texts,
        open_at_end=st.booleans(),
        run=texts,
    ),
    ends_at=st.none() | moments,
    generation=st.integers(0, 2**53),
    notices=st.dictionaries(texts, notices, max_size=3).map(lambda found: {"": Notice(), **found}),
)


@given(policies, st.integers(0, 2**60), st.integers(0, 2**60))
@settings(max_examples=60, deadline=None)
def test_every_policy_survives_being_written_down(
    policy: Policy, epoch: int, revision: int
) -> None:
    snapshot = Snapshot(policy=policy, mark=Mark(epoch, revision))
    assert lastknown._decoded(lastknown._encoded(snapshot)) == snapshot


def test_a_host_on_which_nothing_was_kept_knows_nothing_and_says_nothing(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert lastknown.load() is None
    assert brakes.read() is None
    assert not place.exists()  # looking makes nothing
    assert caplog.text == ""


def test_in_tests_nothing_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backsoon.environment.in_test_environment", lambda: True)
    lastknown.save(closed())
    assert not place.exists()


def test_directory_and_file_are_for_their_owner_alone_whatever_the_umask(place: Path) -> None:
    before = os.umask(0)
    try:
        lastknown.save(closed(7))
        os.umask(0o277)
        lastknown.save(closed(8))
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy_in(place).stat().st_mode) == 0o600


def test_the_same_is_not_written_twice_by_any_process(place: Path) -> None:
    lastknown.save(closed())
    first = copy_in(place).stat()
    lastknown.save(closed())
    in_a_new_process()
    lastknown.save(closed())
    assert copy_in(place).stat() == first


def test_something_new_replaces_the_copy(place: Path) -> None:
    lastknown.save(closed(7))
    lastknown.save(closed(8, "Still moving"))
    assert lastknown.load() == closed(8, "Still moving")


def test_a_process_that_lags_behind_does_not_replace_a_later_reading(place: Path) -> None:
    lastknown.save(closed(8))
    in_a_new_process()
    lastknown.save(closed(7))
    assert lastknown.load() == closed(8)


def test_a_database_that_was_set_back_replaces_a_higher_copy_after_a_minute(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lastknown.save(closed(8))
    in_a_new_process()
    lastknown.save(closed(7))  # too early; that it was left out must not be taken for done
    later = time.time() + lastknown.SETTLED_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    lastknown.save(closed(7))
    assert lastknown.load() == closed(7)


def test_a_copy_that_was_removed_is_written_again(place: Path) -> None:
    lastknown.save(closed())
    copy_in(place).unlink()
    place.rmdir()
    lastknown.save(closed())
    assert lastknown.load() == closed()


# -- What cannot be trusted ----------------------------------------------------------------------


def test_a_copy_torn_at_any_byte_is_no_copy(place: Path) -> None:
    lastknown.save(closed())
    file = copy_in(place)
    whole = file.read_bytes()
    assert len(whole) > 500
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert lastknown.load() is None, length
    file.write_bytes(whole)
    assert lastknown.load() == closed()


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_copy_with_any_byte_changed_is_no_copy(place: Path, data: st.DataObject) -> None:
    lastknown.save(closed())
    file = copy_in(place)
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    assert lastknown.load() is None
    file.unlink()


@given(st.binary(max_size=300))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_at_all_make_loading_fail(place: Path, content: bytes) -> None:
    lastknown.save(closed())
    copy_in(place).write_bytes(content)
    assert lastknown.load() is None
    copy_in(place).write_bytes(b"[" * 100_000 + content)
    assert lastknown.load() is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"backsoon": "copy", "version": 2, "seal": ""}\n{}\n', "a newer version of Backsoon"),
        (b"closed\n", "is damaged, or another site wrote it"),
    ],
    ids=["empty", "newer", "garbled"],
)
def test_a_copy_that_cannot_be_used_is_told_once_with_the_reason(
    place: Path, caplog: pytest.LogCaptureFixture, content: bytes, said: str
) -> None:
    lastknown.save(closed())
    copy_in(place).write_bytes(content)
    for _again in range(3):
        assert lastknown.load() is None
    assert caplog.text.count(said) == 1
    assert "It counts as not there" in caplog.text


def test_what_is_sealed_but_not_understood_is_no_copy(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hostfiles.writing() as folder:
        folder.write(lastknown.KIND, b'{"epoch": 1, "switch": {"mode": "ajar"}}')
    assert lastknown.load() is None
    assert "what this version does not understand" in caplog.text


def test_another_sites_copy_is_not_ours(place: Path) -> None:
    lastknown.save(closed())
    with override_settings(SECRET_KEY="another-site"):
        in_a_new_process()
        assert lastknown.load() is None
        lastknown.save(closed(1))
        content = lastknown.load()
        theirs = hostfiles.path_of(lastknown.KIND).read_bytes()
    assert content == closed(1)
    assert lastknown.load() == closed()
    hostfiles.path_of(lastknown.KIND).write_bytes(theirs)
    assert lastknown.load() is None


def test_an_order_cannot_be_passed_off_as_a_copy(place: Path) -> None:
    brakes.put(Brake(Mode.OPEN, NOON))
    lastknown.save(closed())
    copy_in(place).write_bytes(hostfiles.path_of(brakes.KIND).read_bytes())
    assert lastknown.load() is None


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_neither_hangs_nor_fails(place: Path, make: Callable[[Path], Any]) -> None:
    lastknown.save(closed())
    file = copy_in(place)
    file.unlink()
    make(file)
    assert lastknown.load() is None


def test_a_symlink_in_the_copys_place_is_replaced_and_what_it_leads_to_is_untouched(
    place: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lastknown.save(closed(7))
    file = copy_in(place)
    file.unlink()
    file.symlink_to(victim)
    lastknown.save(closed(8))
    assert victim.read_text() == "precious"
    assert not file.is_symlink()
    assert lastknown.load() == closed(8)


# -- The directory -------------------------------------------------------------------------------


def refused(place: Path) -> str:
    """Why nothing can be kept, by every way of asking, which all have to agree."""
    error = hostfiles.obstacle()
    assert error is not None
    assert error.hint.endswith(".")
    with pytest.raises(DirectoryUnusableError) as caught, hostfiles.writing():
        pass
    assert str(caught.value) == str(error)
    lastknown.save(closed())
    assert lastknown.load() is None
    return str(error)


def test_a_directory_that_is_a_symlink_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    assert refused(place) == f"{place} is a symlink"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_directory_of_somebody_else_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mkdir(mode=0o700)
    monkeypatch.setattr(hostfiles, "own_uid", lambda: 12_345)
    assert refused(place).endswith(f"belongs to {owner()}, and this process runs as #12345")


def test_root_may_look_into_the_directory_of_another_user_but_writes_nothing_there(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lastknown.save(closed(7))
    if os.geteuid() == 0:
        os.chown(place, 12_345, -1)
    monkeypatch.setattr(hostfiles, "own_uid", lambda: 0)
    assert lastknown.load() == closed(7)
    lastknown.save(closed(8))
    assert "and this process runs as root" in caplog.text
    assert lastknown.load() == closed(7)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(place: Path, mode: int) -> None:
    place.mkdir()
    place.chmod(mode)
    assert refused(place) == f"{place} can be written to by other users"


def test_a_file_in_the_directorys_place_is_refused(place: Path) -> None:
    place.touch()
    assert refused(place) == f"{place} is no directory"


def test_a_directory_that_cannot_be_made_is_a_warning_told_once_until_it_changes(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", _raising(OSError(errno.EROFS, "Read-only file system")))
    for _again in range(3):
        lastknown.save(closed())
    assert caplog.text.count("Read-only file system") == 1
    assert "will be closed" in caplog.text
    monkeypatch.setattr(Path, "mkdir", _raising(OSError(errno.EACCES, "Permission denied")))
    lastknown.save(closed())
    assert caplog.text.count("Permission denied") == 1


def test_a_full_disk_leaves_the_old_copy_whole_and_nothing_beside_it(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lastknown.save(closed(7))
    real = os.write

    def write_a_little(descriptor: int, content: Any) -> int:
        if len(content) < 400:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:100])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_little)
        lastknown.save(closed(8))
        lastknown.save(closed(8))
    assert caplog.text.count("No space left on device") == 1
    assert lastknown.load() == closed(7)
    assert [file.name for file in place.iterdir()] == [copy_in(place).name]
    lastknown.save(closed(8))
    assert lastknown.load() == closed(8)


def open_site(epoch: int = 6) -> Snapshot:
    return Snapshot(mark=Mark(epoch, epoch))


def test_a_closure_that_cannot_be_kept_takes_away_the_copy_that_says_open(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lastknown.save(open_site())
    full = _raising(OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        lastknown.save(closed())
    assert lastknown.load() is None
    assert list(place.iterdir()) == []


def test_a_copy_that_says_open_is_not_believed_where_it_could_not_have_been_replaced(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lastknown.save(open_site())
    assert lastknown.load() == open_site()
    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)  # a read-only file system
    assert lastknown.load() is None
    assert "may be outdated" in caplog.text


def test_a_copy_that_says_closed_is_believed_wherever_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lastknown.save(closed())
    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)
    assert lastknown.load() == closed()


def test_after_a_crash_between_writing_and_renaming_the_old_copy_holds_and_the_rest_is_cleared(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lastknown.save(closed(7))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", _raising(_Died()))
        patch.setattr(os, "unlink", _raising(OSError()))  # who is dead clears nothing
        with pytest.raises(_Died):
            lastknown.save(closed(8))
    (left,) = (file for file in place.iterdir() if file.name.startswith("."))
    assert lastknown.load() == closed(7)
    lastknown.save(closed(9))
    assert left.exists()  # it might be another process's, in the middle of writing
    old = time.time() - hostfiles.LEFTOVER_SECONDS - 1
    os.utime(left, (old, old))
    lastknown.save(closed(10))
    assert [file.name for file in place.iterdir()] == [copy_in(place).name]
    assert lastknown.load() == closed(10)


def test_a_copy_gets_its_name_when_it_is_on_the_disk_and_so_does_the_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_rename(*args: Any, **kwargs: Any) -> None:
        done.append("rename")
        rename(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    lastknown.save(closed())
    assert done == ["file", "rename", "directory"]


def test_a_stopped_writer_does_not_stop_the_others(place: Path) -> None:
    with hostfiles.writing():
        begun = time.monotonic()
        lastknown.save(closed())
        assert time.monotonic() - begun < 10 * hostfiles.LOCK_SECONDS
    assert lastknown.load() == closed()


@pytest.mark.exhaustive
def test_however_many_processes_write_at_once_every_reading_is_whole(place: Path) -> None:
    lastknown.save(closed(1))
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            status = 1
            with suppress(BaseException):
                for turn in range(60):
                    lastknown.save(closed(2 + turn, f"{number} " * (turn + 1)))
                status = 0
            os._exit(status)
        children.append(child)
    readings = 0
    while children:
        snapshot = lastknown.load()
        assert snapshot is not None
        assert snapshot.policy.switch == closed().policy.switch
        readings += 1
        done, status = os.waitpid(children[0], os.WNOHANG)
        if done:
            assert status == 0
            children.pop(0)
    last = lastknown.load()
    assert last is not None
    assert last.mark.epoch == 61
    assert readings > 3
    assert [file.name for file in place.iterdir()] == [copy_in(place).name]


def test_where_nothing_is_configured_systemd_and_then_the_system_name_the_directory(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()  # the suite has a directory of its own there
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with override_settings(BACKSOON={}):
        assert hostfiles.directory() == tmp_path / f"backsoon-{os.geteuid()}"
        monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/shop:/var/lib/more")
        assert hostfiles.directory() == Path("/var/lib/shop/backsoon")


@pytest.fixture
def no_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host that cannot be written to, and a serving process that was given no directory."""
    monkeypatch.undo()  # the suite has a directory of its own there
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    missing = FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
    monkeypatch.setattr("tempfile.gettempdir", _raising(missing))
    monkeypatch.setattr("backsoon.environment.in_test_environment", lambda: False)
    monkeypatch.setattr(lastknown, "_written", None)
    monkeypatch.setattr(lastknown, "_told", {})
    monkeypatch.setattr(brakes, "_seen", None)
    with override_settings(BACKSOON={}):
        yield


@pytest.mark.usefixtures("no_temporary_directory")
def test_a_host_without_a_directory_for_temporary_files_keeps_nothing_and_says_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = "there is no directory for temporary files that can be written to"
    assert refused(tmp_path) == said
    with pytest.raises(DirectoryUnusableError, match=said):
        hostfiles.path_of(brakes.KIND)
    (message,) = checks.check_state_directory()
    assert said in message.msg
    assert "BACKSOON['STATE_DIR']" in (message.hint or "")
    caplog.clear()
    lastknown.save(closed())
    assert lastknown.load() is None
    assert not caplog.records  # refused() has heard it already


@pytest.mark.usefixtures("no_temporary_directory")
def test_on_such_a_host_there_are_no_orders_and_no_neighbours() -> None:
    assert hostfiles.signature(brakes.KIND) is None
    assert brakes.read() is None
    assert brakes.release(PULLED)
    assert hostfiles.other_users() == []
    with pytest.raises(DirectoryUnusableError):
        brakes.put(PULLED)


def test_where_users_have_no_numbers_nothing_is_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr(hostfiles, "_TELLS_OWNERS", False)
    assert hostfiles.own_uid() == 0
    assert "from other users by owner and mode" in refused(place)
    assert hostfiles.signature(brakes.KIND) is None
    assert brakes.read() is None
    assert not place.exists()


def test_without_locks_it_is_written_all_the_same(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostfiles, "_fcntl", None)
    lastknown.save(closed())
    assert lastknown.load() == closed()


AS_ON_WINDOWS = """
# These look at the system that they are imported on, so before it changes.
import asyncio, importlib, os, pkgutil, subprocess, sys
import celery.worker

for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
for name in ("geteuid", "getuid", "register_at_fork", "fork", "O_NOFOLLOW", "O_DIRECTORY",
             "O_CLOEXEC", "O_NONBLOCK", "uname"):
    delattr(os, name)
os.supports_dir_fd.clear()

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["backsoon", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
import backsoon

for module in pkgutil.walk_packages(backsoon.__path__, "backsoon."):
    if ".admin" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from backsoon import brakes, checks, hostfiles, lastknown

(message,) = checks.check_state_directory()
print(message.id, brakes.read(), lastknown.load(), hostfiles.other_users())
"""


def test_the_package_can_be_imported_where_there_are_no_locks_and_no_forks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS], capture_output=True, text=True, timeout=60,
        check=False, env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["backsoon.W007", "None", "None", "[]"]


def test_two_sites_of_a_host_never_share_a_file() -> None:
    names = {hostfiles.file_name("copy"), hostfiles.file_name("brake")}
    with override_settings(SECRET_KEY="another"):
        names.add(hostfiles.file_name("copy"))
    from django.db import connections

    database = connections.settings["default"]
    before = database["NAME"]
    try:
        database["NAME"] = "another"
        names.add(hostfiles.file_name("copy"))
    finally:
        database["NAME"] = before
    assert len(names) == 4


def test_the_check_warns_where_nothing_could_be_kept_and_changes_nothing(place: Path) -> None:
    assert list(checks.check_state_directory()) == []
    assert not place.exists()
    place.mkdir()
    place.chmod(0o777)
    (message,) = checks.check_state_directory()
    assert message.id == "backsoon.W007"
    assert "can be written to by other users" in message.msg
    assert f"chmod 700 {place}" in (message.hint or "")


def test_the_check_warns_where_the_directory_is_not_writable(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    (message,) = checks.check_state_directory()
    assert "it cannot be written to" in message.msg


# -- The brake's file ----------------------------------------------------------------------------

PULLED = Brake(Mode.CLOSED, NOON, "ann@web1", "fire", "web1", generation=5, epoch=7)


def test_an_order_comes_back_as_it_was_given(place: Path) -> None:
    brakes.put(PULLED)
    in_a_new_process()
    assert brakes.read() == PULLED


def test_while_nothing_changes_a_look_opens_no_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert brakes.read() is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", None)  # calling it would fail
        assert brakes.read() is None
    brakes.put(PULLED)
    assert brakes.read() == PULLED
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", None)
        assert brakes.read() == PULLED


def test_a_later_order_takes_the_place_of_an_earlier_one(place: Path) -> None:
    brakes.put(PULLED)
    assert brakes.read() == PULLED
    later = dataclasses.replace(PULLED, mode=Mode.OPEN)
    brakes.put(later)
    assert brakes.read() == later


def test_only_the_order_that_was_meant_is_taken_away(place: Path) -> None:
    later = dataclasses.replace(PULLED, mode=Mode.OPEN)
    brakes.put(later)
    assert not brakes.release(PULLED)
    assert brakes.read() == later
    assert brakes.release(later)
    assert brakes.read() is None
    assert brakes.release(later)


def test_a_damaged_order_changes_nothing_and_is_told_once(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brakes.put(PULLED)
    assert brakes.read() == PULLED
    hostfiles.path_of(brakes.KIND).write_bytes(b"open the site!\n")
    with caplog.at_level(logging.WARNING, logger="backsoon"):
        assert brakes.read() == PULLED
        assert brakes.read() == PULLED
        in_a_new_process()
        assert brakes.read() is None
        assert brakes.read() is None
    assert caplog.text.count("cannot be read") == 2


@pytest.mark.parametrize("at", ["null", '"2030-01-01T12:00:00"', "5", '"soon"'])
def test_a_sealed_order_without_a_true_time_is_none(place: Path, at: str) -> None:
    with hostfiles.writing() as folder:
        folder.write(brakes.KIND, f'{{"mode": "open", "at": {at}}}'.encode())
    assert brakes.read() is None


# -- Helpers -------------------------------------------------------------------------------------


class _Died(BaseException):
    """The process was killed here."""


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*args: Any, **kwargs: Any) -> NoReturn:
        raise error

    return fail


def owner() -> str:
    return hostfiles.user_name(os.geteuid())


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", _raising(KeyError()))
    assert hostfiles.user_name(33) == "#33"
    monkeypatch.setattr(hostfiles, "_pwd", None)
    assert hostfiles.user_name(34) == "#34"

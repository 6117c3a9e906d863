"""Reading and writing whole snapshots of what is stored."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.conf import settings as django_settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, ProgrammingError, connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.connection import ConnectionDoesNotExist

from . import conf, environment, limits
from .core.vocabulary import Mode
from .definitions import Definition
from .exceptions import NotMigratedError, OutdatedTablesError, StoreUnavailableError
from .models import Announcement, Maintenance, Series, SystemSetting, Tally, Window
from .snapshots import Entry, Mark, Snapshot, snapshot_of

logger = logging.getLogger("backsoon")

_Row = TypeVar("_Row", Window, Series)

_UNKNOWN_TO_SQL = (OperationalError, ProgrammingError)
"""What databases call it that a table or a column is not there."""

_OWN = "_backsoon_own"
"""Attribute of the connections that :func:`use_short_timeouts` made."""

READING_ATTEMPTS = 5
"""How often a reading is repeated when somebody changes things in the middle of it."""

WATCHER_TIMEOUT_MS = 250
"""What the watcher waits for the database: its reading is worth nothing when it comes late."""


HUNG_SECONDS = 1.0
"""After this time a server that does not keep its own limit hangs, and is hung up on."""

HUNG_WRITING_SECONDS = 3.0
"""The same for a change, which may be the statements of many planned closures."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the watcher asks for at each tick."""

    mark: Mark = field(default_factory=Mark)
    mode: str = Mode.OPEN.value
    now: dt.datetime | None = None
    """The database's clock; ``None`` where it is this machine's own, or not in UTC for sure."""


def alias() -> str:
    """The database that holds our tables."""
    return conf.current().database


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the database's errors into ours, telling a missing table from a missing database."""
    try:
        yield
    except (DatabaseError, InterfaceError, ConnectionDoesNotExist) as error:
        missing = _missing_tables() if isinstance(error, _UNKNOWN_TO_SQL) else set()
        if Maintenance._meta.db_table in missing:
            raise NotMigratedError(
                "The tables of Backsoon do not exist yet. Run: manage.py migrate"
            ) from error
        if missing:
            raise OutdatedTablesError(
                "The tables of Backsoon are those of an earlier version. Run: manage.py migrate"
            ) from error
        raise StoreUnavailableError(str(error).strip() or type(error).__name__) from error


def read_mark() -> Mark:
    """The numbers, by one tiny query. Raises :class:`StoreUnavailableError`."""
    return read_pulse().mark


def read_pulse() -> Pulse:
    """The numbers and the database's clock, by one tiny query.

    Raises :class:`StoreUnavailableError`.
    """
    with translated_errors(), bounded():
        columns = ["epoch", "revision", "mode", *([Now()] if has_a_clock() else [])]
        row = _control_rows().values_list(*columns).first()
    if not row:
        return Pulse()
    epoch, revision, mode, *now = row
    return Pulse(Mark(epoch, revision), mode, now[0] if now else None)


def has_a_clock() -> bool:
    """Whether the database tells the time, its own and in UTC for sure."""
    return connections[alias()].vendor == "postgresql" and django_settings.USE_TZ


def load() -> Snapshot:
    """Everything, by five queries. Raises :class:`StoreUnavailableError`."""
    with translated_errors(), bounded():
        try:
            return snapshot_of(*_read_rows(), utc_now())
        except (AttributeError, TypeError, ValueError) as error:
            # SQLite keeps a word in a column of numbers or dates if somebody puts it there.
            raise StoreUnavailableError(
                f"What is stored cannot be read: {error} ({type(error).__name__})."
            ) from error


def _read_rows() -> tuple[Maintenance | None, dict[str, SystemSetting], list[Window]]:
    """The control row, the settings and the windows, as they were at one moment.

    A change committed between the two readings would look like one made by other hands than ours,
    so the control row is read before and after, and everything again if it moved.
    """
    control, rows, windows = _control_rows().first(), {}, []
    for _attempt in range(READING_ATTEMPTS):
        before = control
        stored = SystemSetting.objects.using(alias()).only("key", "value", "translations")
        rows = {row.key: row for row in stored}
        windows = _read_windows()
        control = _control_rows().first()
        if _revision(before) == _revision(control):
            break
    return control, rows, windows


def _read_windows() -> list[Window]:
    """Those that can still matter: not over yet, and the last one that ended logins.

    A day of grace, because the clocks of machines differ; what is long past would only cost time.
    """
    now = utc_now()
    valid = Window.objects.using(alias()).filter(cancelled_at=None)
    still = Q(ends_at=None) | Q(ends_at__gt=now - dt.timedelta(days=1))
    # Put in order here: asked for that order, SQLite walks through all that there ever were.
    found = sorted(valid.filter(still).order_by(), key=lambda window: (window.starts_at, window.pk))
    closures = valid.filter(mode=Mode.CLOSED.value, keep_logins=False, starts_at__lte=now)
    last = closures.order_by("-starts_at").first()
    return found if last is None or last in found else [last, *found]


def _revision(control: Maintenance | None) -> object:
    return (control.epoch, control.revision) if control is not None else None


def swap_control(seen: Mark, **changes: Any) -> bool:
    """Compare-and-swap of the switch on the epoch; false when somebody else was faster.

    The epoch becomes the next one unless *changes* names a higher one. Call it first in a
    transaction: it takes the write lock before anything is read.
    """
    changes.setdefault("epoch", seen.epoch + 1)
    return _update_control({"epoch": seen.epoch}, **changes)


def claim_alarm(seen: Mark) -> bool:
    """Note that the alarm about the closure is raised; false when somebody was faster, or switched.

    Takes the write lock of the transaction.
    """
    return _update_control({"epoch": seen.epoch, "alarmed": False}, alarmed=True)


def bump_revision() -> None:
    """Count a change that leaves the switch alone; takes the write lock of the transaction."""
    _update_control({})


def lock() -> None:
    """Take the write lock of the transaction and change nothing."""
    _control_rows().update(epoch=F("epoch"))


def _update_control(condition: Mapping[str, Any], **changes: Any) -> bool:
    # Writing before reading: a transaction on SQLite that reads first and writes later fails at
    # once, without waiting, when another writer came in between.
    changes.setdefault("revision", F("revision") + 1)
    rows = _control_rows()
    if rows.filter(**condition).update(**changes):
        return True
    if rows.exists():
        return False
    Maintenance.objects.using(alias()).bulk_create([Maintenance()], ignore_conflicts=True)
    return bool(rows.filter(**condition).update(**changes))


def save_entry(definition: Definition, entry: Entry, user_id: Any) -> None:
    """Write one setting, making its row when it is missing."""
    row = SystemSetting.objects.using(alias()).filter(key=definition.key).first()
    if row is None:
        row = new_row(definition)
    row.value = entry.value or definition.default_text()
    row.translations = {code: text for code, text in entry.translations.items() if text}
    row.updated_by_id = user_id
    row.save(using=alias())


def save_window(uid: str, **values: Any) -> Window:
    """Write *values* of one window, making its row when there is none of this *uid*."""
    return _saved(Window.objects.using(alias()).filter(uid=uid).first() or Window(uid=uid), values)


def save_series(uid: str, **values: Any) -> Series:
    """Write *values* of one series, making its row when there is none of this *uid*."""
    return _saved(Series.objects.using(alias()).filter(uid=uid).first() or Series(uid=uid), values)


def _saved(row: _Row, values: Mapping[str, Any]) -> _Row:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(using=alias())
    return row


def find_series(uid: str) -> Series | None:
    """The series of this *uid*. Raises :class:`StoreUnavailableError`."""
    with translated_errors():
        return Series.objects.using(alias()).filter(uid=uid).first()


def series_to_continue(made_before: dt.datetime) -> tuple[list[Series], set[str]]:
    """Series that go on and have closures up to *made_before* at most, with the ``uid`` of all
    windows of theirs; first those that need it most. Raises :class:`StoreUnavailableError`.
    """
    with translated_errors(), bounded():
        going_on = Series.objects.using(alias()).filter(ended_at=None)
        rows = list(going_on.filter(made_until__lt=made_before).order_by("made_until", "pk"))
        windows = Window.objects.using(alias()).filter(series__in=[row.uid for row in rows])
        return rows, set(windows.values_list("uid", flat=True)) if rows else set()


def find_window(number: int) -> Window | None:
    """The window that people call by *number*. Raises :class:`StoreUnavailableError`."""
    with translated_errors():
        return Window.objects.using(alias()).filter(pk=number).first()


def new_row(definition: Definition) -> SystemSetting:
    """An unsaved row with the default of *definition*."""
    return SystemSetting(
        key=definition.key,
        value=definition.default_text(),
        setting_type=definition.setting_type,
        group=definition.group,
        label=str(definition.label),
        help_text=str(definition.help_text),
        order=definition.order,
    )


def use_short_timeouts() -> None:
    """Give the calling thread a connection of its own that does not wait long for anything.

    Only for threads of ours: other code on the thread would get the same connection.
    """
    name = alias()
    connection = connections.create_connection(name)
    # Not a deep copy: options may hold what cannot be copied, such as an SSL context.
    options = dict(connection.settings_dict.get("OPTIONS") or {})
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    if connection.vendor == "sqlite":
        options["timeout"] = WATCHER_TIMEOUT_MS / 1000
    elif connection.vendor == "postgresql":
        options["connect_timeout"] = 2
        options["tcp_user_timeout"] = 2_000  # milliseconds until unanswered data ends the wait
        options.pop("pool", None)
    elif connection.vendor == "mysql":
        options["connect_timeout"] = 2
        options["read_timeout"] = 1
    connections[name] = connection
    setattr(connection, _OWN, True)


class Patience:
    """A connection of its own for somebody who waits, but not for a database that hangs.

    Only within :meth:`limited` it stands in for the thread's usual one.
    """

    def __init__(self) -> None:
        self._own: Any = None

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Wait for nothing longer than the watcher does."""
        if environment.in_test_environment():
            yield  # what tests write is seen by their own connection alone
            return
        name = alias()
        usual = connections[name]
        if self._own is None:
            use_short_timeouts()
            self._own = connections[name]
        connections[name] = self._own
        try:
            yield
        finally:
            connections[name] = usual

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._own is not None:
            self._own.close()


@contextmanager
def bounded(hung_seconds: float = HUNG_SECONDS) -> Iterator[None]:
    """Bound the statements of a thread that has a connection of ours.

    Not by a parameter at start-up, which PgBouncer refuses, nor for the session, which a pooler
    would hand on to others.
    """
    connection = connections[alias()]
    if connection.vendor != "postgresql" or not getattr(connection, _OWN, False):
        yield
        return
    connection.ensure_connection()
    with limits.hanging_up(connection.connection, hung_seconds), transaction.atomic(using=alias()):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {WATCHER_TIMEOUT_MS}")
        yield


def _control_rows() -> Any:
    return Maintenance.objects.using(alias()).filter(pk=Maintenance.ONLY_PK)


def _missing_tables() -> set[str]:
    """Which of our tables the database lacks; none if it does not answer.

    The newest of them tells whether those are all there that this version needs.
    """
    connection = connections[alias()]
    if connection.in_atomic_block:
        return set()  # a failed transaction answers nothing; its caller will see the true error
    if connection.connection is None:
        return set()  # it could not be reached; trying again would double the wait for nothing
    try:
        tables = connection.introspection.table_names()
    except Exception:  # noqa: BLE001  (whatever happens here, the database did not answer)
        return set()
    needed = (Maintenance, Series, Announcement, Tally)
    return {model._meta.db_table for model in needed} - set(tables)


def utc_now() -> dt.datetime:
    """The clock, in one place for the shells."""
    return dt.datetime.now(dt.UTC)

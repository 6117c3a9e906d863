"""Reading and writing whole snapshots of what is stored.

A snapshot is one consistent reading. Values that somebody broke by hand in the table never reach
anybody: the default stands in, and the snapshot names the problem.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.core.exceptions import ValidationError
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, ProgrammingError, connections, transaction
from django.db.models import F
from django.utils.connection import ConnectionDoesNotExist

from . import conf
from .core.state import switch_mode
from .core.vocabulary import Mode, Notice, Policy, Switch, Window
from .definitions import BY_KEY, DEFINITIONS, Definition, clean, messages_of, parse_moment
from .exceptions import NotMigratedError, StoreUnavailableError
from .models import Maintenance, SystemSetting

logger = logging.getLogger("backsoon")

_OWN = "_backsoon_own"
"""Attribute of the connections that :func:`use_short_timeouts` made."""

READING_ATTEMPTS = 5
"""How often a reading is repeated when somebody changes things in the middle of it."""

WATCHER_TIMEOUT_MS = 250
"""What the watcher waits for the database: its reading is worth nothing when it comes late."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is stored for one setting; a text equal to the default is stored as ``""`` here."""

    value: str = ""
    translations: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """A short fingerprint: equal entries have equal ones."""
        text = json.dumps([self.value, sorted(self.translations.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Broken:
    """A stored value that cannot be used."""

    key: str
    value: str
    message: str


@dataclass(frozen=True, slots=True)
class Mark:
    """The numbers that tell whether anything changed."""

    epoch: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent reading of everything that is stored."""

    policy: Policy = field(default_factory=Policy)
    windows: tuple[Window, ...] = ()
    mark: Mark = field(default_factory=Mark)
    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    broken: tuple[Broken, ...] = ()
    missing: tuple[str, ...] = ()
    changed_outside: bool = False
    """Whether the switch was set in the table by other hands than ours."""


def alias() -> str:
    """The database that holds our tables."""
    return conf.current().database


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the database's errors into ours, telling a missing table from a missing database."""
    try:
        yield
    except (DatabaseError, InterfaceError, ConnectionDoesNotExist) as error:
        if isinstance(error, (OperationalError, ProgrammingError)) and _tables_are_missing():
            raise NotMigratedError(
                "The tables of Backsoon do not exist yet. Run: manage.py migrate"
            ) from error
        raise StoreUnavailableError(str(error).strip() or type(error).__name__) from error


def read_mark() -> Mark:
    """The numbers, by one tiny query. Raises :class:`StoreUnavailableError`."""
    with translated_errors(), _bounded():
        row = _control_rows().values_list("epoch", "revision").first()
    return Mark(*row) if row else Mark()


def load() -> Snapshot:
    """Everything, by three queries. Raises :class:`StoreUnavailableError`."""
    with translated_errors(), _bounded():
        try:
            return _snapshot(*_read_rows())
        except (AttributeError, TypeError, ValueError) as error:
            # SQLite keeps a word in a column of numbers or dates if somebody puts it there.
            raise StoreUnavailableError(
                f"What is stored cannot be read: {error} ({type(error).__name__})."
            ) from error


def _read_rows() -> tuple[Maintenance | None, dict[str, SystemSetting]]:
    """The control row and the settings, as they were at one moment.

    A change committed between the two readings would look like one made by other hands than ours,
    so the control row is read before and after, and everything again if it moved.
    """
    control, rows = _control_rows().first(), {}
    for _attempt in range(READING_ATTEMPTS):
        before = control
        stored = SystemSetting.objects.using(alias()).only("key", "value", "translations")
        rows = {row.key: row for row in stored}
        control = _control_rows().first()
        if _revision(before) == _revision(control):
            break
    return control, rows


def _revision(control: Maintenance | None) -> object:
    return (control.epoch, control.revision) if control is not None else None


def swap_control(seen: Mark, **changes: Any) -> bool:
    """Compare-and-swap of the switch on the epoch; false when somebody else was faster.

    Call it first in a transaction: it takes the write lock before anything is read.
    """
    return _update_control({"epoch": seen.epoch}, epoch=seen.epoch + 1, **changes)


def bump_revision() -> None:
    """Count a change that leaves the switch alone; takes the write lock of the transaction."""
    _update_control({})


def _update_control(condition: Mapping[str, Any], **changes: Any) -> bool:
    # Writing before reading: a transaction on SQLite that reads first and writes later fails at
    # once, without waiting, when another writer came in between.
    changes["revision"] = F("revision") + 1
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


@contextmanager
def _bounded() -> Iterator[None]:
    """Bound the statements of a thread that has a connection of ours.

    Not by a parameter at start-up, which PgBouncer refuses, nor for the session, which a pooler
    would hand on to others.
    """
    connection = connections[alias()]
    if connection.vendor != "postgresql" or not getattr(connection, _OWN, False):
        yield
        return
    with transaction.atomic(using=alias()):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {WATCHER_TIMEOUT_MS}")
        yield


def _control_rows() -> Any:
    return Maintenance.objects.using(alias()).filter(pk=Maintenance.ONLY_PK)


def _tables_are_missing() -> bool:
    """Whether the database answers and lacks our tables."""
    connection = connections[alias()]
    if connection.in_atomic_block:
        return False  # a failed transaction answers nothing; its caller will see the true error
    if connection.connection is None:
        return False  # it could not be reached; trying again would double the wait for nothing
    try:
        tables = connection.introspection.table_names()
    except Exception:  # noqa: BLE001  (whatever happens here, the database did not answer)
        return False
    return Maintenance._meta.db_table not in tables


# -- From rows to core values ------------------------------------------------------------------


def _snapshot(control: Maintenance | None, rows: Mapping[str, SystemSetting]) -> Snapshot:
    broken: list[Broken] = []
    entries = {key: _entry(key, rows, broken) for key in {*BY_KEY, *rows}}
    told = _told_by_the_row(rows.get("maintenance_mode"))
    try:
        switch = control.to_core() if control else Switch()
    except ValueError as error:
        broken.append(Broken("mode", control.mode if control else "", str(error)))
        switch = Switch(mode=Mode.CLOSED)
    changed_outside = told is not None and told != (switch.mode is not Mode.OPEN)
    if changed_outside:
        switch = Switch(mode=Mode.CLOSED if told else Mode.OPEN)
    ends_at = entries["maintenance_ends_at"].value
    policy = Policy(
        switch=switch,
        ends_at=parse_moment(ends_at) if ends_at else None,
        generation=int(control.generation) if control else 0,
        notices=notices(entries),
    )
    # Not what a missing or broken row would default to: that might be the opposite of the truth.
    stands_open = switch_mode(policy, utc_now()) is Mode.OPEN
    entries["maintenance_mode"] = Entry() if stands_open else Entry("true")
    return Snapshot(
        policy=policy,
        mark=Mark(int(control.epoch), int(control.revision)) if control else Mark(),
        entries=MappingProxyType(entries),
        broken=tuple(broken),
        missing=tuple(d.key for d in DEFINITIONS if d.key not in rows),
        changed_outside=changed_outside,
    )


def _told_by_the_row(row: SystemSetting | None) -> bool | None:
    """What the row of the switch says; ``None`` when it is missing or broken: that must not open
    a closed site, so then only the control row counts.
    """
    return {"true": True, "false": False}.get(row.value.strip().lower()) if row else None


def _entry(key: str, rows: Mapping[str, SystemSetting], broken: list[Broken]) -> Entry:
    row = rows.get(key)
    if row is None:
        return Entry()
    definition = BY_KEY.get(key)
    if definition is None:
        return Entry(row.value, _texts(row.translations))
    value = _usable(definition, row.value, broken)
    translations: dict[str, str] = {}
    if definition.translatable:
        if not isinstance(row.translations, dict):
            broken.append(Broken(key, str(row.translations)[:100], "translations are no object"))
        for code, text in _texts(row.translations).items():
            translations[code] = _usable(definition, text, broken)
    return Entry(
        definition.canonical(value), {code: text for code, text in translations.items() if text}
    )


def _usable(definition: Definition, text: str, broken: list[Broken]) -> str:
    try:
        return clean(definition, text)
    except ValidationError as error:
        broken.append(Broken(definition.key, text[:100], " ".join(messages_of(error))))
        return ""


def _texts(translations: object) -> dict[str, str]:
    if not isinstance(translations, dict):
        return {}
    return {
        str(code): text for code, text in translations.items() if isinstance(text, str) and text
    }


def notices(entries: Mapping[str, Entry]) -> Mapping[str, Notice]:
    """The texts by language, from stored entries (all keys of ours have to be there)."""
    codes = {code for entry in entries.values() for code in entry.translations}

    def text(key: str, code: str) -> str:
        return entries[key].translations.get(code) or entries[key].value

    return MappingProxyType(
        {
            code: Notice(
                title=text("maintenance_title", code),
                message=text("maintenance_message", code),
                button_url=entries["maintenance_url"].value,
                button_text=text("maintenance_button_text", code),
                image_url=entries["maintenance_image_url"].value,
                icon=entries["maintenance_icon"].value,
                contact=entries["maintenance_contact"].value,
            )
            for code in {"", *codes}
        }
    )


def utc_now() -> dt.datetime:
    """The clock, in one place for the shells."""
    return dt.datetime.now(dt.UTC)

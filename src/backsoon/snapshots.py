"""One consistent reading of everything that is stored, made of rows.

Values that somebody broke by hand in the table never reach anybody: the default stands in, and the
snapshot names the problem.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from django.core.exceptions import ValidationError

from .core.state import switch_mode
from .core.vocabulary import Mode, Notice, Policy, Switch, Window
from .definitions import BY_KEY, DEFINITIONS, Definition, clean, messages_of, parse_moment
from .models import Maintenance, SystemSetting
from .models import Window as WindowRow


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

    def window(self, uid: str) -> Window | None:
        """The window of this *uid*; ``None`` where none is planned, or it was long ago."""
        return next((window for window in self.windows if window.uid == uid), None)


def snapshot_of(
    control: Maintenance | None,
    rows: Mapping[str, SystemSetting],
    windows: Iterable[WindowRow],
    now: dt.datetime,
) -> Snapshot:
    """The reading that the control row, the settings and the windows make at *now*.

    Raises ``AttributeError``, ``TypeError`` or ``ValueError`` where a row holds what its columns
    cannot mean.
    """
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
    stands_open = switch_mode(policy, now) is Mode.OPEN
    entries["maintenance_mode"] = Entry() if stands_open else Entry("true")
    return Snapshot(
        policy=policy,
        windows=tuple(row.to_core() for row in windows),
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

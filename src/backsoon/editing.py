"""What somebody typed: tidied, judged, and laid against what is stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from . import store
from .definitions import BY_KEY, Definition, clean, from_row, messages_of, tidy
from .exceptions import InvalidSettingError
from .models import SystemSetting
from .snapshots import Entry, Snapshot

SWITCH_KEY = "maintenance_mode"
END_KEY = "maintenance_ends_at"
MESSAGE_KEY = "maintenance_message"

Values = Mapping[str, Entry]


def storable(text: str) -> str:
    """*text* without what no database takes: null characters and halves of surrogate pairs.

    For names and reasons that come from outside (a misread shell) and must not stop a closure.
    """
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def clean_entries(entries: Values) -> dict[str, Entry]:
    """Entries as they are to be stored. Raises :class:`InvalidSettingError` naming all errors."""
    now = store.utc_now()
    errors: dict[str, list[str]] = {}
    cleaned: dict[str, Entry] = {}
    known = definitions(entries)
    for key, entry in entries.items():
        definition = known.get(key)
        if definition is None:
            errors[key] = [_("There is no setting of this name.")]
            continue
        texts: dict[str, str] = {}
        for code, text in {"": entry.value, **entry.translations}.items():
            try:
                texts[code] = clean(definition, text, now=now) if text else ""  # the default
            except ValidationError as error:
                errors[f"{key}:{code}" if code else key] = messages_of(error)
        value = definition.canonical(texts.pop("", ""))
        cleaned[key] = Entry(value, {code: text for code, text in texts.items() if text})
    if errors:
        raise InvalidSettingError(errors)
    return cleaned


def clean_given(message: str | None, until: dt.datetime | None) -> dict[str, Entry]:
    """What a closure brings along, as it is to be stored. Raises :class:`InvalidSettingError`."""
    given: dict[str, Entry] = {}
    if message is not None:
        given[MESSAGE_KEY] = Entry(message)
    if until is not None:
        given[END_KEY] = Entry(until.isoformat())
    return clean_entries(given)


def tidied(key: str, entry: Entry) -> Entry:
    """*entry* such that a text which only went through a form and back is equal to the stored."""
    definition = BY_KEY.get(key)
    value = tidy(entry.value)
    texts = {code: tidy(text) for code, text in entry.translations.items()}
    return Entry(
        definition.canonical(value) if definition else value,
        {code: text for code, text in texts.items() if text},
    )


def definitions(keys: Values) -> dict[str, Definition]:
    """Definitions by key, ours and those that the project's own rows describe."""
    unknown = [key for key in keys if key not in BY_KEY]
    rows = SystemSetting.objects.using(store.alias()).filter(key__in=unknown) if unknown else ()
    return BY_KEY | {row.key: from_row(row) for row in rows}


def stored(snapshot: Snapshot, key: str) -> Entry:
    """What is stored for *key*; the default where nothing is."""
    return snapshot.entries.get(key, Entry())


def differing(before: Snapshot, entries: Values) -> dict[str, Entry]:
    """What differs from what is stored; the rest is not judged again (an end may have passed)."""
    # A broken switch is mended by the next switching: taking it for a change would close again.
    broken = {problem.key for problem in before.broken} - {SWITCH_KEY}
    return {
        key: entry
        for key, entry in entries.items()
        if key in broken or entry.digest() != stored(before, key).digest()
    }


def shown(snapshot: Snapshot, key: str) -> str:
    """The stored text of a setting as people read it: the default where none is stored."""
    definition = BY_KEY.get(key)
    return stored(snapshot, key).value or (definition.default_text() if definition else "")


def merged(
    before: Snapshot, entries: Values, base: Mapping[str, str]
) -> tuple[dict[str, Entry], dict[str, str]]:
    """What the caller really changed, and what somebody else changed of the same meanwhile.

    *base* holds the digests of what the caller saw; what equals it was not touched.
    """
    mine: dict[str, Entry] = {}
    theirs: dict[str, str] = {}
    for key, entry in entries.items():
        seen = base.get(key)
        if seen is None or entry.digest() == seen:
            continue
        if stored(before, key).digest() not in (seen, entry.digest()):
            theirs[key] = shown(before, key)
        mine[key] = entry
    return mine, theirs

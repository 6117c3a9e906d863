"""The settings as one form.

The form judges nothing itself: it turns what was typed into entries for ``services`` and puts the
sentences of ``definitions`` at the fields. It knows what its reader was shown (a digest for each
setting, hidden in the page), so that two people who edit at once both keep what they typed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from backsoon import definitions as known
from backsoon import store
from backsoon.definitions import BY_KEY, Definition
from backsoon.http import icons
from backsoon.models import SettingType
from backsoon.snapshots import Entry, Snapshot

from .fields import as_local, field_for
from .lines import Line, describe, id_of, language_name

if TYPE_CHECKING:
    from django.forms.boundfield import BoundField

SWITCH = "maintenance_mode"


@dataclass(slots=True)
class Row:
    """One setting as the template draws it."""

    definition: Definition
    line: Line
    texts: list[Line]
    hidden: list[BoundField]
    icon: SafeString | None = None
    exact: dt.datetime | None = None
    is_on: bool = False

    @property
    def texts_are_needed(self) -> bool:
        """Whether the other languages have something to show."""
        return any(line.input.value() or line.errors or line.notes for line in self.texts)


@dataclass(frozen=True, slots=True)
class Group:
    """Settings under one heading."""

    name: str
    label: str
    rows: list[Row]


class SettingsForm(forms.Form):
    """All settings of the page, by name. Made for one request."""

    def __init__(
        self,
        definitions: Sequence[Definition],
        snapshot: Snapshot | None,
        data: Any = None,
    ) -> None:
        super().__init__(data=data, label_suffix="")
        if data is not None:
            # A copy, because answering a conflict updates what the reader has been shown.
            self.data: Any = data.copy()
        self.definitions = list(definitions)
        self.snapshot = snapshot if snapshot is not None else Snapshot()
        self.broken = {problem.key: problem for problem in self.snapshot.broken}
        self.entries: dict[str, Entry] = {}
        """What was typed, by key, once the form is valid."""
        self.base: dict[str, str] = {}
        """The digests of what its reader was shown, by key."""
        self.notes: dict[str, list[str]] = {}
        self.codes: dict[str, str] = {}
        """The language of a field, by its name, for those that have one."""
        for definition in self.definitions:
            self._add_fields(definition)

    def _add_fields(self, definition: Definition) -> None:
        name, entry = name_of(definition.key), self.stored(definition.key)
        values = initial_values(definition, entry)
        if definition.translatable:
            # Languages that were shown when the page was made, and are not stored any more.
            values |= {part: "" for part in self.data if _is_text_of(name, part)} | values
        for part, value in values.items():
            self._add_field(definition, part, value)
        digest = forms.CharField(required=False, widget=forms.HiddenInput, initial=entry.digest())
        self.fields[f"seen:{name}"] = digest
        if definition.setting_type == SettingType.DATETIME:
            # The field shows minutes; what is not touched keeps its seconds.
            exact = forms.CharField(required=False, widget=forms.HiddenInput, initial=entry.value)
            self.fields[f"exact:{name}"] = exact

    def _add_field(self, definition: Definition, part: str, value: str | bool) -> None:
        made = field_for(definition)
        made.initial = value
        made.widget.attrs["id"] = id_of(part)
        if definition.translatable and ":" in part:
            self.codes[part] = part.partition(":")[2]
        self.fields[part] = made

    def stored(self, key: str) -> Entry:
        """What is stored for *key*; for the switch, what is true."""
        return self.snapshot.entries.get(key, Entry())

    # -- What was typed ------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        """Make the entries, and put all errors at their fields at once."""
        for definition in self.definitions:
            if self._was_shown(definition):
                self._read(definition)
        return self.cleaned_data

    def _was_shown(self, definition: Definition) -> bool:
        """Whether the page that was sent had this setting; a script may send only some."""
        name = name_of(definition.key)
        return name in self.data or f"seen:{name}" in self.data

    def _read(self, definition: Definition) -> None:
        key, name = definition.key, name_of(definition.key)
        stored = self.stored(key)
        seen = str(self.data.get(f"seen:{name}") or stored.digest())
        entry = self._typed(definition)
        if entry is None:
            return  # an input is wrong, and says so itself
        if self._is_as_shown(definition, stored):
            entry = stored
            if key in self.broken and key != SWITCH:
                seen = ""  # what stands in for a broken value is stored as shown
        self.entries[key], self.base[key] = entry, seen
        if entry.digest() != seen:
            self._judge(definition, entry)

    def _typed(self, definition: Definition) -> Entry | None:
        name = name_of(definition.key)
        if any(part in self.errors for part in self._parts(definition)):
            return None
        if definition.setting_type == SettingType.BOOLEAN:
            return Entry("true" if self.cleaned_data[name] else _OFF.get(definition.key, "false"))
        exact = self.data.get(f"exact:{name}", "")
        if exact and as_local(exact) == self.data.get(name):
            return Entry(exact)
        texts = {
            self.codes[part]: _normal(self.cleaned_data[part])
            for part in self._parts(definition)
            if part in self.codes
        }
        value = definition.canonical(_normal(self.cleaned_data[name]))
        return Entry(value, {code: text for code, text in texts.items() if text})

    def _is_as_shown(self, definition: Definition, entry: Entry) -> bool:
        """Whether the fields hold what they would hold if nobody had touched them."""
        return all(
            bool(self.cleaned_data.get(part)) is value
            if isinstance(value, bool)
            else _normal(self.data.get(part, "")) == _normal(value)
            for part, value in initial_values(definition, entry).items()
        )

    def _judge(self, definition: Definition, entry: Entry) -> None:
        name = name_of(definition.key)
        for code, text in {"": entry.value, **entry.translations}.items():
            if definition.setting_type == SettingType.BOOLEAN:
                continue
            try:
                known.clean(definition, text, now=store.utc_now())
            except ValidationError as error:
                self.add_error(f"{name}:{code}" if code else name, error)

    def _parts(self, definition: Definition) -> list[str]:
        """The names of the fields of one setting, its hidden ones left out."""
        name = name_of(definition.key)
        return [name, *(part for part in self.codes if part.startswith(f"{name}:"))]

    # -- What the services answered ------------------------------------------------------------

    def add_service_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Put what the services refused at the fields that it is about."""
        for place, messages in errors.items():
            key, _colon, code = place.partition(":")
            name = name_of(key) + (f":{code}" if code else "")
            for message in messages:
                self.add_error(name if name in self.fields else None, message)

    def meet(self, fresh: Snapshot, changed_by: Mapping[str, str]) -> None:
        """Bring the form up to date with what others have stored, keeping what was typed.

        What only others changed is shown as it is now. What both changed keeps the typed text and
        gets a note with theirs; its digest becomes the new one, so that saving again overwrites.
        """
        self.snapshot = fresh
        for definition in self.definitions:
            key, name = definition.key, name_of(definition.key)
            now, entry = self.stored(key), self.entries.get(key)
            if entry is None or now.digest() == self.base[key]:
                continue
            touched = entry.digest() not in (self.base[key], now.digest())
            note = self._note(definition, now, changed_by.get(key, ""), touched=touched)
            if note:
                self.notes.setdefault(name, []).append(note)
            for part, value in initial_values(definition, now).items():
                if part not in self.fields:
                    self._add_field(definition, part, value)
                    self._show(part, value)
                elif not touched:
                    self._show(part, value)
            self.data[f"seen:{name}"] = now.digest()
            if f"exact:{name}" in self.fields:
                self.data[f"exact:{name}"] = now.value

    def _show(self, part: str, value: str | bool) -> None:
        if isinstance(value, bool):
            self.data.pop(part, None)
            if value:
                self.data[part] = "on"
        else:
            self.data[part] = value

    def _note(self, definition: Definition, now: Entry, by: str, *, touched: bool) -> str:
        shown = initial_values(definition, now)
        texts = [
            (f"{language_name(self.codes[part])}: " if part in self.codes else "")
            + (_("“%(text)s”") % {"text": Truncator(value).chars(300)} if value else _("(empty)"))
            for part, value in shown.items()
            if isinstance(value, str) and (value or part not in self.codes)
        ]
        if definition.setting_type == SettingType.BOOLEAN:
            texts = [_("on") if now.value == "true" else _("off")]
        values = {"value": "; ".join(texts), "by": by or _("somebody else")}
        if touched:
            return _(
                "Meanwhile changed to %(value)s by %(by)s. What you typed is still here; save "
                "again to replace theirs."
            ) % values  # fmt: skip
        return _("Meanwhile changed by %(by)s. You see the new value.") % values

    # -- For the template ----------------------------------------------------------------------

    def groups(self) -> list[Group]:
        """The settings under their headings."""
        return [
            Group(
                name,
                group_label(name),
                [self._row(each) for each in self.definitions if each.group == name],
            )
            for name in known.groups(self.definitions)
        ]

    def problems(self) -> list[tuple[str, str, str]]:
        """Every error and note as (id of the input, its label, sentence), for the summary."""
        return [
            (
                id_of(name) if name in self.fields else "",
                self._label(name) if name in self.fields else "",
                str(message),
            )
            for sentences in (self.errors, self.notes)
            for name, messages in sentences.items()
            for message in messages
        ]

    def _label(self, part: str) -> str:
        label = str(self.fields[part].label)
        code = self.codes.get(part)
        return f"{label} ({language_name(code)})" if code else label

    def _row(self, definition: Definition) -> Row:
        name, parts = name_of(definition.key), self._parts(definition)
        lines = [self._line(definition, part) for part in parts]
        row = Row(
            definition,
            lines[0],
            lines[1:],
            [self[hidden] for hidden in self.fields if hidden.split(":", 1)[1:] == [name]],
        )
        broken = self.broken.get(definition.key)
        if broken is not None:
            row.line.notes.insert(0, _broken_note(broken.value, broken.message))
        if definition.setting_type == SettingType.ICON:
            row.icon = self._draw_icon(row.line)
        if definition.setting_type == SettingType.DATETIME:
            row.exact = _moment(self.stored(definition.key).value)
        row.is_on = definition.key == SWITCH and self.stored(SWITCH).value == "true"
        for line in lines:
            describe(line, has_help=line is row.line and bool(definition.help_text))
        return row

    def _line(self, definition: Definition, part: str) -> Line:
        code = self.codes.get(part, "")
        return Line(
            self[part],
            language_name(code) if code else str(definition.label),
            notes=list(self.notes.get(part, ())),
            errors=[str(message) for message in self.errors.get(part, ())] if self.is_bound else [],
            limit=definition.max_length if definition.setting_type == SettingType.TEXTAREA else 0,
            language=code,
        )

    def _draw_icon(self, line: Line) -> SafeString:
        text = str(line.input.value() or "").strip()
        drawing = icons.icon_svg(text) if text else None
        if text and drawing is None:
            line.notes.append(_("This icon is not known, so visitors see the default one."))
        return mark_safe(drawing or icons.DEFAULT_SVG)  # noqa: S308  (numbers and path data only)


# The switch's "off" is its default, which is stored as nothing.
_OFF = {SWITCH: ""}

_LANGUAGE_CODE = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8}){0,3}", re.ASCII | re.IGNORECASE)


def name_of(key: str) -> str:
    """The name of a setting's field; those of the project's own rows cannot clash with ours."""
    return key if key in BY_KEY else f"own-{key}"


def _is_text_of(name: str, part: str) -> bool:
    head, _colon, code = part.partition(":")
    return head == name and _LANGUAGE_CODE.fullmatch(code) is not None


def initial_values(definition: Definition, entry: Entry) -> dict[str, str | bool]:
    """What the fields of a setting show for *entry*, by field name."""
    name = name_of(definition.key)
    if definition.setting_type == SettingType.BOOLEAN:
        return {name: entry.value.strip().lower() == "true"}
    if definition.setting_type == SettingType.DATETIME:
        return {name: as_local(entry.value) if entry.value else ""}
    values: dict[str, str | bool] = {name: entry.value or definition.default_text()}
    if definition.translatable:
        for code in _other_languages(entry):
            values[f"{name}:{code}"] = entry.translations.get(code, "")
    return values


def group_label(name: str) -> str:
    """A group's name for people."""
    return {"maintenance": _("Maintenance"), "general": _("General")}.get(
        name, name[:1].upper() + name[1:]
    )


def _other_languages(entry: Entry) -> list[str]:
    """Languages with a field of their own: the project's but its first, and whatever is stored.

    The main text is the one in the project's own language (``LANGUAGE_CODE``).
    """
    codes = [code for code, _name in known.languages()]
    own = settings.LANGUAGE_CODE.lower()
    base = own.partition("-")[0]
    main = own if own in codes else base
    return list(dict.fromkeys([*(code for code in codes if code != main), *entry.translations]))


def _normal(text: Any) -> str:
    """As it is stored: browsers send ends of lines as two characters."""
    return str(text or "").replace("\r\n", "\n").strip()


def _broken_note(value: str, message: str) -> str:
    return _(
        "The stored value “%(value)s” cannot be used, so the default stands in. %(message)s "
        "Saving stores what you see."
    ) % {"value": value, "message": message}  # fmt: skip


def _moment(iso: str) -> dt.datetime | None:
    try:
        return known.parse_moment(iso)
    except ValueError:
        return None

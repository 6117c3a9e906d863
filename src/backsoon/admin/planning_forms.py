"""A planned closure as a form: times, words, and how early visitors are told.

The form judges no times: it turns what was typed into moments and words for ``services``, whose
sentences come back at the fields. It knows what its reader was shown, so that of two people who
change the same plan neither loses what they typed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.utils import timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backsoon import conf, recurrence
from backsoon import definitions as known
from backsoon.core.vocabulary import Mode, Window, Words
from backsoon.definitions import BY_KEY, MESSAGE_LENGTH

from . import times
from .fields import MomentField, as_local, field_for
from .lines import Line, describe, id_of, language_name

AT, OPENED = "at", "opened"

LENGTHS = tuple(dt.timedelta(minutes=minutes) for minutes in (30, 60, 120, 240))
"""What can be chosen instead of an end."""

NOTICES = tuple(dt.timedelta(hours=hours) for hours in (0, 1, 24, 72, 168))
OWN = "own"

TEXTS = ("title", "message")


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that was typed and not judged yet."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None
    mode: Mode
    keep_logins: bool
    notice: dt.timedelta | None
    words: dict[str, Words]
    reason: str
    repeat: str = ""
    """The rule by which it comes again; empty for once."""

    def fingerprint(self, *seen: object) -> str:
        """Equal for equal plans that were made in sight of the same."""
        told = {code: [words.title, words.message] for code, words in self.words.items()}
        plan = [
            self.starts_at.isoformat(), str(self.ends_at), self.mode.value, self.keep_logins,
            str(self.notice), self.reason, self.repeat, told, *map(str, seen),
        ]  # fmt: skip
        return digest(json.dumps(plan))

    def window(self, like: Window | None = None) -> Window:
        """The closure that would come of it. Raises ``ValueError`` where none can."""
        return Window(
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            mode=self.mode,
            keep_logins=self.keep_logins,
            notice=self.notice,
            words=self.words,
            reason=self.reason,
            uid=like.uid if like is not None else "",
            number=like.number if like is not None else None,
        )


class ChoiceLine(Line):
    """Several inputs to choose one of, which have an id together."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """What the ids of help, notes and errors begin with."""
        return str(self.input.field.widget.attrs["id"])


class PlanForm(forms.Form):
    """The plan of one closure; with *window* of one that is planned already."""

    starts_at = MomentField(
        label=gettext_lazy("Start"),
        error_messages={"required": gettext_lazy("Say when it begins.")},
    )
    ends = forms.ChoiceField(
        label=gettext_lazy("End"),
        required=False,
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": gettext_lazy("Choose one of these.")},
    )
    ends_at = MomentField(label=gettext_lazy("Date and time of the end"), required=False)
    mode = forms.ChoiceField(
        label=gettext_lazy("What visitors can do"),
        choices=[
            (Mode.CLOSED.value, gettext_lazy("Nothing: they see the maintenance page")),
            (Mode.READ_ONLY.value, gettext_lazy("Read, but change nothing")),
        ],
        initial=Mode.CLOSED.value,
        widget=forms.RadioSelect,
    )
    keep_logins = forms.BooleanField(
        label=gettext_lazy("Keep logins"),
        help_text=gettext_lazy("Users are not logged out, and go on where they were afterwards."),
        required=False,
    )
    notice = forms.ChoiceField(
        label=gettext_lazy("Tell visitors beforehand"),
        required=False,
        error_messages={"invalid_choice": gettext_lazy("Choose one of these.")},
    )
    notice_hours = forms.FloatField(
        label=gettext_lazy("Hours before the start"),
        required=False,
        min_value=0,
        max_value=conf.LONGEST_CLOSURE.days * 24,
    )
    repeat = forms.ChoiceField(
        label=gettext_lazy("Repetition"),
        required=False,
        error_messages={"invalid_choice": gettext_lazy("Choose one of these.")},
        choices=[
            ("", gettext_lazy("Once")),
            ("daily", gettext_lazy("Every day")),
            ("weekly", gettext_lazy("Every week, on the day of the start")),
            ("biweekly", gettext_lazy("Every two weeks, on the day of the start")),
            ("monthly", gettext_lazy("Every month, on the same weekday, such as the 2nd Sunday")),
            (OWN, gettext_lazy("By a rule of your own")),
        ],
    )
    rule = forms.CharField(
        label=gettext_lazy("Rule"),
        required=False,
        help_text=gettext_lazy(
            "A recurrence rule of calendars (RFC 5545), such as FREQ=MONTHLY;BYDAY=2SU. The time "
            "of day is that of the start."
        ),
        widget=forms.TextInput(
            attrs={"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
        ),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("For the history. Visitors do not see it."),
        required=False,
        # Not max_length, which makes browsers cut what is pasted.
        validators=[MaxLengthValidator(500)],
        widget=forms.TextInput(attrs={"dir": "auto"}),
    )

    def __init__(
        self,
        data: Any = None,
        *,
        window: Window | None = None,
        begun: bool = False,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        stored = values_of(window) if window is not None else {}
        super().__init__(data=data, initial={**stored, **(initial or {})}, label_suffix="")
        if data is not None:
            # A copy, because answering a conflict updates what the reader has been shown.
            self.data: Any = data.copy()
        self.window = window
        self.begun = begun
        self.stored = stored
        self.notes: dict[str, list[str]] = {}
        self.codes: dict[str, str] = {}
        """The language of a field, by its name, for those that have one."""
        self._add_texts()
        self._offer()
        for name, field in self.fields.items():
            field.widget.attrs["id"] = id_of(name)

    def _add_texts(self) -> None:
        codes = ["", *_codes(self.window, self.data)]
        for code in codes:
            for text in TEXTS:
                name = f"{text}:{code}" if code else text
                self.fields[name] = field_for(BY_KEY[f"maintenance_{text}"])
                if code:
                    self.codes[name] = code
        for text in TEXTS:
            self.fields[text].label = BY_KEY[f"maintenance_{text}"].label

    def _offer(self) -> None:
        """The choices, which depend on the language and on what is stored."""
        ends: Any = self.fields["ends"]
        ends.choices = [
            *((_key(each), times.length(each)) for each in LENGTHS),
            (AT, _("At a date and time:")),
            (OPENED, _("When I open it")),
        ]
        notice: Any = self.fields["notice"]
        notice.choices = [*_notices(), (OWN, _("Another time: hours before the start"))]
        if self.window is not None:
            del self.fields["repeat"], self.fields["rule"]
        if self.begun:  # what was closed was closed
            del self.fields["starts_at"], self.fields["mode"], self.fields["keep_logins"]

    # -- What was typed ------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        """Find the end, whichever way it was said."""
        given = self.cleaned_data
        if "starts_at" in given and self.window is not None:
            given["starts_at"] = self._exactly("starts_at", self.window.starts_at)
        if "ends" in given and "ends_at" in given:
            self._find_end(given)
        lacks_hours = given.get("notice") == OWN and given.get("notice_hours") is None
        if lacks_hours and "notice_hours" not in self.errors:
            self.add_error("notice_hours", _("Say how many hours."))
        if given.get("repeat") == OWN and not given.get("rule"):
            self.add_error("rule", _("Write the rule."))
        return given

    def _find_end(self, given: dict[str, Any]) -> None:
        chosen, typed = given["ends"], given["ends_at"]
        if self.window is not None and self.window.ends_at is not None:
            typed = given["ends_at"] = self._exactly("ends_at", self.window.ends_at)
        was = self.stored.get("ends_at", "")
        is_new = bool(typed) and self.data.get("ends_at") != was
        if chosen not in ("", AT) and is_new:
            self.add_error("ends", _("You chose this and typed an end. Keep one of them."))
        elif chosen in ("", AT) and not typed:
            self.add_error(
                "ends_at" if chosen == AT else "ends",
                _("Say when it ends, or that you open it yourself."),
            )

    def _exactly(self, name: str, moment: dt.datetime) -> str:
        """What was typed; where nobody touched it, what is stored, which may be more exact."""
        typed: str = self.cleaned_data[name]
        return moment.isoformat() if self.data.get(name) == self.stored[name] else typed

    def draft(self) -> Draft:
        """What was typed, once the form is valid."""
        given, planned = self.cleaned_data, self.window
        start = planned.starts_at if self.begun and planned else moment(given["starts_at"])
        return Draft(
            starts_at=start,
            ends_at=self._end(start),
            mode=planned.mode if self.begun and planned else Mode(given["mode"]),
            keep_logins=planned.keep_logins if self.begun and planned else given["keep_logins"],
            notice=self._notice(),
            words={
                code: Words(*(given[f"{text}:{code}" if code else text] for text in TEXTS))
                for code in dict.fromkeys(["", *self.codes.values()])
            },
            reason=given["reason"],
            repeat=self._rule(start),
        )

    def _rule(self, start: dt.datetime) -> str:
        chosen = self.cleaned_data.get("repeat", "")
        if chosen == OWN:
            return str(self.cleaned_data["rule"])
        return recurrence.preset(chosen, timezone.localtime(start)) if chosen else ""

    def _end(self, start: dt.datetime) -> dt.datetime | None:
        chosen = self.cleaned_data["ends"]
        if chosen == OPENED:
            return None
        if chosen in ("", AT):
            return moment(self.cleaned_data["ends_at"])
        try:
            return start + dt.timedelta(seconds=int(chosen))
        except OverflowError:
            return start  # refused as an end that does not come after its start

    def _notice(self) -> dt.timedelta | None:
        chosen = self.cleaned_data["notice"]
        if chosen == OWN:
            return dt.timedelta(hours=self.cleaned_data["notice_hours"])
        return dt.timedelta(seconds=int(chosen)) if chosen else None

    # -- What the services answered ------------------------------------------------------------

    def add_service_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Put what the services refused at the fields that it is about."""
        for name, messages in errors.items():
            place: str | None = name if name in self.fields else None
            if name == "ends_at" and self.cleaned_data.get("ends") not in ("", AT):
                place = "ends"
            if name in ("repeat", "zone"):
                place = "rule" if self.cleaned_data.get("repeat") == OWN else "repeat"
            for message in messages:
                self.add_error(place, message)

    def meet(self, by: str) -> None:
        """Bring the form up to date with what others made of the plan, keeping what was typed.

        What only they changed is shown as it is now; what was changed here, too, gets a note.
        """
        seen = _seen(self.data.get("was", ""))
        for name, theirs in self.stored.items():
            typed = str(self.data.get(name, ""))
            if name not in self.fields or typed == theirs or seen.get(name) == digest(theirs):
                continue
            values = {"by": by or _("somebody else"), "value": self._shown(name, theirs)}
            if seen.get(name) == digest(typed):
                self.data[name] = theirs
                note = _("Meanwhile changed by %(by)s. You see the new value.") % values
            else:
                note = _(
                    "Meanwhile changed to %(value)s by %(by)s. What you typed is still here; save "
                    "again to replace theirs."
                ) % values  # fmt: skip
            self.notes.setdefault(name, []).append(note)

    def _shown(self, name: str, value: str) -> str:
        field: Any = self.fields[name]
        if hasattr(field, "choices"):
            return str(dict(field.choices).get(value, value))
        return _("“%(text)s”") % {"text": Truncator(value).chars(300)} if value else _("(empty)")

    def was(self) -> str:
        """What its reader was shown, for the next sending."""
        return json.dumps({name: digest(value) for name, value in self.stored.items()})

    # -- For the template ----------------------------------------------------------------------

    def line(self, name: str) -> Line:
        """One input with its notes and errors."""
        code = self.codes.get(name, "")
        text = name.partition(":")[0]
        is_choice = isinstance(self[name].field.widget, forms.RadioSelect)
        made = (ChoiceLine if is_choice else Line)(
            self[name],
            language_name(code) if code else str(self[name].label),
            notes=list(self.notes.get(name, ())),
            errors=[str(message) for message in self.errors.get(name, ())] if self.is_bound else [],
            limit=MESSAGE_LENGTH if text == "message" else 0,
            language=code,
        )
        describe(made, has_help=not code)
        return made

    def lines(self) -> dict[str, Line]:
        """The inputs by name, those in other languages left out."""
        return {name: self.line(name) for name in self.fields if name not in self.codes}

    def texts(self) -> list[tuple[str, list[Line]]]:
        """Title and message in other languages, with the name of the language."""
        return [
            (language_name(code), [self.line(f"{text}:{code}") for text in TEXTS])
            for code in dict.fromkeys(self.codes.values())
        ]

    def texts_are_needed(self) -> bool:
        """Whether the other languages have something to show."""
        return any(self[name].value() or name in self.errors for name in self.codes)

    def problems(self) -> list[tuple[str, str, str]]:
        """Every error as (id of the input, its label, sentence), for the summary."""
        return list(self._problems())

    def _problems(self) -> Iterator[tuple[str, str, str]]:
        for sentences in (self.errors, self.notes):
            for name, messages in sentences.items():
                label = str(self.fields[name].label) if name in self.fields else ""
                if name in self.codes:
                    label = f"{label} ({language_name(self.codes[name])})"
                place = id_of(name) + ("_0" if name in ("ends", "mode") else "")
                for message in messages:
                    yield place if label else "", label, str(message)


def values_of(window: Window) -> dict[str, str]:
    """What the fields show of *window*, by field name."""
    end = window.ends_at
    values = {
        "mode": window.mode.value,
        "keep_logins": "on" if window.keep_logins else "",
        "starts_at": as_local(window.starts_at.isoformat()),
        "ends": OPENED if end is None else AT,
        "ends_at": as_local(end.isoformat()) if end is not None else "",
        "notice": "",
        "notice_hours": "",
    }
    if window.notice is not None:
        is_offered = window.notice in NOTICES
        values["notice"] = _key(window.notice) if is_offered else OWN
        if not is_offered:
            values["notice_hours"] = f"{window.notice / dt.timedelta(hours=1):g}"
    for code, words in {"": Words(), **window.words}.items():
        for text in TEXTS:
            values[f"{text}:{code}" if code else text] = getattr(words, text)
    return values


def moment(iso: str) -> dt.datetime:
    """A moment as the fields clean it."""
    return dt.datetime.fromisoformat(iso)


def digest(text: str) -> str:
    """A short fingerprint of what a field shows."""
    plain = known.tidy(text)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()[:16]


def _seen(text: str) -> dict[str, str]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _key(span: dt.timedelta) -> str:
    return str(int(span.total_seconds()))


def _notices() -> Iterator[tuple[str, str]]:
    usual = dt.timedelta(seconds=conf.current().notice)
    yield "", _("As in the settings (%(notice)s)") % {"notice": notice_words(usual)}
    for each in NOTICES:
        yield _key(each), notice_words(each)


def notice_words(notice: dt.timedelta) -> str:
    """How early, in words."""
    if not notice:
        return _("not at all")
    hours, rest = divmod(int(notice.total_seconds()), 3600)
    days, odd = divmod(hours, 24)
    if rest or not hours:
        return _("%(span)s before") % {"span": times.length(notice)}
    if odd:
        return ngettext("%(count)d hour before", "%(count)d hours before", hours) % {"count": hours}
    return ngettext("%(count)d day before", "%(count)d days before", days) % {"count": days}


def _codes(window: Window | None, data: Mapping[str, Any]) -> list[str]:
    """Languages with fields of their own: the project's but its first, and whatever is stored."""
    codes = [code for code, _name in known.languages()]
    own = settings.LANGUAGE_CODE.lower()
    main = own if own in codes else own.partition("-")[0]
    others: Iterable[str] = (code for code in codes if code != main)
    stored = [code for code in window.words if code] if window is not None else []
    return list(dict.fromkeys([*others, *stored]))

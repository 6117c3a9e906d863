"""The verbs: every change goes through here, whoever asks for it.

Each validates, writes and records in one transaction, and tells this process and its listeners
after the commit. Nothing here knows a request.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from . import store
from .core.state import resolve_state
from .core.vocabulary import Mode, State, Switch
from .definitions import BY_KEY, DEFINITIONS, Definition, clean, from_row, messages_of, tidy
from .exceptions import ConflictError, InvalidSettingError
from .models import Change, SystemSetting
from .signals import committed, state_changed
from .store import Entry, Mark, Snapshot, utc_now

logger = logging.getLogger("backsoon")

SWITCH_KEY = "maintenance_mode"
END_KEY = "maintenance_ends_at"
MESSAGE_KEY = "maintenance_message"

Values = Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks for a change, and from where."""

    user: Any = None
    """A user of the project, or ``None`` for scripts."""
    name: str = ""
    """Who it is when there is no user: ``deploy@web1``."""
    channel: str = Change.Channel.CODE

    @property
    def user_id(self) -> Any:
        """The primary key of the user, if there is one."""
        return self.user.pk if self.user is not None else None

    @property
    def label(self) -> str:
        """The name that the history keeps."""
        return (self.name or (str(self.user.get_username()) if self.user is not None else ""))[:200]


CODE = Origin()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb did: the state after it, and whether anything had to be written."""

    state: State
    mark: Mark
    changed: bool
    changes: tuple[Change, ...] = ()


@dataclass(slots=True)
class _Plan:
    """A change that is about to be written."""

    entries: dict[str, Entry] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    """Fields of the control row; not empty means that the switch moves."""
    action: str = ""


# -- The verbs ---------------------------------------------------------------------------------


def close_site(
    *,
    origin: Origin = CODE,
    reason: str = "",
    message: str | None = None,
    until: dt.datetime | None = None,
    mode: Mode = Mode.CLOSED,
    keep_logins: bool = False,
    open_at_end: bool = False,
    expected: Mark | None = None,
) -> Outcome:
    """Close the site, or make it read-only, until somebody opens it.

    *message* replaces the stored message in every language; *until* (aware, in the future) is the
    end that visitors are told, and with *open_at_end* also a timer. Ordinary logins end unless
    *keep_logins*. Closing a closed site changes only what is given and is no new closure.

    Raises :class:`InvalidSettingError`, :class:`ConflictError` when *expected* is given and
    somebody else switched since, and :class:`StoreUnavailableError` when nothing was written.
    """
    if mode is Mode.OPEN:
        raise ValueError("use open_site() to open")
    if open_at_end and until is None:
        raise InvalidSettingError({END_KEY: [_("Opening at the end needs an end.")]})
    cleaned = _clean_given(message, until)

    def plan(before: Snapshot, now: dt.datetime) -> _Plan:
        plan = _Plan(entries=_differing(before, cleaned))
        current = resolve_state(before.policy, before.windows, now)
        same = current.mode is mode and before.policy.switch.mode is mode
        if not same or before.changed_outside:
            _plan_closure(plan, before, mode, now, origin, reason, keep_logins, open_at_end)
        else:
            plan.control = _amended(before.policy.switch, until, open_at_end, reason)
            plan.action = Change.Action.SETTINGS
        return plan

    return _switch(plan, origin, reason, expected)


def open_site(*, origin: Origin = CODE, reason: str = "", expected: Mark | None = None) -> Outcome:
    """Open the site. The expected end is forgotten: it belonged to the closure that ends.

    Opening an open site changes nothing. Raises as :func:`close_site`.
    """

    def plan(before: Snapshot, now: dt.datetime) -> _Plan:
        plan = _Plan()
        if before.policy.switch.mode is not Mode.OPEN or before.changed_outside:
            _plan_opening(plan, before, now, origin, reason)
        return plan

    return _switch(plan, origin, reason, expected)


def save_settings(
    entries: Values,
    *,
    origin: Origin = CODE,
    reason: str = "",
    base: Mapping[str, str] | None = None,
) -> Outcome:
    """Store settings by key, the switch among them.

    *base* holds the :meth:`Entry.digest` of what the caller saw. With it, two people who edit at
    once lose nothing: what only one of them changed is merged, and where both changed the same
    setting the second gets a :class:`ConflictError` with the values that are stored now.

    Raises :class:`InvalidSettingError` with sentences by key, and
    :class:`StoreUnavailableError` when nothing was written.
    """
    before = store.load()
    entries = {key: _tidied(key, entry) for key, entry in entries.items()}
    if base is not None:
        entries = _merged(before, entries, base)
    cleaned = _clean_entries(_differing(before, entries))
    now = utc_now()
    plan = _Plan(entries=_differing(before, cleaned))
    wanted = plan.entries.pop(SWITCH_KEY, None)
    if wanted is not None:
        if wanted.value:
            _plan_closure(plan, before, Mode.CLOSED, now, origin, reason)
        else:
            end_is_given = END_KEY in plan.entries
            _plan_opening(plan, before, now, origin, reason)
            if end_is_given and plan.entries[END_KEY].value:
                del plan.entries[END_KEY]
    return _carry_out(plan, before, origin, reason, now, base=base)


def init_defaults(*, origin: Origin = CODE) -> list[str]:
    """Make the rows that are missing, and say which. Never overwrites. Idempotent."""
    before = store.load()
    if not before.missing:
        return []
    now = utc_now()
    with store.translated_errors(), transaction.atomic(using=store.alias()):
        store.bump_revision()
        made = []
        for definition in DEFINITIONS:
            row = store.new_row(definition)
            if definition.key == SWITCH_KEY and before.policy.switch.mode is not Mode.OPEN:
                row.value = "true"  # the row was deleted during a closure: it must not reopen
            _row, created = SystemSetting.objects.using(store.alias()).get_or_create(
                key=row.key,
                defaults={
                    name: getattr(row, name)
                    for name in ("value", "setting_type", "group", "label", "help_text", "order")
                },
            )
            if created:
                made.append(definition.key)
        if made:
            _record(
                Change.Action.INITIALIZED, origin, "", now, before.mark.epoch, {}, {"made": made}
            )
        transaction.on_commit(lambda: committed.send(sender=None), using=store.alias())
    return made


def adopt_outside_change() -> Outcome | None:
    """Make a closure or opening whole that somebody wrote into the table by hand.

    The new number ends the logins as any closure does. ``None`` when there is nothing to adopt,
    also because another process was faster.
    """
    before = store.load()
    if not before.changed_outside:
        return None
    origin = Origin(name="", channel=Change.Channel.DATABASE)
    now = utc_now()
    plan = _Plan()
    if before.policy.switch.mode is Mode.OPEN:
        _plan_opening(plan, before, now, origin, "")
    else:
        _plan_closure(plan, before, before.policy.switch.mode, now, origin, "")
    plan.action = Change.Action.NOTICED
    try:
        return _carry_out(plan, before, origin, "", now)
    except ConflictError:
        return None


def current_state() -> State:
    """What is true now, read from the database (the gate answers requests without reading)."""
    snapshot = store.load()
    return resolve_state(snapshot.policy, snapshot.windows, utc_now())


@contextmanager
def maintenance(
    *,
    message: str | None = None,
    until: dt.datetime | None = None,
    reason: str = "",
    keep_logins: bool = False,
    origin: Origin = CODE,
) -> Iterator[Outcome]:
    """Close the site for the length of a ``with`` block.

    On the way out, also by an exception, it undoes only what it did itself: the site opens if the
    block closed it and nobody switched meanwhile, and a setting goes back if it still has the
    value that the block gave it.
    """
    given = _clean_given(message, until)
    before, outcome = _close_knowingly(
        origin=origin, reason=reason, message=message, until=until, keep_logins=keep_logins
    )
    try:
        yield outcome
    finally:
        _undo_switch(before, outcome, origin, reason)
        _undo_settings(before, given, origin, reason)


# -- Planning ----------------------------------------------------------------------------------


def _switch(
    make_plan: Callable[[Snapshot, dt.datetime], _Plan],
    origin: Origin,
    reason: str,
    expected: Mark | None,
) -> Outcome:
    """Carry out a change of the switch.

    A caller who expects nothing means "whatever it is now": being overtaken is then no conflict
    but a reason to look again, a few times.
    """
    for attempts_left in reversed(range(3)):
        before = store.load()
        if expected is not None and before.mark.epoch != expected.epoch:
            raise _overtaken(before.mark.epoch)
        now = utc_now()
        try:
            return _carry_out(make_plan(before, now), before, origin, reason, now)
        except ConflictError:
            if expected is not None or not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _overtaken(epoch: int | None = None) -> ConflictError:
    return ConflictError(_("Somebody else switched in the meantime."), by=_last_actor(epoch))


def _plan_closure(
    plan: _Plan,
    before: Snapshot,
    mode: Mode,
    now: dt.datetime,
    origin: Origin,
    reason: str,
    keep_logins: bool = False,
    open_at_end: bool = False,
) -> None:
    plan.action = Change.Action.CLOSED
    plan.entries[SWITCH_KEY] = Entry("true")
    ended = before.policy.ends_at is not None and before.policy.ends_at <= now
    if ended and END_KEY not in plan.entries:
        plan.entries[END_KEY] = Entry()  # left over from an earlier closure
    plan.control = {
        "mode": mode.value,
        "since": now,
        "changed_by": origin.label,
        "reason": reason,
        "open_at_end": open_at_end,
    }
    if mode is Mode.CLOSED and not keep_logins:
        plan.control["generation"] = next_generation(before.policy.generation, now)


def _plan_opening(
    plan: _Plan, before: Snapshot, now: dt.datetime, origin: Origin, reason: str
) -> None:
    plan.action = Change.Action.OPENED
    plan.entries[SWITCH_KEY] = Entry()
    if before.entries.get(END_KEY, Entry()).value:
        plan.entries[END_KEY] = Entry()
    plan.control = {
        "mode": Mode.OPEN.value,
        "since": now,
        "changed_by": origin.label,
        "reason": reason,
        "open_at_end": False,
    }


def _amended(
    switch: Switch, until: dt.datetime | None, open_at_end: bool, reason: str
) -> dict[str, Any]:
    """What changes about a closure that has begun already."""
    control: dict[str, Any] = {}
    if until is not None and open_at_end != switch.open_at_end:
        control["open_at_end"] = open_at_end
    if reason and reason != switch.reason:
        control["reason"] = reason
    return control


def next_generation(stored: int, now: dt.datetime) -> int:
    """The number of a closure that ends logins.

    Unix milliseconds at least, so that a number lost with a database never comes back and revives
    old signed cookies; one more than the stored one at least, so that it grows whatever the clock.
    """
    return max(stored + 1, int(now.timestamp() * 1000))


def _clean_entries(entries: Values) -> dict[str, Entry]:
    """Entries as they are to be stored. Raises :class:`InvalidSettingError` naming all errors."""
    now = utc_now()
    errors: dict[str, list[str]] = {}
    cleaned: dict[str, Entry] = {}
    definitions = _definitions(entries)
    for key, entry in entries.items():
        definition = definitions.get(key)
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


def _clean_given(message: str | None, until: dt.datetime | None) -> dict[str, Entry]:
    """What a closure brings along, as it is to be stored. Raises :class:`InvalidSettingError`."""
    given: dict[str, Entry] = {}
    if message is not None:
        given[MESSAGE_KEY] = Entry(message)
    if until is not None:
        given[END_KEY] = Entry(until.isoformat())
    return _clean_entries(given)


def _tidied(key: str, entry: Entry) -> Entry:
    """*entry* such that a text which only went through a form and back is equal to the stored."""
    definition = BY_KEY.get(key)
    value = tidy(entry.value)
    texts = {code: tidy(text) for code, text in entry.translations.items()}
    return Entry(
        definition.canonical(value) if definition else value,
        {code: text for code, text in texts.items() if text},
    )


def _definitions(keys: Values) -> dict[str, Definition]:
    """Definitions by key, ours and those that the project's own rows describe."""
    unknown = [key for key in keys if key not in BY_KEY]
    rows = SystemSetting.objects.using(store.alias()).filter(key__in=unknown) if unknown else ()
    return BY_KEY | {row.key: from_row(row) for row in rows}


def _stored(snapshot: Snapshot, key: str) -> Entry:
    if key == SWITCH_KEY:
        # Its row may be missing or broken; the control row knows better.
        return Entry("" if snapshot.policy.switch.mode is Mode.OPEN else "true")
    return snapshot.entries.get(key, Entry())


def _differing(before: Snapshot, entries: Values) -> dict[str, Entry]:
    """What differs from what is stored; the rest is not judged again (an end may have passed)."""
    # A broken switch is mended by the next switching: taking it for a change would close again.
    broken = {problem.key for problem in before.broken} - {SWITCH_KEY}
    return {
        key: entry
        for key, entry in entries.items()
        if key in broken or entry.digest() != _stored(before, key).digest()
    }


def _merged(before: Snapshot, entries: Values, base: Mapping[str, str]) -> dict[str, Entry]:
    """Leave out what the caller did not touch; refuse what both sides changed."""
    mine: dict[str, Entry] = {}
    theirs: dict[str, str] = {}
    for key, entry in entries.items():
        definition = BY_KEY.get(key)
        seen, stored = base.get(key), _stored(before, key)
        if seen is None or entry.digest() == seen:
            continue
        if stored.digest() not in (seen, entry.digest()):
            theirs[key] = stored.value or (definition.default_text() if definition else "")
        mine[key] = entry
    if theirs:
        raise ConflictError(
            _("Somebody else changed the same settings in the meantime."),
            theirs=theirs,
            by=_last_actor(),
        )
    return mine


def _last_actor(epoch: int | None = None) -> str:
    rows = Change.objects.using(store.alias())
    if epoch is not None:
        rows = rows.filter(epoch=epoch)
    return rows.values_list("actor_name", flat=True).first() or ""


# -- Carrying out ------------------------------------------------------------------------------


def _carry_out(
    plan: _Plan,
    before: Snapshot,
    origin: Origin,
    reason: str,
    now: dt.datetime,
    *,
    base: Mapping[str, str] | None = None,
) -> Outcome:
    state_before = resolve_state(before.policy, before.windows, now)
    if not plan.entries and not plan.control:
        return Outcome(state_before, before.mark, changed=False)
    using = store.alias()
    with store.translated_errors(), transaction.atomic(using=using):
        if plan.control:
            if not store.swap_control(before.mark, **plan.control):
                raise _overtaken()
        else:
            store.bump_revision()
        # The write lock is ours now: what is read from here on stays as it is until the commit.
        _require_settings_unmoved(before, plan, base)
        definitions = _definitions(plan.entries)
        for key, entry in plan.entries.items():
            store.save_entry(definitions[key], entry, origin.user_id)
        after = store.load()
        state = resolve_state(after.policy, after.windows, now)
        change = _record(
            plan.action or Change.Action.SETTINGS,
            origin,
            reason,
            now,
            after.mark.epoch,
            *_difference(before, after, plan, state_before, state),
        )
        transaction.on_commit(lambda: _announce(change, state_before, state), using=using)
    return Outcome(state, after.mark, changed=True, changes=(change,))


def _require_settings_unmoved(
    before: Snapshot, plan: _Plan, base: Mapping[str, str] | None
) -> None:
    fresh = store.load()
    theirs = {
        key: _stored(fresh, key).value
        for key in plan.entries
        if key != SWITCH_KEY and _stored(fresh, key).digest() != _stored(before, key).digest()
    }
    if theirs and base is not None:
        raise ConflictError(
            _("Somebody else changed the same settings in the meantime."), theirs=theirs
        )


def _difference(
    before: Snapshot, after: Snapshot, plan: _Plan, state_before: State, state: State
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Old and new values of what changed, for the history."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for key in plan.entries:
        if key == SWITCH_KEY:
            continue
        definition = BY_KEY.get(key)
        for record, snapshot in ((old, before), (new, after)):
            entry = _stored(snapshot, key)
            record[key] = entry.value or (definition.default_text() if definition else "")
            for code, text in entry.translations.items():
                record[f"{key}:{code}"] = text
    if plan.control:
        old["mode"], new["mode"] = state_before.mode.value, state.mode.value
        if "generation" in plan.control:
            new["logins"] = "ended"
    return old, new


def _record(
    action: str,
    origin: Origin,
    reason: str,
    now: dt.datetime,
    epoch: int,
    old: dict[str, Any],
    new: dict[str, Any],
) -> Change:
    change = Change(
        at=now,
        actor_id=origin.user_id,
        actor_name=origin.label,
        channel=origin.channel,
        action=action,
        reason=reason,
        epoch=epoch,
        before=old,
        after=new,
    )
    change.save(using=store.alias())
    return change


def _announce(change: Change, before: State, after: State) -> None:
    committed.send(sender=None)
    for receiver, result in state_changed.send_robust(
        sender=Change, change=change, before=before, after=after
    ):
        if isinstance(result, Exception):
            logger.error(
                "Backsoon: the receiver %r of state_changed failed.", receiver, exc_info=result
            )


def _close_knowingly(**arguments: Any) -> tuple[Snapshot, Outcome]:
    """Close as :func:`close_site` does; also what was true when this very change was made."""
    for attempts_left in reversed(range(3)):
        before = store.load()
        try:
            return before, close_site(**arguments, expected=before.mark)
        except ConflictError:
            if not attempts_left:
                raise
    raise AssertionError("the last attempt returns or raises")


def _undo_switch(before: Snapshot, outcome: Outcome, origin: Origin, reason: str) -> None:
    """Bring the switch back to where *before* saw it, unless somebody else moved it since."""
    if outcome.mark.epoch == before.mark.epoch:
        return
    switch, end = before.policy.switch, before.policy.ends_at
    end_lies_ahead = end is not None and end > utc_now()
    try:
        if switch.mode is Mode.OPEN or (switch.open_at_end and not end_lies_ahead):
            open_site(origin=origin, reason=reason, expected=outcome.mark)
        else:
            close_site(
                origin=origin,
                reason=switch.reason,
                until=end if end_lies_ahead else None,
                mode=switch.mode,
                open_at_end=switch.open_at_end and end_lies_ahead,
                expected=outcome.mark,
            )
    except ConflictError:
        return


def _undo_settings(before: Snapshot, given: Values, origin: Origin, reason: str) -> None:
    """Bring back the settings that still have the value that the block gave them."""
    now = store.load()
    restored = {
        key: _stored(before, key)
        for key, entry in given.items()
        if _stored(now, key).digest() == entry.digest() != _stored(before, key).digest()
    }
    old_end = before.policy.ends_at
    if old_end is not None and old_end <= utc_now():
        restored.pop(END_KEY, None)  # an end that has passed meanwhile is no promise to restore
    if restored:
        save_settings(restored, origin=origin, reason=reason)

"""How a change is written: one transaction, one row of history, then the news.

A verb makes a :class:`Plan`; here it is carried out. The compare-and-swap on the control row comes
first and takes the write lock, so what is read after it stays true until the commit.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from . import outbox, store
from .core.state import resolve_state
from .core.vocabulary import State, Window
from .editing import SWITCH_KEY, definitions, shown, storable, stored
from .exceptions import ConflictError
from .models import Change
from .signals import committed, state_changed
from .snapshots import Entry, Mark, Snapshot

logger = logging.getLogger("backsoon")


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
        name = self.name or (str(self.user.get_username()) if self.user is not None else "")
        return storable(name)[:200]


CODE = Origin()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb did: the state after it, and whether anything had to be written."""

    state: State
    mark: Mark
    changed: bool
    changes: tuple[Change, ...] = ()
    windows: tuple[Window, ...] = ()
    """The planned closures that were changed and can still matter."""


@dataclass(slots=True)
class Plan:
    """A change that is about to be written."""

    entries: dict[str, Entry] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    """Fields of the control row; not empty means that the switch moves."""
    windows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of the rows of windows, by their ``uid``; a change of theirs counts as one of the
    switch."""
    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of the rows of series, by their ``uid``."""
    action: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    """What the history shall say of the command that the site is closed for."""
    remarks: dict[str, Any] = field(default_factory=dict)
    """What the history shall say besides the new values."""

    @property
    def moves(self) -> bool:
        """Whether it gives the switch, or the windows, a new number."""
        return bool(self.control or self.windows or self.series)


def carry_out(
    plan: Plan,
    before: Snapshot,
    origin: Origin,
    reason: str,
    now: dt.datetime,
    *,
    exclusive: bool = False,
) -> Outcome:
    """Write *plan*, which was made of what *before* says, and record it.

    Raises :class:`ConflictError` when the switch moved since *before*, or with *exclusive* a
    setting of the plan; :class:`StoreUnavailableError` when the database would not.
    """
    state_before = resolve_state(before.policy, before.windows, now)
    if not plan.entries and not plan.moves:
        return Outcome(state_before, before.mark, changed=False)
    using = store.alias()
    # Bounded for a watcher, which has a lease to keep, and must not wait for whoever has the lock.
    bounded = store.bounded(store.HUNG_WRITING_SECONDS)
    with store.translated_errors(), bounded, transaction.atomic(using=using):
        if plan.moves:
            if not store.swap_control(before.mark, **plan.control):
                raise overtaken()
        else:
            store.bump_revision()
        # The write lock is ours now: what is read from here on stays as it is until the commit.
        if exclusive:
            _require_settings_unmoved(before, plan)
        known = definitions(plan.entries)
        for key, entry in plan.entries.items():
            store.save_entry(known[key], entry, origin.user_id)
        for uid, values in plan.series.items():
            store.save_series(uid, **values)
        for uid, values in plan.windows.items():
            store.save_window(uid, **values)
        after = store.load()
        state = resolve_state(after.policy, after.windows, now)
        change = record(
            plan.action or Change.Action.SETTINGS,
            origin,
            reason,
            now,
            after.mark.epoch,
            *_difference(before, after, plan, state_before, state),
        )
        told = outbox.note(before, after, now, noticed=plan.action == Change.Action.NOTICED)
    # Not in there: receivers take their time, which must not count as that of the database. First
    # the news, then those who deliver: their broker may take its time as well.
    transaction.on_commit(lambda: _announce(change, state_before, state), using=using)
    if told:
        outbox.call_for_delivery()
    windows = tuple(window for window in after.windows if window.uid in plan.windows)
    return Outcome(state, after.mark, changed=True, changes=(change,), windows=windows)


def _require_settings_unmoved(before: Snapshot, plan: Plan) -> None:
    fresh = store.load()
    theirs = {
        key: shown(fresh, key)
        for key in plan.entries
        if key != SWITCH_KEY and stored(fresh, key).digest() != stored(before, key).digest()
    }
    if theirs:
        raise settings_overtaken(theirs)


_Values = dict[str, Any]


def _difference(
    before: Snapshot, after: Snapshot, plan: Plan, state_before: State, state: State
) -> tuple[_Values, _Values]:
    """Old and new values of what changed, for the history."""
    old, new = _settings(before, plan), _settings(after, plan)
    if plan.control:
        was, becomes = _switch(before, after, plan, state_before, state)
        old, new = old | was, new | becomes
    if plan.series:
        return old, new | _series(plan, after) | plan.remarks
    for uid in plan.windows:
        was, becomes = _window(before, uid), _window(after, uid)
        new["window"] = becomes.pop("window", "") or was.get("window", "")
        moved = [name for name in {**was, **becomes} if was.get(name, "") != becomes.get(name, "")]
        old |= {name: was[name] for name in moved if name in was and name != "window"}
        new |= {name: becomes[name] for name in moved if name in becomes}
    return old, new | plan.remarks


def _settings(snapshot: Snapshot, plan: Plan) -> _Values:
    values = {}
    for key in plan.entries:
        if key == SWITCH_KEY:
            continue
        values[key] = shown(snapshot, key)
        for code, text in stored(snapshot, key).translations.items():
            values[f"{key}:{code}"] = text
    return values


def _switch(
    before: Snapshot, after: Snapshot, plan: Plan, state_before: State, state: State
) -> tuple[_Values, _Values]:
    old: _Values = {}
    new: _Values = {}
    if state_before.mode is not state.mode or plan.action != Change.Action.SETTINGS:
        old["mode"], new["mode"] = state_before.mode.value, state.mode.value
    timer = before.policy.switch.open_at_end
    if timer != plan.control.get("open_at_end", timer):
        old["open_at_end"], new["open_at_end"] = timer, not timer
    if "overdue_at" in plan.control and plan.action == Change.Action.SETTINGS:
        old["overdue_at"], new["overdue_at"] = _limit(before), _limit(after)
    if "generation" in plan.control:
        new["logins"] = "ended"
    if plan.run:
        old["command"], new["command"] = _command(plan.run)
    return old, new


def _command(run: Mapping[str, Any]) -> tuple[str, str]:
    """A command before and after: it begins, or has ended."""
    line = storable(str(run.get("command") or ""))
    if not run.get("ended"):
        return "", line
    code = run.get("exit_code")
    # This first: whoever shows it may cut it short.
    how = "was given up" if code is None else f"ended with exit code {code}"
    return line, f"{how}: {line}"


def _window(snapshot: Snapshot, uid: str) -> _Values:
    """A planned closure as the history tells of it; empty where it is not, or no more."""
    window = snapshot.window(uid)
    if window is None:
        return {}
    words = window.told("")
    return {
        "window": f"#{window.number}",
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat() if window.ends_at else "",
        "planned_mode": window.mode.value,
        "title": words.title,
        "message": words.message,
    }


def _series(plan: Plan, after: Snapshot) -> _Values:
    """What the history tells of series: the rule where one begins, the first closure, how many."""
    rules = [values["rule"] for values in plan.series.values() if "rule" in values]
    told: _Values = {"repeats": "; ".join(rules)} if rules else {}
    planned = [_window(after, uid) for uid in plan.windows if after.window(uid) is not None]
    return (planned[0] if planned else {}) | told | {"windows": str(len(plan.windows))}


def _limit(snapshot: Snapshot) -> str:
    moment = snapshot.policy.switch.overdue_at
    return moment.isoformat() if moment is not None else ""


def record(
    action: str,
    origin: Origin,
    reason: str,
    now: dt.datetime,
    epoch: int,
    old: dict[str, Any],
    new: dict[str, Any],
) -> Change:
    """Add a row to the history; call it in the transaction of what it tells."""
    change = Change(
        at=now,
        actor_id=origin.user_id,
        actor_name=origin.label,
        channel=origin.channel,
        action=action,
        reason=storable(reason),
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


def overtaken(epoch: int | None = None) -> ConflictError:
    """The conflict about the switch, naming who moved it."""
    return ConflictError(_("Somebody else switched in the meantime."), by=_last_actor(epoch))


def settings_overtaken(theirs: Mapping[str, str]) -> ConflictError:
    """The conflict about settings, with what they are *theirs* now."""
    return ConflictError(
        _("Somebody else changed the same settings in the meantime."),
        theirs=theirs,
        by=_last_actor(),
    )


def _last_actor(epoch: int | None = None) -> str:
    rows = Change.objects.using(store.alias())
    if epoch is not None:
        rows = rows.filter(epoch=epoch)
    return rows.values_list("actor_name", flat=True).first() or ""

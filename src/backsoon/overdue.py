"""The dead-man time: a closure by hand that everybody has forgotten does not go unnoticed.

How long it may last is stored with the closure, so that all processes agree. The first watcher that
finds the time over raises the alarm; a compare-and-swap sees to it that no other does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging

from django.db import transaction
from django.utils.translation import gettext as _

from . import conf, store
from .changes import Origin, Plan, carry_out, record
from .core.state import overdue_from, resolve_state, switch_mode
from .core.vocabulary import Mode, State
from .editing import SWITCH_KEY
from .exceptions import InvalidSettingError
from .models import Change
from .plans import plan_opening
from .signals import closure_overdue, committed
from .snapshots import Snapshot

logger = logging.getLogger("backsoon")


def extended(before: Snapshot, now: dt.datetime, length: dt.timedelta) -> Plan:
    """What lets the closure last *length* longer. Raises :class:`InvalidSettingError`."""
    if switch_mode(before.policy, now) is Mode.OPEN:
        sentence = _("The site is not closed by hand, so there is nothing to extend.")
        raise InvalidSettingError({SWITCH_KEY: [sentence]})
    known = overdue_from(before.policy)
    start = now if known is None or known < now else known
    if not dt.timedelta(0) < length <= conf.LONGEST_CLOSURE - (start - now):
        raise InvalidSettingError({SWITCH_KEY: [too_long()]})
    return Plan(
        action=Change.Action.SETTINGS,
        control={"overdue_at": start + length, "alarmed": False},
    )


def too_long() -> str:
    """The sentence about a length that cannot be taken."""
    days = {"days": conf.LONGEST_CLOSURE.days}
    return _("A closure can be meant to last %(days)d days from now at most.") % days


def raise_alarm(known: Snapshot) -> bool:
    """Record that the closure which *known* tells of has lasted too long, and say so once.

    If the closure was to open then, the opening is written down as well. False when somebody was
    faster, or has switched or moved the time since. Whoever asks has looked at the clock.

    Raises :class:`backsoon.exceptions.StoreUnavailableError`.
    """
    before = store.load()
    overdue_at = overdue_from(before.policy)
    if (
        overdue_at is None
        or before.mark.epoch != known.mark.epoch
        or overdue_at != overdue_from(known.policy)
    ):
        return False
    return _recorded(_as_before(before), overdue_at)


def _as_before(snapshot: Snapshot) -> Snapshot:
    """*snapshot* with a switch that stays, so that the state is the one that ends at the moment."""
    switch = dataclasses.replace(snapshot.policy.switch, opens_when_overdue=False)
    policy = dataclasses.replace(snapshot.policy, switch=switch)
    return dataclasses.replace(snapshot, policy=policy)


def _recorded(before: Snapshot, overdue_at: dt.datetime) -> bool:
    origin = Origin(channel=Change.Channel.SCHEDULE)
    now = max(store.utc_now(), overdue_at)  # another clock than this machine's may be ahead
    state = resolve_state(before.policy, before.windows, now)
    using = store.alias()
    # Bounded: it is a watcher that asks, and has more to do than to wait for a lock.
    with store.translated_errors(), store.bounded(), transaction.atomic(using=using):
        if not store.claim_alarm(before.mark):
            return False
        opens = store.load().policy.switch.opens_when_overdue
        change = record(
            Change.Action.OVERDUE,
            origin,
            "",
            now,
            before.mark.epoch,
            {},
            {"overdue_at": overdue_at.isoformat(), "opens_when_overdue": opens},
        )
        if opens:
            plan = Plan()
            plan_opening(plan, before, overdue_at, origin, "")
            carry_out(plan, before, origin, "", now)
        else:
            transaction.on_commit(lambda: committed.send(sender=None), using=using)
    # Not in there: a receiver takes its time, which must not count as that of the database.
    transaction.on_commit(lambda: _announce(change, state, opens=opens), using=using)
    return True


def _announce(change: Change, state: State, *, opens: bool) -> None:
    logger.error(
        "Backsoon: the site has not been open since %s, longer than it was meant to be closed. %s",
        _words(state.since),
        "It has opened now, as OPEN_WHEN_OVERDUE says."
        if opens
        else "Open it (manage.py maintenance off), or give it more time.",
    )
    for receiver, result in closure_overdue.send_robust(
        sender=Change, change=change, state=state, opens=opens
    ):
        if isinstance(result, Exception):
            logger.error(
                "Backsoon: the receiver %r of closure_overdue failed.", receiver, exc_info=result
            )


def _words(moment: dt.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment is not None else "an unknown time"

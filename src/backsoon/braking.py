"""The emergency brake: pulled on one host without the database, and merged into it later.

The file on the host is an order. When the database can be written again, the order becomes an
ordinary change, made by whom and when it was given, and holds for the whole fleet; unless somebody
decided otherwise meanwhile, elsewhere and later, of which the host could not know.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from django.db import transaction
from django.utils.translation import gettext as _

from . import brakes, lastknown, store
from .changes import Origin, Plan, carry_out, record
from .core.vocabulary import Brake, Mode
from .editing import storable
from .exceptions import ConflictError
from .hostfiles import UnusableError
from .models import Change
from .plans import next_generation, plan_closure, plan_opening
from .scheduling import end_all
from .signals import committed
from .snapshots import Snapshot

logger = logging.getLogger("backsoon")


class Fate(StrEnum):
    """What became of a brake."""

    APPLIED = "applied"
    OVERRULED = "overruled"
    """A later decision holds; the history says that the order was given."""
    SETTLED = "settled"
    """Another process has seen to it."""


def pull_brake(mode: Mode, *, origin: Origin, host: str, reason: str = "") -> Brake:
    """Close or open on this host alone, at once and without the database.

    Closing ends ordinary logins on this host. Raises :class:`backsoon.hostfiles.UnusableError`
    when the order could not be written down; then nothing has changed.
    """
    now = store.utc_now()
    known, earlier = lastknown.load(), brakes.read()
    generation = earlier.generation if earlier is not None else 0  # ended logins stay ended
    if mode is Mode.CLOSED:
        stored = known.policy.generation if known is not None else 0
        generation = next_generation(max(stored, generation), now)
    if known is not None:
        epoch: int | None = known.mark.epoch
    else:
        epoch = earlier.epoch if earlier is not None else None
    brake = Brake(
        mode=mode,
        at=now,
        by=origin.label,
        reason=storable(reason),
        host=host,
        generation=generation,
        epoch=epoch,
    )
    brakes.put(brake)
    return brake


def merge_brake(brake: Brake, *, applies: bool | None = None) -> Fate:
    """Make *brake* part of the stored truth and of the history, and take it out of force.

    Whether it still *applies* is told by the epochs unless the caller knows: a higher one in the
    database than the host knew of is somebody's later decision. However many processes do this at
    once, the history gets one row.

    Raises :class:`backsoon.exceptions.StoreUnavailableError` and
    :class:`backsoon.exceptions.ConflictError`; then the brake stays in force.
    """
    fate = _merged(brake, applies)
    try:
        brakes.release(brake)
    except UnusableError as error:
        logger.warning(
            "Backsoon: the order of %s is recorded, but its file cannot be removed (%s). Remove "
            "it, else a process that starts while the database is away will obey it again.",
            brake.by, error,
        )  # fmt: skip
    return fate


def _merged(brake: Brake, applies: bool | None) -> Fate:
    origin = Origin(name=brake.by, channel=Change.Channel.COMMAND)
    for attempts_left in reversed(range(3)):
        before = store.load()
        with store.translated_errors(), store.bounded():
            if _is_recorded(brake, origin):
                return Fate.SETTLED
        holds = _holds(brake, before) if applies is None else applies
        if not holds:
            return _record_overruled(brake, origin, before)
        try:
            with store.translated_errors(), store.bounded():
                carry_out(
                    _plan(brake, before, origin, at_once=applies is True),
                    before,
                    origin,
                    brake.reason,
                    brake.at,
                )
        except ConflictError:
            if not attempts_left:
                raise
        else:
            return Fate.APPLIED
    raise AssertionError("the last attempt returns or raises")


def _holds(brake: Brake, before: Snapshot) -> bool:
    """Whether nobody decided anything after *brake* of which its host did not know."""
    if brake.epoch is not None:
        return before.mark.epoch <= brake.epoch
    since = before.policy.switch.since  # the host knew of nothing: only the clocks are left
    return since is None or since <= brake.at


def _plan(brake: Brake, before: Snapshot, origin: Origin, *, at_once: bool) -> Plan:
    plan = Plan()
    if brake.mode is Mode.OPEN:
        plan_opening(plan, before, brake.at, origin, brake.reason)
        end_all(plan, before, brake.at)
        if brake.generation > before.policy.generation:
            plan.control["generation"] = brake.generation
    else:
        plan_closure(plan, before, Mode.CLOSED, brake.at, origin, brake.reason)
        plan.control["generation"] = max(before.policy.generation + 1, brake.generation)
    if brake.epoch is not None and brake.epoch > before.mark.epoch:
        # The database went back behind what the host knew; it must not look older still.
        plan.control["epoch"] = brake.epoch + 1
        plan.control["revision"] = max(before.mark.revision, brake.epoch) + 1
    place = {"host": brake.host}
    plan.remarks["local"] = (
        _("set locally on %(host)s") % place
        if at_once
        else _("set locally on %(host)s while the database was away") % place
    )
    return plan


def _record_overruled(brake: Brake, origin: Origin, before: Snapshot) -> Fate:
    words = (
        _("closed locally on %(host)s while the database was away; not applied")
        if brake.mode is Mode.CLOSED
        else _("opened locally on %(host)s while the database was away; not applied")
    )
    using = store.alias()
    with store.translated_errors(), store.bounded(), transaction.atomic(using=using):
        store.bump_revision()  # takes the write lock, so that two cannot both find nothing
        if _is_recorded(brake, origin):
            transaction.set_rollback(True, using=using)
            return Fate.SETTLED
        record(
            Change.Action.NOTICED,
            origin,
            brake.reason,
            brake.at,
            before.mark.epoch,
            {},
            {"local": words % {"host": brake.host}},
        )
        transaction.on_commit(lambda: committed.send(sender=None), using=using)
    return Fate.OVERRULED


def _is_recorded(brake: Brake, origin: Origin) -> bool:
    """Whether the history has a row of this order. Nobody gives two in one microsecond."""
    rows = Change.objects.using(store.alias()).filter(at=brake.at, channel=origin.channel)
    return rows.filter(actor_name=origin.label).exists()

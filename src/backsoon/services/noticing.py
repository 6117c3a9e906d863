"""What was changed by other hands than ours, or forgotten by the database, made whole again."""

from __future__ import annotations

from django.utils.translation import gettext as _

from backsoon import store
from backsoon.changes import (
    Origin,
    Outcome,
    Plan,
    carry_out,
)
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import ConflictError
from backsoon.models import Change
from backsoon.plans import (
    plan_again,
    plan_closure,
    plan_opening,
)
from backsoon.snapshots import Snapshot


def adopt_outside_change() -> Outcome | None:
    """Make a closure or opening whole that somebody wrote into the table by hand.

    The new number ends the logins as any closure does. ``None`` when there is nothing to adopt,
    also because another process was faster.
    """
    before = store.load()
    if not before.changed_outside:
        return None
    origin = Origin(name="", channel=Change.Channel.DATABASE)
    now = store.utc_now()
    plan = Plan()
    if before.policy.switch.mode is Mode.OPEN:
        plan_opening(plan, before, now, origin, "")
    else:
        plan_closure(plan, before, before.policy.switch.mode, now, origin, "")
    plan.action = Change.Action.NOTICED
    try:
        return carry_out(plan, before, origin, "", now)
    except ConflictError:
        return None


def reassert(known: Snapshot) -> Outcome | None:
    """Write the switch as *known* again, where the database has gone back behind it.

    After a backup was restored or rows were deleted the database says what was true once. The
    higher epoch is the later decision; what it decided is stored again, under an epoch above both.
    ``None`` when there is nothing to do, also because another process was faster.
    """
    before = store.load()
    there, here = before.mark, known.mark
    if (there.epoch, there.revision) >= (here.epoch, here.revision) and not is_later(known, before):
        return None
    origin = Origin(name="", channel=Change.Channel.DATABASE)
    reason = _("The database had forgotten this: it was restored, or rows were deleted.")
    try:
        return carry_out(plan_again(known, before), before, origin, reason, store.utc_now())
    except ConflictError:
        return None


def is_later(known: Snapshot, read: Snapshot) -> bool:
    """Whether two switches bear the same number though they differ, and *known* is the later one.

    Numbers collide where a database was set back, and a process that had missed the last change
    wrote again what it knew.
    """
    ours, theirs = known.policy.switch, read.policy.switch
    outside = known.changed_outside or read.changed_outside
    if known.mark.epoch != read.mark.epoch or ours == theirs or outside:
        return False
    if ours.since is None or theirs.since is None or ours.since == theirs.since:
        return ours.mode.severity > theirs.mode.severity
    return ours.since > theirs.since

"""What the card and the bar say: one reading, and what its reader may see and do.

The card reads the database, so that it is right at once in every process after a change; the bar,
which stands on every page, asks the gate and costs nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections, transaction
from django.utils.connection import ConnectionDoesNotExist
from django.utils.translation import gettext as _

from backsoon import conf, store
from backsoon.aftermath import trouble
from backsoon.core.schedule import upcoming
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.gate import gate
from backsoon.http.routes import reversed_or_empty
from backsoon.http.users import is_administrator, may_change

if TYPE_CHECKING:
    from backsoon.aftermath import Trouble
    from backsoon.core.vocabulary import State, Window
    from backsoon.snapshots import Snapshot

VIEW_HISTORY = "backsoon.view_change"

EXTENSIONS = (15, 30, 60)
"""Minutes by which a planned closure that goes on can be made longer with one press."""

AHEAD = dt.timedelta(days=7)
"""How long before it begins a planned closure is spoken of."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, when it was not the gate's last knowledge, and what went wrong if it was."""

    snapshot: Snapshot
    state: State
    trouble: str = ""
    """A sentence for the operator when the database could not be read; else empty."""


def read() -> Reading:
    """What is true according to the database; the last known state when it cannot be read."""
    try:
        with savepoint():
            snapshot = store.load()
    except NotMigratedError:
        return _last_known(_("The tables of Backsoon do not exist yet. Run: manage.py migrate"))
    except StoreUnavailableError:
        return _last_known(
            _("The database cannot be read now. What you see is what was last known.")
        )
    return Reading(snapshot, resolve_state(snapshot.policy, snapshot.windows, store.utc_now()))


def last_known() -> Reading:
    """What this process knows without asking anybody."""
    return _last_known("")


def _last_known(trouble: str) -> Reading:
    view = gate.view()
    return Reading(view.snapshot, view.state, trouble)


def savepoint() -> contextlib.AbstractContextManager[Any]:
    """Inside a transaction of the project, a failed query must not spoil the rest of the page."""
    try:
        inside = connections[store.alias()].in_atomic_block
    except ConnectionDoesNotExist:  # the reading itself will say so
        inside = False
    return transaction.atomic(using=store.alias()) if inside else contextlib.nullcontext()


def may_see_history(user: Any) -> bool:
    """Whether the user may read who changed what."""
    return may_change(user) or bool(user.is_active and user.has_perm(VIEW_HISTORY))


def links() -> dict[str, str]:
    """The addresses of our pages; empty where the project has not included them."""
    return {
        "confirm_url": reversed_or_empty("backsoon_admin:confirm"),
        "toggle_url": reversed_or_empty("backsoon_admin:toggle"),
        "settings_url": reversed_or_empty("backsoon_admin:settings"),
        "preview_url": reversed_or_empty("backsoon_admin:preview"),
        "history_url": reversed_or_empty("admin:backsoon_change_changelist"),
        "progress_url": reversed_or_empty("backsoon_admin:progress"),
        "extend_url": reversed_or_empty("backsoon_admin:extend"),
        "report_url": reversed_or_empty("backsoon_admin:report"),
        "calendar_url": reversed_or_empty("backsoon_admin:calendar"),
        "plan_url": reversed_or_empty("backsoon_admin:plan"),
    }


def context(reading: Reading, user: Any) -> dict[str, Any]:
    """What the templates of card, bar and dialog get."""
    state, switch = reading.state, reading.snapshot.policy.switch
    allowed = may_change(user)
    administrator = is_administrator(user)
    # Why, and by whom, is for those who run the site; the state itself for all who work on it.
    insider = allowed or administrator
    addresses = links()
    if not may_see_history(user):
        addresses["history_url"] = addresses["report_url"] = ""
    if not allowed:
        addresses["settings_url"] = addresses["calendar_url"] = addresses["plan_url"] = ""
    if not insider:
        addresses["preview_url"] = addresses["progress_url"] = ""
    if not allowed:
        addresses["extend_url"] = ""
    is_open = state.is_open
    return {
        **addresses,
        "mode": state.mode.value,
        "is_open": is_open,
        "since": switch.since if is_open and switch.mode is Mode.OPEN else state.since,
        "by": (switch.by if is_open else state.by) if insider else "",
        "reason": state.reason if insider and not is_open else "",
        "run": switch.run if insider and not is_open else "",
        "ends_at": state.until,
        "late": state.late,
        "overdue_at": state.overdue_at if insider else None,
        "overdue": state.overdue,
        "opens_when_overdue": switch.opens_when_overdue,
        "planned": _next_planned(reading.snapshot),
        "fails": _trouble(reading) if insider else None,
        # Only what its reader can change has an address, and with it buttons.
        "running": state.window if addresses["calendar_url"] else None,
        "by_plan": state.window is not None and not reading.trouble,
        "extensions": EXTENSIONS,
        "epoch": reading.snapshot.mark.epoch,
        "open_at_end": switch.open_at_end and not is_open,
        "trouble": reading.trouble,
        "broken": [problem.key for problem in reading.snapshot.broken] if allowed else [],
        "may_change": allowed,
        "can_switch": bool(allowed and addresses["confirm_url"] and addresses["toggle_url"]),
        "locks_out": allowed and not administrator,
        "csrf_header": settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-"),
    }


def _trouble(reading: Reading) -> Trouble | None:
    """What the watch after the last opening has found, if it is bad."""
    if reading.trouble or not conf.current().watch_minutes:
        return None
    try:
        with savepoint():
            return trouble(reading.snapshot, store.utc_now())
    except StoreUnavailableError:
        return None


def _next_planned(snapshot: Snapshot) -> Window | None:
    now = store.utc_now()
    coming = upcoming(snapshot.windows, now)
    return coming[0] if coming and coming[0].starts_at - now <= AHEAD else None

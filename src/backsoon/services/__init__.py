"""The verbs: every change goes through here, whoever asks for it.

Each validates, writes and records in one transaction, and tells this process and its listeners
after the commit. Nothing here knows a request.
"""

from backsoon.braking import Fate, merge_brake, pull_brake
from backsoon.changes import CODE, Origin, Outcome
from backsoon.editing import END_KEY, MESSAGE_KEY, SWITCH_KEY
from backsoon.openings import check_reopening
from backsoon.overdue import raise_alarm
from backsoon.plans import next_generation
from backsoon.snapshots import Entry, Mark
from backsoon.waiting import assume_dead, fence

from .attempts import current_state
from .blocks import maintenance
from .noticing import adopt_outside_change, is_later, reassert
from .planning import cancel, continue_series, end_series, reschedule, schedule
from .saving import init_defaults, save_settings
from .switching import close_site, extend_closure, open_site, record_run

__all__ = [
    "CODE",
    "END_KEY",
    "MESSAGE_KEY",
    "SWITCH_KEY",
    "Entry",
    "Fate",
    "Mark",
    "Origin",
    "Outcome",
    "adopt_outside_change",
    "assume_dead",
    "cancel",
    "check_reopening",
    "close_site",
    "continue_series",
    "current_state",
    "end_series",
    "extend_closure",
    "fence",
    "init_defaults",
    "is_later",
    "maintenance",
    "merge_brake",
    "next_generation",
    "open_site",
    "pull_brake",
    "raise_alarm",
    "reassert",
    "record_run",
    "reschedule",
    "save_settings",
    "schedule",
]

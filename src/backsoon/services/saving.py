"""The verbs of the settings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.db import transaction

from backsoon import store
from backsoon.changes import (
    CODE,
    Origin,
    Outcome,
    Plan,
    carry_out,
    record,
    settings_overtaken,
)
from backsoon.core.vocabulary import Mode
from backsoon.definitions import DEFINITIONS
from backsoon.editing import (
    SWITCH_KEY,
    Values,
    clean_entries,
    differing,
    merged,
    tidied,
)
from backsoon.models import Change, SystemSetting
from backsoon.openings import cleared
from backsoon.plans import (
    plan_switching,
)
from backsoon.signals import committed


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

    Raises :class:`InvalidSettingError` with sentences by key,
    :class:`ChecksFailedError` where that would open the site and its checks speak against it, and
    :class:`StoreUnavailableError` when nothing was written.
    """
    before = store.load()
    entries = {key: tidied(key, entry) for key, entry in entries.items()}
    if base is not None:
        entries, theirs = merged(before, entries, base)
        if theirs:
            raise settings_overtaken(theirs)
    cleaned = clean_entries(differing(before, entries))

    def make_plan(now: dt.datetime) -> Plan:
        plan = Plan(entries=differing(before, cleaned))
        plan_switching(plan, before, now, origin, reason)
        return plan

    plan, now = cleared(make_plan, before, force=False)
    return carry_out(plan, before, origin, reason, now, exclusive=base is not None)


def init_defaults(*, origin: Origin = CODE) -> list[str]:
    """Make the rows that are missing, and say which. Never overwrites. Idempotent."""
    before = store.load()
    if not before.missing:
        return []
    now = store.utc_now()
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
            record(
                Change.Action.INITIALIZED, origin, "", now, before.mark.epoch, {}, {"made": made}
            )
        transaction.on_commit(lambda: committed.send(sender=None), using=store.alias())
    return made

"""The group whose members run the site while it is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import router, transaction

from . import store

if TYPE_CHECKING:
    from django.contrib.auth.models import Group, Permission

ADMINISTRATORS = "Administrators"
CODENAMES = ("bypass_maintenance", "change_maintenance")


@dataclass(frozen=True, slots=True)
class GroupReport:
    """How the group is found, or was made."""

    made: bool
    lacking: tuple[str, ...] = ()
    """Permissions, as ``app.codename``, that a group of this name does not have."""


def make_administrators() -> GroupReport:
    """Make the group "Administrators" with both permissions, in the database of the users.

    Idempotent. A group of this name that exists already is left as it is, whoever made it: its
    members may be other people than those who shall get past a closed door, and somebody may have
    taken a permission away on purpose. The report says what it lacks.

    Raises :class:`backsoon.exceptions.StoreUnavailableError` when nothing was made.
    """
    from django.contrib.auth.models import Group

    using = router.db_for_write(Group)
    with store.translated_errors(), transaction.atomic(using=using):
        group, made = Group.objects.using(using).get_or_create(name=ADMINISTRATORS)
        if made:
            group.permissions.set(_permissions(using))
        return GroupReport(made, _lacking(group, using))


def look_at_administrators() -> GroupReport | None:
    """How the group is found; ``None`` when there is none.

    Raises as :func:`make_administrators`.
    """
    from django.contrib.auth.models import Group

    using = router.db_for_read(Group)
    with store.translated_errors():
        group = Group.objects.using(using).filter(name=ADMINISTRATORS).first()
        return GroupReport(made=False, lacking=_lacking(group, using)) if group else None


def _permissions(using: str) -> list[Permission]:
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Permission

    # Django makes permissions after migrating; where that signal was kept quiet, this does it.
    create_permissions(apps.get_app_config("backsoon"), verbosity=0, using=using)
    wanted = Permission.objects.using(using).filter(
        content_type__app_label="backsoon", codename__in=CODENAMES
    )
    return list(wanted)


def _lacking(group: Group, using: str) -> tuple[str, ...]:
    present = set(
        group.permissions.using(using)
        .filter(content_type__app_label="backsoon")
        .values_list("codename", flat=True)
    )
    return tuple(f"backsoon.{name}" for name in CODENAMES if name not in present)

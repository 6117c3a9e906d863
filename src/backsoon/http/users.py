"""Who counts as an administrator."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from backsoon.core.vocabulary import UserKind

BYPASS = "backsoon.bypass_maintenance"
CHANGE = "backsoon.change_maintenance"


def is_administrator(user: Any) -> bool:
    """Active, and superuser or holder of the bypass permission. ``is_staff`` alone is neither.

    May cost two queries for a user who is not a superuser.
    """
    return _is_active(user) and (_is_superuser(user) or _has_perm(user, BYPASS))


async def ais_administrator(user: Any) -> bool:
    """As :func:`is_administrator`, for async code."""
    if not _is_active(user) or _is_superuser(user):
        return _is_active(user)
    if hasattr(user, "ahas_perm"):
        return bool(await user.ahas_perm(BYPASS))
    return await sync_to_async(_has_perm)(user, BYPASS)


def may_change(user: Any) -> bool:
    """Whether the user may open and close the site and edit its settings."""
    return _is_active(user) and (_is_superuser(user) or _has_perm(user, CHANGE))


def kind_of(user: Any) -> UserKind:
    """What the rules have to know of *user*."""
    if user is None or not getattr(user, "is_authenticated", False):
        return UserKind.ANONYMOUS
    return UserKind.ADMINISTRATOR if is_administrator(user) else UserKind.ORDINARY


async def akind_of(user: Any) -> UserKind:
    """As :func:`kind_of`, for async code."""
    if user is None or not getattr(user, "is_authenticated", False):
        return UserKind.ANONYMOUS
    return UserKind.ADMINISTRATOR if await ais_administrator(user) else UserKind.ORDINARY


# A project's user model need not have permissions, or a superuser, at all.


def _is_active(user: Any) -> bool:
    return bool(
        user is not None
        and getattr(user, "is_authenticated", False)
        and getattr(user, "is_active", False)
    )


def _is_superuser(user: Any) -> bool:
    return bool(getattr(user, "is_superuser", False))


def _has_perm(user: Any, permission: str) -> bool:
    has_perm = getattr(user, "has_perm", None)
    return bool(has_perm is not None and has_perm(permission))

"""The history: rows are added, and that is all."""

from __future__ import annotations

import datetime as dt
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from backsoon.exceptions import AppendOnlyError


class ChangeQuerySet(models.QuerySet["Change"]):
    """Rows that can be read and added, nothing else."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refused: history is not rewritten."""
        raise AppendOnlyError("The history is append-only: its rows cannot be changed.")

    def delete(self) -> NoReturn:
        """Refused: history is not rewritten."""
        raise AppendOnlyError("The history is append-only: its rows cannot be deleted.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: history is not rewritten."""
        raise AppendOnlyError("The history is append-only: its rows cannot be changed.")

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[Change]:
        """Add rows. Raises :class:`AppendOnlyError` where stored ones would be overwritten."""
        if kwargs.get("update_conflicts"):
            raise AppendOnlyError("The history is append-only: its rows cannot be changed.")
        return super().bulk_create(*args, **kwargs)


class Change(models.Model):
    """Who changed what, when, from where and why. Append-only."""

    class Action(models.TextChoices):
        """What was done."""

        CLOSED = "closed", _("closed")
        OPENED = "opened", _("opened")
        SETTINGS = "settings", _("settings changed")
        INITIALIZED = "initialized", _("defaults made")
        NOTICED = "noticed", _("outside change noticed")
        OVERDUE = "overdue", _("overdue")
        BURIED = "buried", _("worker not waited for")
        PLANNED = "planned", _("planned")
        REPLANNED = "replanned", _("plan changed")
        CANCELLED = "cancelled", _("plan cancelled")
        ENDED = "ended", _("planned closure ended early")
        TROUBLE = "trouble", _("trouble after opening")

    class Channel(models.TextChoices):
        """Where it was done."""

        WEB = "web", _("admin")
        COMMAND = "command", _("command line")
        API = "api", _("API")
        CODE = "code", _("code")
        SCHEDULE = "schedule", _("schedule")
        DATABASE = "database", _("database")

    at = models.DateTimeField(_("when"), db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor_name = models.CharField(
        _("who"),
        max_length=200,
        blank=True,
        help_text=_("Kept when the user is deleted."),
    )
    channel = models.CharField(_("from where"), max_length=20, choices=Channel)
    action = models.CharField(_("what"), max_length=20, choices=Action)
    reason = models.TextField(_("why"), blank=True)
    epoch = models.PositiveBigIntegerField(_("epoch"), default=0)
    before = models.JSONField(_("before"), default=dict, blank=True)
    after = models.JSONField(_("after"), default=dict, blank=True)

    objects = ChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("history")
        ordering = ("-at", "-pk")
        default_permissions = ("view",)

    def __str__(self) -> str:
        at = f"{localtime(self.moment):%Y-%m-%d %H:%M}" if self.moment else "–"
        return f"{at} {self.actor_name}: {self.get_action_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row. Raises :class:`AppendOnlyError` when it is already stored."""
        if not self._state.adding:
            raise AppendOnlyError("The history is append-only: its rows cannot be changed.")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: history is not rewritten."""
        raise AppendOnlyError("The history is append-only: its rows cannot be deleted.")

    @property
    def moment(self) -> dt.datetime | None:
        """When it was; ``None`` where somebody made the column unreadable by hand."""
        return self.at

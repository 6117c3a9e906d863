"""Planned closures."""

from __future__ import annotations

import uuid
from types import MappingProxyType

from django.db import models
from django.utils.translation import gettext_lazy as _

from backsoon.core import vocabulary
from backsoon.core.vocabulary import Mode

from .terms import Terms, WindowMode


def new_uid() -> str:
    """An identifier that no other window has or ever had, in any database."""
    return uuid.uuid4().hex


class Window(Terms):
    """A planned closure. Rows stay when it is over: they are what the calendar shows."""

    WindowMode = WindowMode

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    starts_at = models.DateTimeField(_("start"))
    ends_at = models.DateTimeField(
        _("end"), null=True, blank=True, help_text=_("Empty: until somebody opens.")
    )
    planned_start = models.DateTimeField(
        _("planned start"), help_text=_("As it was when the window began, or is now.")
    )
    planned_end = models.DateTimeField(_("planned end"), null=True, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, blank=True)
    sequence = models.PositiveIntegerField(
        _("sequence"), default=0, help_text=_("How often the plan was changed.")
    )
    series = models.ForeignKey(
        "Series",
        verbose_name=_("series"),
        to_field="uid",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,  # a database that went back may have lost the series
        related_name="windows",
    )
    occurrence = models.DateTimeField(
        _("occurrence"),
        null=True,
        blank=True,
        help_text=_("When it begins by the rule of its series."),
    )

    class Meta:
        verbose_name = _("planned closure")
        verbose_name_plural = _("planned closures")
        ordering = ("starts_at", "pk")
        default_permissions = ()
        indexes = (
            models.Index(fields=["ends_at"], name="backsoon_window_ends"),
            # The last one that began, among all that there ever were.
            models.Index(fields=["starts_at"], name="backsoon_window_starts"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_at=None) | models.Q(ends_at__gt=models.F("starts_at")),
                name="backsoon_window_ends_after_its_start",
            ),
            models.CheckConstraint(
                condition=models.Q(mode__in=[Mode.CLOSED.value, Mode.READ_ONLY.value]),
                name="backsoon_window_known_mode",
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk} {self.title or self.reason}".rstrip()

    def to_core(self) -> vocabulary.Window:
        """The window as the core knows it. Raises ``ValueError`` where a row was broken by hand."""
        return vocabulary.Window(
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            mode=Mode(self.mode),
            keep_logins=self.keep_logins,
            reason=self.reason,
            uid=self.uid,
            number=self.pk,
            words=MappingProxyType(self.words()),
            notice=self.notice,
            sequence=self.sequence,
            series=self.series_id or "",
            occurrence=self.occurrence,
        )

"""Planned closures that come again and again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from backsoon.core.vocabulary import Mode

from .terms import Terms
from .window import new_uid


class Series(Terms):
    """A rule by which closures repeat. Each one is a window of its own, made some time ahead."""

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    rule = models.CharField(
        _("repetition"), max_length=200, help_text=_("A recurrence rule (RFC 5545, RRULE).")
    )
    zone = models.CharField(
        _("time zone"), max_length=64, help_text=_("By whose clocks the rule goes.")
    )
    first_start = models.DateTimeField(_("first start"))
    length = models.DurationField(_("length"))
    made_until = models.DateTimeField(
        _("made until"),
        null=True,
        blank=True,
        help_text=_("Up to when its closures stand in the list; empty: all of them do."),
    )
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("series of closures")
        verbose_name_plural = _("series of closures")
        ordering = ("first_start", "pk")
        default_permissions = ()
        constraints = (
            models.CheckConstraint(
                condition=models.Q(mode__in=[Mode.CLOSED.value, Mode.READ_ONLY.value]),
                name="backsoon_series_known_mode",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rule} ({self.zone})"

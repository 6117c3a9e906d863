"""The control row: the switch, and the numbers that only grow."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext_lazy as _

from backsoon.core.vocabulary import Mode, Switch


class Maintenance(models.Model):
    """The one control row: numbers that only grow, and the circumstances of the last switch.

    It is the row that every process polls, so it stays small. ``epoch`` counts changes of the
    switch, ``revision`` counts every change, texts included.
    """

    ONLY_PK = 1

    class SwitchMode(models.TextChoices):
        """The modes that the switch can be in, as they are stored."""

        OPEN = Mode.OPEN.value, _("open")
        READ_ONLY = Mode.READ_ONLY.value, _("read-only")
        CLOSED = Mode.CLOSED.value, _("closed")

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY_PK, editable=False)
    epoch = models.PositiveBigIntegerField(_("epoch"), default=0)
    revision = models.PositiveBigIntegerField(_("revision"), default=0)
    generation = models.PositiveBigIntegerField(_("generation of logins"), default=0)
    mode = models.CharField(_("mode"), max_length=20, choices=SwitchMode, default=SwitchMode.OPEN)
    since = models.DateTimeField(_("since"), null=True, blank=True)
    changed_by = models.CharField(_("by"), max_length=200, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    open_at_end = models.BooleanField(_("open at the expected end"), default=False)
    overdue_at = models.DateTimeField(_("overdue from"), null=True, blank=True)
    opens_when_overdue = models.BooleanField(_("open when overdue"), default=False)
    alarmed = models.BooleanField(
        _("alarm raised"),
        default=False,
        help_text=_("Whether the alarm about this closure has been raised."),
    )
    cut_streams_at = models.DateTimeField(_("end streams from"), null=True, blank=True)
    run = models.JSONField(
        _("command that runs"),
        default=dict,
        blank=True,
        help_text=_("The command for which the site is closed, and where it runs."),
    )

    class Meta:
        verbose_name = _("maintenance")
        verbose_name_plural = _("maintenance")
        default_permissions = ("change",)
        permissions = (("bypass_maintenance", _("Can use the site during maintenance")),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(id=1), name="backsoon_maintenance_only_one_row"
            ),
            models.CheckConstraint(
                condition=models.Q(mode__in=[mode.value for mode in Mode]),
                name="backsoon_maintenance_known_mode",
            ),
            models.CheckConstraint(
                condition=models.Q(revision__gte=models.F("epoch")),
                name="backsoon_maintenance_revision_counts_all",
            ),
        )

    def __str__(self) -> str:
        return f"{self.mode} (epoch {self.epoch})"

    def to_core(self) -> Switch:
        """The switch as the core knows it. Raises ``ValueError`` for an unknown mode."""
        return Switch(
            mode=Mode(self.mode),
            since=self.since,
            by=self.changed_by,
            reason=self.reason,
            open_at_end=self.open_at_end,
            overdue_at=self.overdue_at,
            opens_when_overdue=self.opens_when_overdue,
            cut_streams_at=self.cut_streams_at,
            run=_command(self.run),
        )


def _command(record: object) -> str:
    """The command of *record*, which somebody may have changed by hand; empty once it has ended."""
    if not isinstance(record, Mapping) or record.get("ended"):
        return ""
    command = record.get("command")
    return command if isinstance(command, str) else ""

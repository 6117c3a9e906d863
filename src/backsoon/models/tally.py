"""What all processes counted around a closure."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Tally(models.Model):
    """Numbers that belong to a moment: one at which the site closed, or opened again.

    Processes add to the rows; when and why the site closed stands in the history.
    """

    class Kind(models.TextChoices):
        """What happened at the moment."""

        CLOSED = "closed", _("closed")
        OPENED = "opened", _("opened")

    kind = models.CharField(_("what happened"), max_length=10, choices=Kind)
    at = models.DateTimeField(_("when"))
    requests = models.PositiveBigIntegerField(
        _("requests"),
        default=0,
        help_text=_("Answered in the minutes before it closed, or after it opened."),
    )
    failures = models.PositiveBigIntegerField(
        _("failures"), default=0, help_text=_("How many of them ended with an error of the server.")
    )
    pages = models.PositiveBigIntegerField(
        _("pages refused"), default=0, help_text=_("Since it closed.")
    )
    programs = models.PositiveBigIntegerField(_("programs refused"), default=0)
    logins = models.PositiveBigIntegerField(_("logins refused"), default=0)
    alarmed = models.BooleanField(_("alarm raised"), default=False)

    class Meta:
        verbose_name = _("tally")
        verbose_name_plural = _("tallies")
        ordering = ("at", "pk")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["kind", "at"], name="backsoon_tally_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.at}"

"""How many requests came when."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Traffic(models.Model):
    """What all processes counted in one hour: two numbers, and nothing about anybody."""

    hour = models.PositiveBigIntegerField(
        _("hour"), primary_key=True, help_text=_("How many hours after the beginning of 1970, UTC.")
    )
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    minutes = models.PositiveBigIntegerField(
        _("observed minutes"),
        default=0,
        help_text=_(
            "One bit for each minute in which some process ran and the site was open; the lowest "
            "is the first."
        ),
    )

    class Meta:
        verbose_name = _("traffic")
        verbose_name_plural = _("traffic")
        ordering = ("hour",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour}: {self.requests}"

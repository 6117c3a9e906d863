"""Visitors who want to be told when the site is open again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Subscriber(models.Model):
    """An address to write to once, and then to forget."""

    address = models.EmailField(_("e-mail address"), max_length=254)
    key = models.CharField(
        max_length=254, editable=False, help_text=_("What all spellings of the address share.")
    )
    language = models.CharField(_("language"), max_length=20)
    created_at = models.DateTimeField(_("asked on"))

    class Meta:
        verbose_name = _("visitor to be told")
        verbose_name_plural = _("visitors to be told")
        ordering = ("pk",)
        default_permissions = ()
        indexes = (models.Index(fields=["created_at"], name="backsoon_subscriber_created"),)
        constraints = (models.UniqueConstraint(fields=["key"], name="backsoon_subscriber_once"),)

    def __str__(self) -> str:
        return f"#{self.pk}"  # not the address: it would find its way into logs

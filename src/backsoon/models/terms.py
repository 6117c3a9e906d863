"""What a planned closure and a series of them have in common."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from backsoon.core.vocabulary import Mode, Words


class WindowMode(models.TextChoices):
    """What a window can do to the site."""

    CLOSED = Mode.CLOSED.value, _("closed")
    READ_ONLY = Mode.READ_ONLY.value, _("read-only")


class Terms(models.Model):
    """What a closure does, what visitors are told about it and how early, and whose plan it is."""

    mode = models.CharField(_("mode"), max_length=20, choices=WindowMode, default=WindowMode.CLOSED)
    keep_logins = models.BooleanField(_("keep logins"), default=False)
    title = models.CharField(_("title"), max_length=200, blank=True)
    message = models.TextField(_("message"), blank=True)
    translations = models.JSONField(
        _("translations"),
        default=dict,
        blank=True,
        help_text=_("Title and message in other languages, by language code."),
    )
    notice = models.DurationField(
        _("notice"),
        null=True,
        blank=True,
        help_text=_("How long before the start visitors are told; empty: as in the settings."),
    )
    reason = models.TextField(_("reason"), blank=True)
    planned_by = models.CharField(_("planned by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("planned on"))

    class Meta:
        abstract = True

    def words(self) -> dict[str, Words]:
        """What visitors are told, by language; ``""`` for every other. Broken texts are none."""
        words = {"": Words(self.title, self.message)}
        given = self.translations if isinstance(self.translations, dict) else {}
        for code, texts in given.items():
            if isinstance(texts, dict):
                words[code] = Words(str(texts.get("title", "")), str(texts.get("message", "")))
        return words

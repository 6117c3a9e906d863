"""Planned closures."""

from __future__ import annotations

import uuid
from types import MappingProxyType

from django.db import models
from django.utils.translation import gettext_lazy as _

from backsoon.core import vocabulary
from backsoon.core.vocabulary import Mode, Words


def new_uid() -> str:
    """An identifier that no other window has or ever had, in any database."""
    return uuid.uuid4().hex


class Window(models.Model):
    """A planned closure. Rows stay when it is over: they are what the calendar shows."""

    class WindowMode(models.TextChoices):
        """What a window can do to the site."""

        CLOSED = Mode.CLOSED.value, _("closed")
        READ_ONLY = Mode.READ_ONLY.value, _("read-only")

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    starts_at = models.DateTimeField(_("start"))
    ends_at = models.DateTimeField(
        _("end"), null=True, blank=True, help_text=_("Empty: until somebody opens.")
    )
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
    reason = models.TextField(_("reason"), blank=True)
    planned_start = models.DateTimeField(
        _("planned start"), help_text=_("As it was when the window began, or is now.")
    )
    planned_end = models.DateTimeField(_("planned end"), null=True, blank=True)
    planned_by = models.CharField(_("planned by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("planned on"))
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, blank=True)

    class Meta:
        verbose_name = _("planned closure")
        verbose_name_plural = _("planned closures")
        ordering = ("starts_at", "pk")
        default_permissions = ()
        indexes = (models.Index(fields=["ends_at"], name="backsoon_window_ends"),)
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
            words=MappingProxyType(self._words()),
        )

    def _words(self) -> dict[str, Words]:
        words = {"": Words(self.title, self.message)}
        given = self.translations if isinstance(self.translations, dict) else {}
        for code, texts in given.items():
            if isinstance(texts, dict):
                words[code] = Words(str(texts.get("title", "")), str(texts.get("message", "")))
        return words

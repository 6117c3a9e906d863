"""What people are to be told, and to whom it was told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from backsoon.core.telling import Moment

ADDRESS_LENGTH = 320
"""The longest e-mail address there can be (RFC 5321, 4.5.3.1)."""


class Announcement(models.Model):
    """One moment that people are to be told of. Its key sees to it that it is written once."""

    class What(models.TextChoices):
        """The moments, as they are stored."""

        ANNOUNCED = Moment.ANNOUNCED.value, _("announcement")
        CHANGED = Moment.CHANGED.value, _("change of plan")
        REMINDER = Moment.REMINDER.value, _("reminder")
        STARTED = Moment.STARTED.value, _("start")
        EXTENDED = Moment.EXTENDED.value, _("extension")
        ENDED = Moment.ENDED.value, _("end")
        CANCELLED = Moment.CANCELLED.value, _("cancellation")

    key = models.CharField(max_length=120, unique=True, editable=False)
    moment = models.CharField(_("moment"), max_length=20, choices=What)
    window = models.CharField(
        _("planned closure"), max_length=32, blank=True, help_text=_("Empty for one by hand.")
    )
    at = models.DateTimeField(_("when"))
    facts = models.JSONField(_("what is told"), default=dict)
    expires_at = models.DateTimeField(
        _("not to be told after"),
        null=True,
        blank=True,
        help_text=_("People who have not heard by then are not told any more."),
    )
    addressed_at = models.DateTimeField(
        _("addressed"),
        null=True,
        blank=True,
        help_text=_("When it was known who is to be told."),
    )
    claimed_by = models.CharField(max_length=200, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    last_error = models.TextField(_("last problem"), blank=True)

    class Meta:
        verbose_name = _("announcement")
        verbose_name_plural = _("announcements")
        ordering = ("-at", "-pk")
        default_permissions = ()
        indexes = (
            models.Index(fields=["window"], name="backsoon_announcement_window"),
            models.Index(
                fields=["at"],
                condition=Q(addressed_at=None),
                name="backsoon_announcement_open",
            ),
        )

    def __str__(self) -> str:
        return self.key


class Delivery(models.Model):
    """One receiver of one announcement. The database holds no second row of the same."""

    class State(models.TextChoices):
        """How far it has come."""

        PENDING = "pending", _("waiting")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed, will be tried again")
        GIVEN_UP = "given_up", _("given up")

    class Channel(models.TextChoices):
        """How it gets there."""

        MAIL = "mail", _("e-mail")
        WEBHOOK = "webhook", _("webhook")
        CHAT = "chat", _("chat")

    class Source(models.TextChoices):
        """Where the address comes from."""

        AUDIENCE = "audience", _("customers")
        VISITORS = "visitors", _("visitors who asked")
        OPERATORS = "operators", _("operators")
        WEBHOOKS = "webhooks", _("webhooks")
        APPRISE = "apprise", _("chat services")

    OPEN = (State.PENDING, State.FAILED)
    """The states of those that are still to be sent."""

    announcement = models.ForeignKey(
        Announcement,
        verbose_name=_("announcement"),
        on_delete=models.CASCADE,
        related_name="deliveries",
    )
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    source = models.CharField(_("receivers"), max_length=10, choices=Source)
    address = models.CharField(_("address"), max_length=ADDRESS_LENGTH)
    language = models.CharField(_("language"), max_length=20, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt"))
    last_error = models.TextField(_("last problem"), blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    claimed_by = models.CharField(max_length=200, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ("-pk",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["announcement", "channel", "address"], name="backsoon_delivery_once"
            ),
        )
        indexes = (
            models.Index(
                fields=["channel", "next_attempt_at"],
                condition=Q(state__in=["pending", "failed"]),
                name="backsoon_delivery_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.announcement_id} → {self.address}"


class Unsubscribed(models.Model):
    """An address that wants no mail as a customer; kept so that it gets none ever again."""

    address = models.CharField(_("address"), max_length=ADDRESS_LENGTH, unique=True)
    at = models.DateTimeField(_("when"))

    class Meta:
        verbose_name = _("unsubscribed address")
        verbose_name_plural = _("unsubscribed addresses")
        ordering = ("address",)
        default_permissions = ()

    def __str__(self) -> str:
        return self.address

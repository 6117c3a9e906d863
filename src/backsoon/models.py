"""What is stored. Rows convert to core values; they decide nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from .core.vocabulary import Mode, Switch
from .exceptions import AppendOnlyError


class SettingType(models.TextChoices):
    """How a setting's text is to be read and which field edits it."""

    BOOLEAN = "boolean", _("yes or no")
    TEXT = "text", _("one line of text")
    TEXTAREA = "textarea", _("text")
    URL = "url", _("web address")
    IMAGE_URL = "image_url", _("image address")
    ICON = "icon", _("icon class")
    EMAIL = "email", _("e-mail address")
    CONTACT = "contact", _("e-mail or web address")
    DATETIME = "datetime", _("date and time")


class SystemSetting(models.Model):
    """One setting of the site. A missing row means the default: nothing fails before it exists."""

    key = models.CharField(_("key"), max_length=100, unique=True)
    value = models.TextField(_("value"), blank=True)
    setting_type = models.CharField(
        _("type"), max_length=20, choices=SettingType, default=SettingType.TEXT
    )
    group = models.CharField(_("group"), max_length=50, default="general", db_index=True)
    label = models.CharField(_("label"), max_length=200, blank=True)
    help_text = models.TextField(_("help"), blank=True)
    order = models.PositiveIntegerField(_("order"), default=0)
    translations = models.JSONField(
        _("translations"),
        default=dict,
        blank=True,
        help_text=_("The text in other languages, by language code."),
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("updated by"),
        null=True,
        blank=True,
        # The settings may live in another database than the users, and outlive them.
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("setting")
        verbose_name_plural = _("settings")
        ordering = ("group", "order", "key")
        default_permissions = ()
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(key=""), name="backsoon_systemsetting_key_not_empty"
            ),
        )

    def __str__(self) -> str:
        return self.key


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
        )


class Worker(models.Model):
    """A process with a gate, as it last told about itself.

    It writes its row before it reads the state for the first time; so whoever closes the site and
    then reads the rows knows of every process that could have seen it open. Moments are by the
    database's clock where it has one.
    """

    class Kind(models.TextChoices):
        """What the process serves."""

        WSGI = "wsgi", "WSGI"
        ASGI = "asgi", "ASGI"
        CELERY = "celery", "Celery"
        OTHER = "other", _("other")

    class Ending(models.TextChoices):
        """Why a process that did not sign off is not waited for any more."""

        GONE = "gone", _("ended, proven on its host")
        SILENT = "silent", _("silent for a day")
        ASSUMED = "assumed", _("assumed dead by an operator")
        FENCED = "fenced", _("cut off from the database by an operator")

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.OTHER)
    host = models.CharField(_("host"), max_length=255)
    machine = models.CharField(
        _("machine"),
        max_length=200,
        blank=True,
        help_text=_("Boot and process namespace: where the process number means something."),
    )
    pid = models.PositiveBigIntegerField(_("process number"))
    pid_started = models.PositiveBigIntegerField(
        _("process start"), null=True, help_text=_("In clock ticks since the machine started.")
    )
    version = models.CharField(_("version"), max_length=50, blank=True)
    born_at = models.DateTimeField(_("registered"))
    seen_at = models.DateTimeField(_("last heard of"), db_index=True)
    seen_epoch = models.PositiveBigIntegerField(_("seen epoch"), null=True)
    acked_epoch = models.PositiveBigIntegerField(_("acknowledged epoch"), null=True)
    in_flight = models.PositiveIntegerField(_("running"), default=0)
    apart = models.PositiveIntegerField(
        _("running apart"), default=0, help_text=_("Of administrators, or exempt.")
    )
    units = models.JSONField(_("oldest running"), default=list, blank=True)
    session_name = models.CharField(
        _("database sessions"),
        max_length=63,
        blank=True,
        help_text=_("The name that its sessions bear in PostgreSQL."),
    )
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_how = models.CharField(_("how"), max_length=20, choices=Ending, blank=True)
    ended_by = models.CharField(_("by"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("host", "pid", "id")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.host}:{self.pid}"


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

"""The processes that a closure waits for."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


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

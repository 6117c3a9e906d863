"""The settings of the site, one row each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


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

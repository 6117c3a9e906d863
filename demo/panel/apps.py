"""App configuration of the client area."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PanelConfig(AppConfig):
    """The client area of the hosting company."""

    name = "demo.panel"
    label = "panel"
    verbose_name = _("Client area")
    default_auto_field = "django.db.models.BigAutoField"

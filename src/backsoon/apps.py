"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BacksoonConfig(AppConfig):
    """Registers the checks and the signal receivers; reads no setting and starts nothing."""

    name = "backsoon"
    verbose_name = _("Maintenance")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what has to be in place before the first request."""
        from . import checks
        from .gate import connect
        from .http import sessions

        checks.register_checks()
        sessions.connect()
        connect()

"""The Django app."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class BacksoonConfig(AppConfig):
    """Registers the checks and the signal receivers; reads no setting and starts nothing."""

    name = "backsoon"
    verbose_name = _("Maintenance")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what has to be in place before the first request."""
        from . import checks

        checks.register_checks()
        if not all(apps.is_installed(name) for name in checks.REQUIRED_APPS):
            return  # what follows cannot be imported then, and the check has to say why
        from .announce import hooks
        from .gate import connect
        from .http import sessions

        connect()
        hooks.connect()
        sessions.connect()

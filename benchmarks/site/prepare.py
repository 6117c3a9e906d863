"""Set a site's database up: tables, defaults, one ordinary user who is logged in.

Prints the cookie of that user's session. Run as a module with the environment of the site.
"""

from __future__ import annotations

import sys

import django


def main() -> None:
    """Migrate, fill, and say what the cookie is."""
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("init_default_settings", stdout=sys.stderr)
    print(_log_in())  # noqa: T201


def _log_in() -> str:
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    user = User.objects.create_user("client")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


if __name__ == "__main__":
    main()

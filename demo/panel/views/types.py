"""Types shared by the views."""

from django.contrib.auth.models import User
from django.http import HttpRequest


class CustomerRequest(HttpRequest):
    """A request that ``login_required`` has let through. Used in annotations only."""

    user: User

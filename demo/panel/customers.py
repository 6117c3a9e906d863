"""Whom the demo writes to before, during and after a closure; the settings name these functions."""

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet


def to_be_told() -> QuerySet[User]:
    """Return everybody with an account and an e-mail address."""
    people = User.objects.filter(is_active=True).exclude(email="")
    return people.select_related("customer_profile").order_by("pk")


def language_of(person: User) -> str:
    """Return the language that ``person`` has chosen; empty for that of the site."""
    try:
        return person.customer_profile.language
    except ObjectDoesNotExist:
        return ""

"""What every page of the client area says about the company."""

import logging

from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from backsoon.models import SystemSetting

logger = logging.getLogger(__name__)

DEFAULTS = {"site_name": "Northlight Hosting", "support_email": "support@northlight.example"}


def company(request: HttpRequest) -> dict[str, object]:
    """Give templates ``company.site_name`` and ``company.support_email``.

    They are looked up only where a template asks for them: an admin page does not.
    """
    return {"company": SimpleLazyObject(_company)}


def _company() -> dict[str, str]:
    try:
        rows = SystemSetting.objects.filter(group="general", key__in=DEFAULTS)
        stored = {key: value for key, value in rows.values_list("key", "value") if value}
    except DatabaseError:
        # A footer is no reason to lose the page above it.
        logger.warning("The company's settings could not be read.", exc_info=True)
        stored = {}
    return DEFAULTS | stored

"""How amounts are written."""

from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import pgettext


def money(amount: Decimal) -> str:
    """Return an amount in euros as the reader's language writes it, such as ``€12.00``."""
    number = number_format(amount, decimal_pos=2, force_grouping=True)
    # Translators: an amount of money; some languages put the sign behind, with a no-break space.
    return pgettext("amount in euros", "€%(number)s") % {"number": number}

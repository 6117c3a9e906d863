"""Template helpers of the client area."""

from decimal import Decimal

from django import template

from demo.panel import formats

register = template.Library()


@register.filter
def money(amount: Decimal) -> str:
    """Write an amount in euros in the reader's language."""
    return formats.money(amount)

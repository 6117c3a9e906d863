"""What can happen to an order: it is placed, and then it takes steps.

The table below is the whole of it. The pages draw their buttons from it, and nothing else in the
client area writes a status. Where there is a broker, a paid order is delivered by itself.

    pending ──pay──▶ paid ──deliver──▶ delivered
       └──cancel──▶ cancelled
"""

import calendar
from dataclasses import dataclass
from datetime import date
from functools import partial

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from demo.panel.models import Order, Product, Service

Status = Order.Status


@dataclass(frozen=True, slots=True)
class Step:
    """One edge between two statuses, and the words that go with it."""

    name: str
    source: Status
    target: Status
    button: str | Promise
    done: str | Promise


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("pay", Status.PENDING, Status.PAID, _("Pay now"), _("Payment received. Thank you.")),
        Step(
            "deliver",
            Status.PAID,
            Status.DELIVERED,
            _("Set it up now"),
            _("It is ready: you will find it among your services."),
        ),
        Step(
            "cancel",
            Status.PENDING,
            Status.CANCELLED,
            _("Cancel the order"),
            _("The order was cancelled. Nothing was charged."),
        ),
    )
}


class StepNotAllowedError(Exception):
    """The order is not, or no longer, where this step begins."""


def steps_from(status: str) -> list[Step]:
    """Return the steps that an order with this status may take."""
    return [step for step in STEPS.values() if step.source == status]


def place_order(customer: User, product: Product, quantity: int, note: str = "") -> Order:
    """Record an order at today's price and return it."""
    return Order.objects.create(
        customer=customer,
        product=product,
        quantity=quantity,
        note=note,
        unit_price=product.price,
    )


@transaction.atomic
def take_step(order: Order, step: Step) -> None:
    """Move ``order`` along ``step``; a delivery starts one service for each unit.

    Raises:
        StepNotAllowedError: the order stands elsewhere, perhaps since a moment ago.
    """
    # The condition is part of the write: of two clicks at once, one finds nothing to change.
    now = timezone.now()
    moved = Order.objects.filter(pk=order.pk, status=step.source).update(
        status=step.target, updated_at=now
    )
    if not moved:
        raise StepNotAllowedError
    order.status, order.updated_at = step.target, now
    if step.target is Status.PAID and settings.CELERY_BROKER_URL:
        transaction.on_commit(partial(_deliver_soon, order.pk))
    if step.target is Status.DELIVERED:
        _start_services(order)


def renewal_after(start: date, period: str) -> date:
    """Return the day on which a service that starts on ``start`` is due again.

    A month that is too short for the day ends earlier: 31 January is followed by 28 February.
    """
    months = start.month + (12 if period == Product.Period.YEAR else 1)
    year, month = start.year + (months - 1) // 12, (months - 1) % 12 + 1
    return date(year, month, min(start.day, calendar.monthrange(year, month)[1]))


def _deliver_soon(order_pk: int) -> None:
    # Here: without a broker the demo needs no Celery, and the task needs what stands above.
    from demo.panel.tasks import deliver_soon

    deliver_soon(order_pk)


def _start_services(order: Order) -> None:
    today = timezone.localdate()
    Service.objects.bulk_create(
        Service(
            customer=order.customer,
            product=order.product,
            label=f"{order.product.slug}-{order.pk:05d}-{number}",
            price=order.unit_price,
            started_on=today,
            renews_on=renewal_after(today, order.product.period),
        )
        for number in range(1, order.quantity + 1)
    )

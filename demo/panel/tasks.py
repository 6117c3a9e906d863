"""What happens in the background."""

import logging

from demo.core.celery import app
from demo.panel.models import Order
from demo.panel.ordering import STEPS, StepNotAllowedError, take_step

logger = logging.getLogger(__name__)


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def deliver(order_pk: int) -> None:
    """Deliver a paid order, unless the customer was faster."""
    order = Order.objects.select_related("product", "customer").get(pk=order_pk)
    try:
        take_step(order, STEPS["deliver"])
    except StepNotAllowedError:
        logger.info("Order %s was not waiting for its delivery.", order.reference)


def deliver_soon(order_pk: int) -> None:
    """Ask a worker for the delivery. Without a broker that answers, it is done by hand."""
    try:
        deliver.apply_async([order_pk], retry=False)
    except deliver.OperationalError as error:
        logger.warning("Order %d is not delivered by itself: %s", order_pk, error)

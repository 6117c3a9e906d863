"""Orders and the steps they take, without a browser."""

# ruff: noqa: PT027 - these tests need no pytest

from datetime import date
from itertools import product as pairs
from unittest.mock import patch

from django.db import IntegrityError, transaction
from django.test import SimpleTestCase, override_settings

from demo.panel.models import MAX_QUANTITY, Order, Service
from demo.panel.ordering import (
    STEPS,
    StepNotAllowedError,
    place_order,
    renewal_after,
    steps_from,
    take_step,
)
from demo.panel.tasks import deliver
from demo.panel.tests.base import PanelTestCase

ALLOWED = {
    ("pending", "pay"): "paid",
    ("paid", "deliver"): "delivered",
    ("pending", "cancel"): "cancelled",
}


class StepTests(PanelTestCase):
    def test_an_order_moves_along_the_three_allowed_edges_and_no_others(self) -> None:
        for status, name in pairs(Order.Status.values, STEPS):
            with self.subTest(status=status, step=name):
                order = self.order_of(self.claire, status)
                if (status, name) in ALLOWED:
                    take_step(order, STEPS[name])
                else:
                    with self.assertRaises(StepNotAllowedError):
                        take_step(order, STEPS[name])
                order.refresh_from_db()
                assert order.status == ALLOWED.get((status, name), status)

    def test_the_steps_offered_are_the_steps_allowed(self) -> None:
        offered = {(s, step.name) for s in Order.Status.values for step in steps_from(s)}
        assert offered == set(ALLOWED)

    def test_a_second_click_on_a_stale_page_delivers_nothing_twice(self) -> None:
        order = self.order_of(self.claire, "paid", quantity=2)
        stale = Order.objects.get(pk=order.pk)
        take_step(order, STEPS["deliver"])
        with self.assertRaises(StepNotAllowedError):
            take_step(stale, STEPS["deliver"])
        assert Service.objects.filter(customer=self.claire).count() == 2

    def test_paying_starts_no_service(self) -> None:
        take_step(self.order_of(self.claire), STEPS["pay"])
        assert not Service.objects.exists()

    def test_an_order_keeps_its_price_when_the_catalogue_changes(self) -> None:
        order = place_order(self.claire, self.server, 3)
        self.server.price *= 2
        self.server.save()
        order.refresh_from_db()
        assert str(order.total) == "20.70"


class DeliveryTests(PanelTestCase):
    """A paid order is delivered in the background where there is a broker, else by hand."""

    def pay(self) -> Order:
        order = self.order_of(self.claire)
        with self.captureOnCommitCallbacks(execute=True):
            take_step(order, STEPS["pay"])
        return order

    def test_without_a_broker_nobody_is_asked(self) -> None:
        with patch("demo.panel.tasks.deliver.apply_async") as asked:
            self.pay()
        asked.assert_not_called()

    @override_settings(CELERY_BROKER_URL="memory://")
    def test_with_a_broker_a_worker_is_asked_once_the_payment_is_stored(self) -> None:
        with patch("demo.panel.tasks.deliver.apply_async") as asked:
            order = self.pay()
        asked.assert_called_once_with([order.pk], retry=False)

    @override_settings(CELERY_BROKER_URL="memory://")
    def test_a_broker_that_is_away_keeps_nobody_from_paying(self) -> None:
        away = deliver.OperationalError("connection refused")
        with (
            patch("demo.panel.tasks.deliver.apply_async", side_effect=away),
            self.assertLogs("demo.panel.tasks", "WARNING"),
        ):
            order = self.pay()
        order.refresh_from_db()
        assert order.status == "paid"

    def test_the_task_delivers_a_paid_order_and_no_other(self) -> None:
        paid = self.order_of(self.claire, "paid", quantity=2)
        deliver(paid.pk)
        with self.assertLogs("demo.panel.tasks", "INFO"):
            deliver(paid.pk)
        paid.refresh_from_db()
        assert paid.status == "delivered"
        assert Service.objects.filter(customer=self.claire).count() == 2


class ConstraintTests(PanelTestCase):
    def test_the_database_refuses_quantities_out_of_range_and_unknown_statuses(self) -> None:
        order = self.order_of(self.claire)
        for values in ({"quantity": 0}, {"quantity": MAX_QUANTITY + 1}, {"status": "lost"}):
            with (
                self.subTest(values),
                self.assertRaises(IntegrityError),
                transaction.atomic(),
            ):
                Order.objects.filter(pk=order.pk).update(**values)


class RenewalTests(SimpleTestCase):
    def test_a_short_month_ends_on_its_last_day(self) -> None:
        assert renewal_after(date(2026, 1, 31), "month") == date(2026, 2, 28)

    def test_december_is_followed_by_january_of_the_next_year(self) -> None:
        assert renewal_after(date(2026, 12, 5), "month") == date(2027, 1, 5)

    def test_a_year_from_a_leap_day_ends_on_28_february(self) -> None:
        assert renewal_after(date(2028, 2, 29), "year") == date(2029, 2, 28)

"""The live banner: what the page is told, and where there is one."""

import datetime as dt

from django.test import SimpleTestCase, TestCase
from django.urls import reverse

from backsoon import services, store
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode, Policy, Switch, Window
from backsoon.gate import View
from backsoon.snapshots import Snapshot
from demo.panel.live import news
from demo.panel.models import Order
from demo.panel.tests.base import PASSWORD, PanelTestCase

NOON = dt.datetime(2030, 5, 1, 12, tzinfo=dt.UTC)


def seen(policy: Policy | None = None, *windows: Window) -> View:
    """What a process knows at noon."""
    snapshot = Snapshot(policy=policy or Policy(), windows=windows)
    return View(snapshot, resolve_state(snapshot.policy, windows, NOON))


class NewsTests(SimpleTestCase):
    def test_an_open_site_that_nobody_means_to_close(self) -> None:
        assert news(seen(), NOON) == {"mode": "open", "closes_at": None}

    def test_a_planned_closure_is_told(self) -> None:
        window = Window(NOON + dt.timedelta(minutes=5))
        assert news(seen(None, window), NOON) == {
            "mode": "open",
            "closes_at": "2030-05-01T12:05:00+00:00",
        }

    def test_a_planned_closure_of_another_day_is_not_told_yet(self) -> None:
        window = Window(NOON + dt.timedelta(hours=25))
        assert news(seen(None, window), NOON)["closes_at"] is None

    def test_a_planned_time_of_reading_only_is_no_closure(self) -> None:
        window = Window(NOON + dt.timedelta(minutes=5), mode=Mode.READ_ONLY)
        assert news(seen(None, window), NOON) == {"mode": "open", "closes_at": None}

    def test_a_closed_site(self) -> None:
        policy = Policy(Switch(Mode.CLOSED), ends_at=NOON + dt.timedelta(hours=1))
        assert news(seen(policy), NOON) == {"mode": "closed", "closes_at": None}


class PlanTests(TestCase):
    def test_a_closure_that_somebody_plans_is_told(self) -> None:
        now = store.utc_now()
        services.schedule(now + dt.timedelta(minutes=5), now + dt.timedelta(hours=1))
        snapshot = store.load()
        view = View(snapshot, resolve_state(snapshot.policy, snapshot.windows, now))
        (window,) = snapshot.windows
        assert news(view, now) == {"mode": "open", "closes_at": window.starts_at.isoformat()}


class PageTests(PanelTestCase):
    def test_only_a_server_with_websockets_gets_the_banner(self) -> None:
        self.client.login(username="claire", password=PASSWORD)
        self.assertNotContains(self.client.get("/orders/"), "live.js")

    async def test_the_order_pages_have_a_banner_for_screen_readers_too(self) -> None:
        await self.async_client.aforce_login(self.claire)
        order = await Order.objects.acreate(
            customer=self.claire, product=self.server, unit_price=self.server.price
        )
        for page in ("/orders/", order.get_absolute_url(), reverse("order-create")):
            answer = await self.async_client.get(page)
            self.assertContains(answer, '<p class="live" role="status"', count=1)
            self.assertContains(answer, "live.js")

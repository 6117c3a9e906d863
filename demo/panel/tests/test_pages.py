"""The client area as a browser meets it."""

import csv
import io
from datetime import date
from decimal import Decimal
from typing import cast
from unittest import mock

from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from backsoon.models import SystemSetting
from demo.panel.models import MAX_QUANTITY, ApiToken, CustomerProfile, Order, Service
from demo.panel.tests.base import PASSWORD, Answer, PanelTestCase


class LoginTests(PanelTestCase):
    def test_a_visitor_is_sent_to_the_login_and_back_to_where_they_were_going(self) -> None:
        response = self.client.get("/orders/?status=paid")
        self.assertRedirects(response, "/login/?next=/orders/%3Fstatus%3Dpaid")
        credentials = {"username": "claire", "password": PASSWORD, "next": "/orders/?status=paid"}
        response = self.client.post("/login/", credentials)
        self.assertRedirects(response, "/orders/?status=paid")

    def test_a_wrong_password_does_not_log_in(self) -> None:
        response = self.client.post("/login/", {"username": "claire", "password": "guessed"})
        self.assertContains(response, 'role="alert"')
        assert "_auth_user_id" not in self.client.session

    def test_the_login_leads_to_no_other_site(self) -> None:
        credentials = {"username": "claire", "password": PASSWORD, "next": "//evil.example/"}
        self.assertRedirects(self.client.post("/login/", credentials), "/")

    def test_logging_out_needs_a_post(self) -> None:
        self.client.force_login(self.claire)
        assert self.client.get("/logout/").status_code == 405
        assert "_auth_user_id" in self.client.session
        self.assertRedirects(self.client.post("/logout/"), "/")
        assert "_auth_user_id" not in self.client.session

    def test_each_page_of_the_client_area_asks_for_a_login(self) -> None:
        order = self.order_of(self.claire)
        for path in (
            "/services/",
            "/services/1/",
            "/services/status/",
            "/orders/",
            "/orders/new/",
            "/orders/export.csv",
            order.get_absolute_url(),
            "/profile/",
        ):
            with self.subTest(path):
                self.assertRedirects(self.client.get(path), f"/login/?next={path}")


class OwnershipTests(PanelTestCase):
    def setUp(self) -> None:
        self.mine = self.order_of(self.claire)
        self.theirs = self.order_of(self.denis)
        self.client.force_login(self.claire)

    def test_the_list_shows_own_orders_only(self) -> None:
        response = self.client.get("/orders/")
        self.assertContains(response, self.mine.reference)
        self.assertNotContains(response, self.theirs.reference)

    def test_an_order_of_somebody_else_is_not_found(self) -> None:
        assert self.client.get(self.mine.get_absolute_url()).status_code == 200
        assert self.client.get(self.theirs.get_absolute_url()).status_code == 404

    def test_an_order_of_somebody_else_takes_no_step(self) -> None:
        response = self.client.post(reverse("order-step", args=[self.theirs.pk, "pay"]))
        assert response.status_code == 404
        self.theirs.refresh_from_db()
        assert self.theirs.status == "pending"

    def test_the_export_holds_own_orders_only(self) -> None:
        lines = _csv(self.client.get("/orders/export.csv"))
        assert [line[0] for line in lines] == ["Order", self.mine.reference]

    def test_a_service_of_somebody_else_is_not_found(self) -> None:
        service = Service.objects.create(
            customer=self.denis,
            product=self.server,
            label="web.denis.example",
            price=Decimal("6.90"),
            renews_on=date(2030, 1, 1),
        )
        assert self.client.get(service.get_absolute_url()).status_code == 404
        self.assertNotContains(self.client.get("/services/"), service.label)

    def test_a_number_that_no_database_can_hold_is_not_found(self) -> None:
        assert self.client.get(f"/orders/{10**30}/").status_code == 404


class OrderTests(PanelTestCase):
    def setUp(self) -> None:
        self.client.force_login(self.claire)

    def test_a_valid_order_is_placed_at_the_catalogue_price(self) -> None:
        data = {"product": "polar-s", "quantity": "2", "note": "soon"}
        response = self.client.post("/orders/new/", data)
        order = Order.objects.get()
        self.assertRedirects(response, order.get_absolute_url())
        assert (order.customer, order.quantity) == (self.claire, 2)
        assert (order.unit_price, order.note) == (Decimal("6.90"), "soon")
        assert order.status == "pending"

    def test_bad_quantities_and_unknown_products_are_refused_at_their_field(self) -> None:
        self.server.pk = None
        self.server.slug = "withdrawn"
        self.server.available = False
        self.server.save()
        bad = [("quantity", value) for value in ("0", "-1", "1.5", "", "two", str(10**20))]
        bad += [("quantity", str(MAX_QUANTITY + 1)), ("note", "x" * 501), ("note", "nul\0")]
        bad += [("product", value) for value in ("", "no-such-thing", "withdrawn", "1")]
        for field, value in bad:
            with self.subTest(field=field, value=value):
                data = {"product": "polar-s", "quantity": "1", "note": "", field: value}
                response = self.client.post("/orders/new/", data)
                assert list(response.context["form"].errors) == [field]
                self.assertContains(response, f'id="id_{field}_error"')
        assert not Order.objects.exists()

    def test_a_step_is_taken_by_post_only(self) -> None:
        order = self.order_of(self.claire)
        path = reverse("order-step", args=[order.pk, "pay"])
        for method in ("get", "put", "delete"):
            assert getattr(self.client, method)(path).status_code == 405
        order.refresh_from_db()
        assert order.status == "pending"
        self.assertRedirects(self.client.post(path), order.get_absolute_url())
        order.refresh_from_db()
        assert order.status == "paid"

    def test_a_step_without_csrf_token_is_refused(self) -> None:
        order = self.order_of(self.claire)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.claire)
        response = strict.post(reverse("order-step", args=[order.pk, "pay"]))
        self.assertContains(response, "The form was too old", status_code=403)

    def test_a_step_that_is_not_allowed_says_so_and_changes_nothing(self) -> None:
        order = self.order_of(self.claire, "cancelled")
        response = self.client.post(reverse("order-step", args=[order.pk, "pay"]), follow=True)
        self.assertContains(response, "This cannot be done with the order as it is now.")
        order.refresh_from_db()
        assert order.status == "cancelled"

    def test_an_unknown_step_is_not_found(self) -> None:
        order = self.order_of(self.claire)
        response = self.client.post(reverse("order-step", args=[order.pk, "refund"]))
        assert response.status_code == 404

    def test_the_filter_shows_one_status_and_ignores_an_unknown_one(self) -> None:
        paid, pending = self.order_of(self.claire, "paid"), self.order_of(self.claire)
        response = self.client.get("/orders/?status=paid")
        assert list(response.context["page"]) == [paid]
        response = self.client.get("/orders/?status=bogus&page=-7")
        assert set(response.context["page"]) == {paid, pending}

    def test_the_export_streams_and_holds_no_formulas(self) -> None:
        order = self.order_of(self.claire)
        Order.objects.filter(pk=order.pk).update(note="=1+1")
        response = self.client.get("/orders/export.csv")
        assert response.streaming
        assert _csv(response)[1][-1] == "'=1+1"

    async def test_the_export_under_asgi_holds_the_same_lines(self) -> None:
        order = await Order.objects.acreate(
            customer=self.claire, product=self.server, unit_price=Decimal("6.90")
        )
        await self.async_client.aforce_login(self.claire)
        response = await self.async_client.get("/orders/export.csv")
        chunks = cast("StreamingHttpResponse", response)
        assert chunks.is_async
        text = b"".join([chunk async for chunk in chunks]).decode()
        assert len(text.splitlines()) == 2
        assert order.reference in text


class ServiceStatusTests(PanelTestCase):
    def setUp(self) -> None:
        for label, status, due in (
            ("a.example", "active", date(2030, 5, 1)),
            ("b.example", "ending", date(2030, 1, 1)),
        ):
            Service.objects.create(
                customer=self.claire,
                product=self.server,
                label=label,
                status=status,
                price=Decimal("6.90"),
                renews_on=due,
            )

    async def test_the_summary_as_json_counts_and_skips_what_ends(self) -> None:
        await self.async_client.aforce_login(self.claire)
        response = await self.async_client.get(
            "/services/status/", headers={"accept": "application/json"}
        )
        body = response.json()
        assert body["services"] == {"active": 1, "suspended": 0, "ending": 1}
        assert body["next_renewal"] == {"service": "a.example", "renews_on": "2030-05-01"}

    def test_the_summary_as_a_page_names_the_next_renewal(self) -> None:
        self.client.force_login(self.claire)
        response = self.client.get("/services/status/", headers={"accept": "text/html"})
        self.assertContains(response, "Next to renew: a.example, on May 1, 2030.")

    def test_a_program_without_login_gets_401_as_json(self) -> None:
        response = self.client.get("/services/status/", headers={"accept": "application/json"})
        assert response.status_code == 401
        assert response["Content-Type"] == "application/problem+json"


class ProfileTests(PanelTestCase):
    def setUp(self) -> None:
        self.client.force_login(self.claire)
        self.data = {"first_name": "Claire", "last_name": "M.", "email": "c@client.example"}

    def test_saving_changes_name_address_and_language(self) -> None:
        response = self.client.post("/profile/", self.data | {"language": "fr"}, follow=True)
        self.assertContains(response, "Votre profil a été enregistré.")
        self.claire.refresh_from_db()
        assert self.claire.email == "c@client.example"
        assert CustomerProfile.objects.get(user=self.claire).language == "fr"

    def test_a_bad_address_or_language_changes_nothing(self) -> None:
        for change in ({"email": "nonsense"}, {"email": ""}, {"language": "xx"}):
            with self.subTest(change):
                response = self.client.post("/profile/", self.data | change)
                self.assertContains(response, "errorlist")
        self.claire.refresh_from_db()
        assert self.claire.email == "claire@client.example"

    def test_the_language_of_the_profile_comes_along_at_login(self) -> None:
        CustomerProfile.objects.create(user=self.claire, language="fr")
        browser = Client()
        browser.post("/login/", {"username": "claire", "password": PASSWORD})
        self.assertContains(browser.get("/orders/"), "Passer une commande")

    def test_a_new_token_is_shown_once_and_ends_the_old_one(self) -> None:
        old = ApiToken.issue(self.claire)
        response = self.client.post("/profile/token/")
        new = response.context["new_token"]
        self.assertContains(response, new)
        self.assertNotContains(self.client.get("/profile/"), new)
        for token, status in ((old, 401), (new, 200)):
            bearer = {"authorization": f"Bearer {token}"}
            assert Client().get("/api/orders/", headers=bearer).status_code == status


class LanguageTests(PanelTestCase):
    def test_pages_are_french_for_a_french_browser(self) -> None:
        response = self.client.get("/", headers={"accept-language": "fr-CH, en;q=0.5"})
        self.assertContains(response, '<html lang="fr">')
        self.assertContains(response, "Un petit serveur.")
        self.assertContains(response, "6,90\u00a0€")

    def test_the_switch_changes_the_language_and_stays_on_the_page(self) -> None:
        response = self.client.post("/i18n/setlang/", {"language": "fr", "next": "/legal/"})
        self.assertRedirects(response, "/legal/")
        self.assertContains(self.client.get("/legal/"), "Mentions légales")


class SiteTests(PanelTestCase):
    def test_the_health_check_answers_ok_without_query_and_without_session(self) -> None:
        with self.assertNumQueries(0):
            response = self.client.get("/healthz")
        assert (response.status_code, response.content) == (200, b"ok")
        assert "sessionid" not in response.cookies

    def test_the_page_comes_when_the_companys_settings_cannot_be_read(self) -> None:
        broken = mock.Mock()
        broken.objects.filter.side_effect = DatabaseError("no such table")
        with (
            mock.patch("demo.panel.context_processors.SystemSetting", broken),
            self.assertLogs("demo.panel.context_processors", "WARNING"),
        ):
            response = self.client.get("/legal/")
        self.assertContains(response, "support@northlight.example")

    def test_the_footer_shows_the_stored_settings(self) -> None:
        SystemSetting.objects.update_or_create(
            key="site_name",
            defaults={"value": "Polar & Sons", "group": "general", "setting_type": "text"},
        )
        self.assertContains(self.client.get("/legal/"), "Polar &amp; Sons")

    def test_an_unknown_address_gets_our_own_page(self) -> None:
        response = self.client.get("/nowhere/")
        self.assertContains(response, "There is nothing here", status_code=404)

    def test_an_error_gets_our_own_page(self) -> None:
        self.client.raise_request_exception = False
        broken = mock.patch("demo.panel.views.site.Product.objects.filter", side_effect=OSError)
        with broken, self.assertLogs("django.request", "ERROR"):
            response = self.client.get("/")
        self.assertContains(response, "Something went wrong on our side", status_code=500)

    def test_no_page_uses_inline_style_or_script(self) -> None:
        self.client.force_login(self.claire)
        order = self.order_of(self.claire)
        for path in ("/", "/orders/", "/orders/new/", order.get_absolute_url(), "/profile/"):
            with self.subTest(path):
                html = self.client.get(path).content.decode()
                for forbidden in ("<script>", "<style", " style=", " onclick=", "http://"):
                    assert forbidden not in html


def _csv(response: Answer) -> list[list[str]]:
    text = response.getvalue().decode()
    return list(csv.reader(io.StringIO(text)))

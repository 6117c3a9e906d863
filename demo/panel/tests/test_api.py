"""The JSON API for orders."""

import json
from typing import Any

from django.test import Client

from demo.panel.models import MAX_QUANTITY, ApiToken, Order
from demo.panel.tests.base import Answer, PanelTestCase

ORDER = {"product": "polar-s", "quantity": 2, "note": "by program"}


class ApiTestCase(PanelTestCase):
    def setUp(self) -> None:
        self.token = ApiToken.issue(self.claire)
        self.strict = Client(enforce_csrf_checks=True)

    def bearer(self, token: str = "") -> dict[str, str]:
        """Return the header of a request with a token: Claire's, if none is given."""
        return {"authorization": f"Bearer {token or self.token}"}

    def send(self, data: object) -> Answer:
        """Send an order as JSON with Claire's token."""
        body = data if isinstance(data, str | bytes) else json.dumps(data)
        headers = self.bearer()
        return self.strict.post("/api/orders/", body, "application/json", headers=headers)

    def assert_problem(self, response: Answer, status: int) -> dict[str, Any]:
        """Check that the answer is a problem with this status and return its body."""
        assert response.status_code == status, response.content[:300]
        assert response["Content-Type"] == "application/problem+json"
        body: dict[str, Any] = json.loads(response.content)
        assert body["status"] == status
        assert body["title"]
        assert body["detail"]
        return body


class AuthenticationTests(ApiTestCase):
    def test_nobody_gets_401_and_is_told_how_to_authenticate(self) -> None:
        response = self.strict.get("/api/orders/")
        self.assert_problem(response, 401)
        assert response["WWW-Authenticate"] == "Bearer"

    def test_a_token_reads_and_writes_without_csrf_token(self) -> None:
        assert self.strict.get("/api/orders/", headers=self.bearer()).status_code == 200
        response = self.send(ORDER)
        assert response.status_code == 201, response.content

    def test_a_wrong_token_is_refused_even_next_to_a_good_session(self) -> None:
        self.strict.force_login(self.claire)
        for token in ("wrong", " ", "é\udcff", self.token[:-1], ApiToken.digest_of(self.token)):
            with self.subTest(token):
                response = self.strict.get("/api/orders/", headers=self.bearer(token))
                self.assert_problem(response, 401)

    def test_the_token_of_a_closed_account_is_refused(self) -> None:
        self.claire.is_active = False
        self.claire.save()
        self.assert_problem(self.strict.get("/api/orders/", headers=self.bearer()), 401)

    def test_a_session_reads_without_csrf_token(self) -> None:
        self.strict.force_login(self.claire)
        assert self.strict.get("/api/orders/").status_code == 200

    def test_a_session_writes_with_a_csrf_token_only(self) -> None:
        self.strict.force_login(self.claire)
        response = self.strict.post("/api/orders/", json.dumps(ORDER), "application/json")
        self.assert_problem(response, 403)
        assert not Order.objects.exists()

        self.strict.get("/orders/new/")
        csrf = {"x-csrftoken": self.strict.cookies["csrftoken"].value}
        response = self.strict.post(
            "/api/orders/", json.dumps(ORDER), "application/json", headers=csrf
        )
        assert response.status_code == 201, response.content

    def test_another_authorization_scheme_does_not_switch_the_csrf_check_off(self) -> None:
        self.strict.force_login(self.claire)
        for header in ("Basic Zm9v", "Bearerx", "", f"Token {self.token}"):
            with self.subTest(header):
                response = self.strict.post(
                    "/api/orders/",
                    json.dumps(ORDER),
                    "application/json",
                    headers={"authorization": header},
                )
                self.assert_problem(response, 403)

    def test_the_database_does_not_hold_the_token(self) -> None:
        assert self.token not in str(ApiToken.objects.values().get(user=self.claire))


class ReadingTests(ApiTestCase):
    def test_only_own_orders_are_listed_and_shown(self) -> None:
        mine, theirs = self.order_of(self.claire), self.order_of(self.denis)
        body = self.strict.get("/api/orders/", headers=self.bearer()).json()
        assert [order["id"] for order in body["results"]] == [mine.pk]
        path = f"/api/orders/{mine.pk}/"
        shown = self.strict.get(path, headers=self.bearer()).json()
        assert (shown["total"], shown["currency"]) == ("6.90", "EUR")
        path = f"/api/orders/{theirs.pk}/"
        self.assert_problem(self.strict.get(path, headers=self.bearer()), 404)

    def test_the_list_is_filtered_by_status(self) -> None:
        paid = self.order_of(self.claire, "paid")
        self.order_of(self.claire)
        body = self.strict.get("/api/orders/?status=paid", headers=self.bearer()).json()
        assert [order["id"] for order in body["results"]] == [paid.pk]

    def test_bad_queries_are_problems(self) -> None:
        for query, status in (
            ("status=x", 400),
            ("status=", 400),
            ("page=x", 400),
            ("page=9", 404),
        ):
            with self.subTest(query):
                response = self.strict.get(f"/api/orders/?{query}", headers=self.bearer())
                self.assert_problem(response, status)

    def test_unknown_addresses_and_methods_are_problems(self) -> None:
        self.assert_problem(self.strict.get("/api/", headers=self.bearer()), 404)
        self.assert_problem(self.strict.post("/api/nothing/", headers=self.bearer()), 404)
        self.assert_problem(self.strict.get(f"/api/orders/{10**30}/", headers=self.bearer()), 404)
        response = self.strict.delete("/api/orders/", headers=self.bearer())
        self.assert_problem(response, 405)
        assert response["Allow"] == "GET, HEAD, POST"


class OrderingTests(ApiTestCase):
    def test_an_order_is_placed_and_can_be_found(self) -> None:
        response = self.send(ORDER)
        order = Order.objects.get()
        assert response["Location"] == f"/api/orders/{order.pk}/"
        assert (order.customer, order.quantity) == (self.claire, 2)
        found = self.strict.get(response["Location"], headers=self.bearer()).json()
        assert found == json.loads(response.content)

    def test_wrong_values_are_named_by_their_field(self) -> None:
        bad: dict[str, list[object]] = {
            "quantity": [0, -1, MAX_QUANTITY + 1, 10**40, 1.0, "2", True, None, []],
            "product": ["nothing", "", 1, None, {}, "\ud800", "nul\0"],
            "note": ["x" * 501, "\ud800", "nul\0", 1, None],
            "price": ["0.01"],
            "status": ["paid"],
            "customer": [self.denis.pk],
        }
        for field, value in ((name, each) for name, values in bad.items() for each in values):
            with self.subTest(field=field, value=value):
                body = self.assert_problem(self.send(ORDER | {field: value}), 422)
                assert list(body["errors"]) == [field]
        assert not Order.objects.exists()

    def test_a_missing_product_and_quantity_are_both_named(self) -> None:
        body = self.assert_problem(self.send({}), 422)
        assert set(body["errors"]) == {"product", "quantity"}

    def test_what_is_not_a_json_object_is_refused(self) -> None:
        for body in (
            " ",
            "{",
            "[]",
            "null",
            "1",
            '"text"',
            b"\xff\xfe",
            "[" * 100_000,
            "9" * 5_000,
        ):
            with self.subTest(body[:10]):
                self.assert_problem(self.send(body), 400)

    def test_another_content_type_is_refused(self) -> None:
        response = self.strict.post("/api/orders/", ORDER, headers=self.bearer())
        self.assert_problem(response, 415)

    def test_a_body_that_is_too_long_is_refused(self) -> None:
        with self.settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
            self.assert_problem(self.send(ORDER | {"note": "x" * 200}), 413)

    def test_messages_come_in_the_readers_language(self) -> None:
        headers = self.bearer() | {"accept-language": "fr"}
        response = self.strict.post("/api/orders/", "{", "application/json", headers=headers)
        assert response.json()["detail"] == "La requête n’est pas du JSON."

"""What the tests of the client area have in common."""

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.test import TestCase, override_settings

from demo.panel.models import Order, Product

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer
else:
    # The type checker's name for what a test client gets: a response with `json()` and `context`.
    from django.http import HttpResponse as Answer

__all__ = ["PASSWORD", "Answer", "PanelTestCase"]

PASSWORD = "a word for tests"


# The hashed names of static files exist only after `collectstatic`; tests do without.
@override_settings(
    STORAGES={
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    },
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
class PanelTestCase(TestCase):
    """Two customers and one product."""

    claire: User
    denis: User
    server: Product

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # Refusals are what many tests are about; their warnings would bury a true one.
        for name in ("django.request", "django.security.csrf"):
            logger = logging.getLogger(name)
            cls.addClassCleanup(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)

    @classmethod
    def setUpTestData(cls) -> None:
        cls.claire = User.objects.create_user("claire", "claire@client.example", PASSWORD)
        cls.denis = User.objects.create_user("denis", "denis@client.example", PASSWORD)
        cls.server = Product.objects.create(
            slug="polar-s",
            name="Polar S",
            kind=Product.Kind.VPS,
            period=Product.Period.MONTH,
            price=Decimal("6.90"),
            summary="A small server.",
            summary_fr="Un petit serveur.",
        )

    def order_of(self, customer: User, status: str = "pending", quantity: int = 1) -> Order:
        """Make an order."""
        return Order.objects.create(
            customer=customer,
            product=self.server,
            quantity=quantity,
            unit_price=self.server.price,
            status=status,
        )

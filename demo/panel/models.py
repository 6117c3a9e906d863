"""What the hosting company sells, to whom, and how far each order has come.

Prices are in euros, tax included. Which step an order may take stands in `demo.panel.ordering`.
"""

import hashlib
import secrets
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.models import User
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

MAX_QUANTITY = 50
MAX_NOTE_LENGTH = 500


class Product(models.Model):
    """Something in the catalogue."""

    class Kind(models.TextChoices):
        """What a product is; every service of it is the same."""

        VPS = "vps", _("VPS")
        DOMAIN = "domain", _("Domain")
        MAIL = "mail", _("Mail")

    class Period(models.TextChoices):
        """How long one payment lasts."""

        MONTH = "month", _("per month")
        YEAR = "year", _("per year")

    slug = models.SlugField(_("short name"), unique=True)
    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    period = models.CharField(_("billed"), max_length=10, choices=Period.choices)
    price = models.DecimalField(
        _("price"), max_digits=9, decimal_places=2, validators=[MinValueValidator(Decimal(0))]
    )
    summary = models.CharField(_("summary (English)"), max_length=160)
    summary_fr = models.CharField(_("summary (French)"), max_length=160, blank=True)
    available = models.BooleanField(_("can be ordered"), default=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name = _("product")
        verbose_name_plural = _("products")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(price__gte=0), name="panel_product_price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.name}"

    @property
    def localized_summary(self) -> str:
        """The summary in the reader's language, in English where it was not translated."""
        if (get_language() or "").startswith("fr") and self.summary_fr:
            return self.summary_fr
        return self.summary


class Service(models.Model):
    """Something a customer runs with us and pays for again and again."""

    class Status(models.TextChoices):
        """How a service is doing."""

        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        ENDING = "ending", _("Ends at renewal")

    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="services",
        verbose_name=_("customer"),
    )
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="services", verbose_name=_("product")
    )
    label = models.CharField(_("label"), max_length=120)
    price = models.DecimalField(_("price"), max_digits=9, decimal_places=2)
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE
    )
    started_on = models.DateField(_("running since"), default=timezone.localdate)
    renews_on = models.DateField(_("renews on"))

    class Meta:
        ordering = ["renews_on", "label"]
        verbose_name = _("service")
        verbose_name_plural = _("services")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "label"], name="panel_service_label_once_per_customer"
            ),
            models.CheckConstraint(
                condition=models.Q(price__gte=0), name="panel_service_price_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended", "ending"]),
                name="panel_service_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        """Return the path of the service's page."""
        return reverse("service", args=[self.pk])


class Order(models.Model):
    """One product, ordered once or several times over."""

    class Status(models.TextChoices):
        """How far an order has come."""

        PENDING = "pending", _("Awaiting payment")
        PAID = "paid", _("Paid")
        DELIVERED = "delivered", _("Delivered")
        CANCELLED = "cancelled", _("Cancelled")

    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="orders",
        verbose_name=_("customer"),
    )
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="orders", verbose_name=_("product")
    )
    quantity = models.PositiveSmallIntegerField(
        _("quantity"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_QUANTITY)],
    )
    unit_price = models.DecimalField(
        _("unit price"),
        max_digits=9,
        decimal_places=2,
        help_text=_("As it was on the day of the order."),
    )
    note = models.TextField(_("note"), max_length=MAX_NOTE_LENGTH, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.PENDING
    )
    created_at = models.DateTimeField(_("placed"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("last change"), default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        indexes = [
            models.Index(fields=["customer", "-created_at"], name="panel_order_by_customer"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quantity__gte=1, quantity__lte=MAX_QUANTITY),
                name="panel_order_quantity_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(unit_price__gte=0), name="panel_order_price_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "paid", "delivered", "cancelled"]),
                name="panel_order_status_known",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    def get_absolute_url(self) -> str:
        """Return the path of the order's page."""
        return reverse("order", args=[self.pk])

    @property
    def reference(self) -> str:
        """The number a customer quotes, such as ``NL-00042``."""
        return f"NL-{self.pk:05d}"

    @property
    def total(self) -> Decimal:
        """What the whole order costs, in euros."""
        return self.unit_price * self.quantity


class CustomerProfile(models.Model):
    """What we know of a customer beyond Django's own user."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="customer_profile",
        verbose_name=_("customer"),
    )
    language = models.CharField(
        _("language"),
        max_length=10,
        blank=True,
        choices=settings.LANGUAGES,
        help_text=_("Empty: as the browser asks for."),
    )

    class Meta:
        verbose_name = _("customer profile")
        verbose_name_plural = _("customer profiles")

    def __str__(self) -> str:
        return self.user.get_username()


class ApiToken(models.Model):
    """A customer's key to the API.

    Only a digest is kept, so that a copy of the database opens nothing. SHA-256 without salt is
    enough because the token is long and random, unlike a password.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="api_token",
        verbose_name=_("customer"),
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return self.user.get_username()

    @staticmethod
    def digest_of(token: str) -> str:
        """Return what is stored for ``token``: its SHA-256 in hexadecimal."""
        # A header may carry any character; one that UTF-8 cannot hold must miss, not fail.
        return hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest()

    @classmethod
    def issue(cls, user: User, token: str | None = None) -> str:
        """Give ``user`` a new token, which ends the old one, and return it: it is not kept."""
        token = token or secrets.token_urlsafe(32)
        values = {"digest": cls.digest_of(token), "created_at": timezone.now()}
        cls.objects.update_or_create(user=user, defaults=values)
        return token

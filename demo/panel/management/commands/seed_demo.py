"""Fill the demo with accounts, products, services, orders and some weeks of traffic."""

import os
from argparse import ArgumentParser
from datetime import date, timedelta
from decimal import Decimal

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from backsoon.models import SystemSetting
from demo.panel import traffic
from demo.panel.models import ApiToken, CustomerProfile, Order, Product, Service

DEFAULT_PASSWORD = "backsoon-demo"  # noqa: S105 - printed at each start, for a site with no secrets
DEFAULT_TOKEN = "northlight-demo-token"  # noqa: S105 - the same
ADMINISTRATORS = "Administrators"

# username: first name, last name, is_staff, is_superuser
ACCOUNTS = {
    "admin": ("Ada", "Lindqvist", True, True),
    "support": ("Sam", "Okafor", True, False),
    "client": ("Claire", "Martin", False, False),
}

# slug, name, kind, period, price, summary in English, summary in French
PRODUCTS = (
    (
        "polar-s",
        "Polar S",
        "vps",
        "month",
        "6.90",
        "1 vCPU, 2 GB of memory, 40 GB of disk. For a first site.",
        "1 vCPU, 2 Go de mémoire, 40 Go de disque. Pour un premier site.",
    ),
    (
        "polar-m",
        "Polar M",
        "vps",
        "month",
        "14.90",
        "2 vCPU, 4 GB of memory, 80 GB of disk. For a shop or a blog that is read.",
        "2 vCPU, 4 Go de mémoire, 80 Go de disque. Pour une boutique ou un blog suivi.",
    ),
    (
        "polar-l",
        "Polar L",
        "vps",
        "month",
        "34.00",
        "4 vCPU, 16 GB of memory, 240 GB of disk. For busy days.",
        "4 vCPU, 16 Go de mémoire, 240 Go de disque. Pour les jours d’affluence.",
    ),
    (
        "domain-com",
        ".com",
        "domain",
        "year",
        "12.50",
        "Registered in your name, with DNS and renewal notices.",
        "Enregistré à votre nom, avec DNS et rappels de renouvellement.",
    ),
    (
        "domain-fr",
        ".fr",
        "domain",
        "year",
        "8.40",
        "For people and companies in the European Union.",
        "Pour les personnes et les entreprises de l’Union européenne.",
    ),
    (
        "aurora-solo",
        "Aurora Solo",
        "mail",
        "month",
        "2.50",
        "One mailbox of 20 GB on your own domain.",
        "Une boîte de 20 Go sur votre propre domaine.",
    ),
    (
        "aurora-team",
        "Aurora Team",
        "mail",
        "month",
        "9.00",
        "Ten mailboxes of 20 GB, shared calendars and address books.",
        "Dix boîtes de 20 Go, agendas et carnets d’adresses partagés.",
    ),
)

# label, product, status, days since the start, days to the renewal
SERVICES = (
    ("web-01.martin-atelier.example", "polar-m", "active", 412, 9),
    ("staging.martin-atelier.example", "polar-s", "suspended", 120, 4),
    ("martin-atelier.example", "domain-com", "active", 700, 133),
    ("atelier-martin.example", "domain-fr", "ending", 655, 48),
    ("claire@martin-atelier.example", "aurora-solo", "active", 390, 17),
)

# product, quantity, status, days ago, note
ORDERS = (
    ("polar-m", 1, "pending", 0, "Same image as web-01, please."),
    ("aurora-team", 1, "paid", 1, ""),
    ("domain-com", 2, "pending", 3, "atelier-claire and martin-ceramics"),
    ("polar-s", 3, "delivered", 12, "Workshop machines, can go at the end of the month."),
    ("domain-fr", 1, "cancelled", 19, "Ordered by mistake."),
    ("aurora-solo", 4, "delivered", 33, ""),
    ("polar-l", 1, "cancelled", 40, "Too large after all."),
    ("domain-com", 1, "delivered", 61, ""),
    ("polar-s", 1, "delivered", 120, "staging"),
    ("polar-m", 1, "paid", 124, "Please wait for my mail before you set it up."),
    ("aurora-solo", 1, "delivered", 390, ""),
    ("polar-m", 1, "delivered", 412, "The first one."),
)

# key, value, setting_type, label, help text
GENERAL_SETTINGS = (
    (
        "site_name",
        "Northlight Hosting",
        "text",
        "Site name",
        "Stands at the top and in the footer of each page.",
    ),
    (
        "support_email",
        "support@northlight.example",
        "email",
        "Support address",
        "Where customers write to.",
    ),
)


class Command(BaseCommand):
    """Make what is missing; leave alone what is there."""

    help = (
        "Fill the demo with accounts, products, services and orders. Can be run again: it makes "
        "what is missing and changes nothing that is there. The accounts' password comes from "
        "the environment variable DEMO_PASSWORD, the API token from DEMO_TOKEN."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--reset-passwords",
            action="store_true",
            help="give the demo accounts and the API token their values back, if they were changed",
        )

    @transaction.atomic
    def handle(self, *, reset_passwords: bool, **options: object) -> None:
        """Fill the database and say what there is to log in with."""
        password = os.environ.get("DEMO_PASSWORD") or DEFAULT_PASSWORD
        token = os.environ.get("DEMO_TOKEN") or DEFAULT_TOKEN
        users = {name: _account(name, password, reset_passwords) for name in ACCOUNTS}
        users["support"].groups.add(self._administrators())
        products = {row[0]: _product(position, *row) for position, row in enumerate(PRODUCTS)}
        _services(users["client"], products)
        _orders(users["client"], products)
        _token(users["client"], token, reset_passwords)
        _general_settings()
        traffic.seed()
        self._report(users, password, token)

    def _administrators(self) -> Group:
        """The group that Backsoon makes with its defaults."""
        if not Group.objects.filter(name=ADMINISTRATORS).exists():
            call_command("init_default_settings", stdout=self.stdout)
        return Group.objects.get(name=ADMINISTRATORS)

    def _report(self, users: dict[str, User], password: str, token: str) -> None:
        roles = {
            "admin": "superuser",
            "support": f"staff, in the group {ADMINISTRATORS}",
            "client": "customer",
        }
        self.stdout.write(self.style.MIGRATE_HEADING("Accounts of the demo"))
        for name, user in users.items():
            known = user.check_password(password)
            shown = password if known else "(changed; --reset-passwords brings it back)"
            self.stdout.write(f"  {name:<8} {shown}  {roles[name]}")
        known = ApiToken.objects.filter(
            user=users["client"], digest=ApiToken.digest_of(token)
        ).exists()
        shown = token if known else "(changed; --reset-passwords brings it back)"
        self.stdout.write(f"  API token of client: {shown}")
        self.stdout.write(
            "Pages: / · /services/ · /orders/ · /profile/ · /api/orders/ · /healthz · /admin/"
        )


def _account(name: str, password: str, reset: bool) -> User:
    first_name, last_name, is_staff, is_superuser = ACCOUNTS[name]
    user, created = User.objects.get_or_create(
        username=name,
        defaults={
            "first_name": first_name,
            "last_name": last_name,
            "email": f"{name}@northlight.example",
            "is_staff": is_staff,
            "is_superuser": is_superuser,
        },
    )
    if created or (reset and not user.check_password(password)):
        user.set_password(password)
        user.save(update_fields=["password"])
    CustomerProfile.objects.get_or_create(user=user)
    return user


def _product(
    position: int,
    slug: str,
    name: str,
    kind: str,
    period: str,
    price: str,
    summary: str,
    summary_fr: str,
) -> Product:
    values = {
        "name": name,
        "kind": kind,
        "period": period,
        "price": Decimal(price),
        "summary": summary,
        "summary_fr": summary_fr,
        "position": position,
    }
    return Product.objects.get_or_create(slug=slug, defaults=values)[0]


def _services(client: User, products: dict[str, Product]) -> None:
    if client.services.exists():
        return
    today: date = timezone.localdate()
    Service.objects.bulk_create(
        Service(
            customer=client,
            label=label,
            product=products[slug],
            price=products[slug].price,
            status=status,
            started_on=today - timedelta(days=age),
            renews_on=today + timedelta(days=due),
        )
        for label, slug, status, age, due in SERVICES
    )


def _orders(client: User, products: dict[str, Product]) -> None:
    if client.orders.exists():
        return
    now = timezone.now()
    Order.objects.bulk_create(
        Order(
            customer=client,
            product=products[slug],
            quantity=quantity,
            unit_price=products[slug].price,
            note=note,
            status=status,
            created_at=now - timedelta(days=age, hours=2),
            updated_at=now - timedelta(days=age, hours=1),
        )
        # Oldest first, so that the numbers grow with time.
        for slug, quantity, status, age, note in reversed(ORDERS)
    )


def _token(client: User, token: str, reset: bool) -> None:
    if reset or not ApiToken.objects.filter(user=client).exists():
        ApiToken.issue(client, token)


def _general_settings() -> None:
    for position, (key, value, setting_type, label, help_text) in enumerate(GENERAL_SETTINGS):
        values = {
            "value": value,
            "setting_type": setting_type,
            "group": "general",
            "label": label,
            "help_text": help_text,
            "order": position,
        }
        SystemSetting.objects.get_or_create(key=key, defaults=values)

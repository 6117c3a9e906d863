"""The command that fills the demo."""

import io
import os
from unittest import mock

from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import TestCase, override_settings

from demo.panel.models import ApiToken, Order, Product, Service


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class SeedTests(TestCase):
    def seed(self, password: str = "first", **options: object) -> str:
        """Run the command and return what it says."""
        said = io.StringIO()
        with mock.patch.dict(os.environ, {"DEMO_PASSWORD": password, "DEMO_TOKEN": "token-1"}):
            call_command("seed_demo", stdout=said, **options)
        return said.getvalue()

    def password_of(self, name: str) -> str:
        """Return the stored hash."""
        return User.objects.get(username=name).password

    def test_the_accounts_have_their_roles(self) -> None:
        self.seed()
        roles = {user.username: (user.is_staff, user.is_superuser) for user in User.objects.all()}
        assert roles == {"admin": (True, True), "support": (True, False), "client": (False, False)}
        group = Group.objects.get(name="Administrators")
        assert [user.username for user in group.user_set.all()] == ["support"]

    def test_running_it_again_changes_nothing(self) -> None:
        self.seed()
        models = (User, Product, Service, Order, ApiToken)
        before = [list(model.objects.order_by("pk").values()) for model in models]
        self.seed("second")
        after = [list(model.objects.order_by("pk").values()) for model in models]
        assert after == before
        assert Order.objects.filter(customer__username="client").count() == 12

    def test_a_changed_password_stays_unless_the_reset_is_asked_for(self) -> None:
        self.seed()
        client = User.objects.get(username="client")
        client.set_password("my own")
        client.save()
        ApiToken.issue(client, "my own token")

        said = self.seed()
        assert "changed; --reset-passwords" in said
        client.refresh_from_db()
        assert client.check_password("my own")

        said = self.seed(reset_passwords=True)
        assert "changed" not in said
        client.refresh_from_db()
        assert client.check_password("first")
        assert ApiToken.objects.get(user=client).digest == ApiToken.digest_of("token-1")

    def test_it_says_the_password_and_the_token(self) -> None:
        said = self.seed("Let me in 42")
        assert said.count("Let me in 42") == 3
        assert "token-1" in said

    def test_the_groups_permissions_are_left_alone(self) -> None:
        group = Group.objects.create(name="Administrators")
        permission = Permission.objects.order_by("pk")[0]
        group.permissions.add(permission)
        self.seed()
        assert list(group.permissions.all()) == [permission]

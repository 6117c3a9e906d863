"""People and places of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User

from backsoon.testing import override_maintenance
from tests.visitors import PASSWORD, Visitor


@pytest.fixture(params=["wsgi", "asgi"])
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """A visitor; the test runs once under WSGI and once under ASGI."""
    visitor = Visitor(request.param)
    yield visitor
    visitor.leave()


@pytest.fixture
def bob(db: None) -> User:
    """An ordinary user."""
    return User.objects.create_user("bob", password=PASSWORD)


@pytest.fixture
def root(db: None) -> User:
    """A superuser."""
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def support(db: None) -> User:
    """An administrator by permission alone."""
    user = User.objects.create_user("support", password=PASSWORD)
    user.user_permissions.add(Permission.objects.get(codename="bypass_maintenance"))
    return user


@pytest.fixture
def closed() -> Iterator[None]:
    """A closed site."""
    with override_maintenance(message="Moving house"):
        yield

"""``manage.py init_default_settings``."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import override_settings

from backsoon.definitions import DEFINITIONS
from backsoon.groups import ADMINISTRATORS
from backsoon.models import SystemSetting
from tests.integration.commands import Result, failing_database, run_command

pytestmark = pytest.mark.django_db


def init(**options: object) -> Result:
    return run_command("init_default_settings", **options)


def permissions(group: Group) -> set[str]:
    return set(group.permissions.values_list("codename", flat=True))


def test_the_first_run_makes_every_setting_and_names_it() -> None:
    result = init()
    assert result.code == 0
    assert result.lines[0] == f"Made 9 settings: {', '.join(d.key for d in DEFINITIONS)}."
    assert SystemSetting.objects.count() == len(DEFINITIONS)


def test_the_first_run_makes_the_group_with_both_permissions() -> None:
    assert 'Made the group "Administrators"' in init().out
    assert permissions(Group.objects.get(name=ADMINISTRATORS)) == {
        "bypass_maintenance",
        "change_maintenance",
    }


def test_a_second_run_changes_nothing_and_says_so() -> None:
    init()
    SystemSetting.objects.filter(key="maintenance_title").update(value="Mine")
    assert init().lines == [
        "All settings were there already; none was changed.",
        'The group "Administrators" was there already and was not changed.',
    ]
    assert SystemSetting.objects.get(key="maintenance_title").value == "Mine"


def test_only_what_is_missing_is_made() -> None:
    init()
    SystemSetting.objects.filter(key="maintenance_icon").delete()
    assert init().lines[0] == "Made 1 setting: maintenance_icon."


def test_a_group_that_is_there_keeps_its_permissions_and_what_it_lacks_is_named() -> None:
    group = Group.objects.create(name=ADMINISTRATORS)
    group.permissions.set(
        Permission.objects.filter(codename__in=("view_user", "change_maintenance"))
    )
    result = init()
    assert permissions(group) == {"view_user", "change_maintenance"}
    assert result.lines[-1].startswith("It does not have backsoon.bypass_maintenance.")


def test_permissions_that_were_never_made_are_made_with_the_group() -> None:
    Permission.objects.filter(content_type__app_label="backsoon").delete()
    init()
    assert len(permissions(Group.objects.get(name=ADMINISTRATORS))) == 2


def test_a_quiet_run_says_nothing() -> None:
    assert init(verbosity=0).out == ""
    assert Group.objects.filter(name=ADMINISTRATORS).exists()


def test_without_a_database_nothing_is_made_and_the_exit_code_is_5() -> None:
    with failing_database():
        result = init()
    assert result.code == 5
    assert result.err.startswith("No setting made: the database ")


def test_before_migrating_it_says_to_migrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backsoon.store._missing_tables", lambda: {"backsoon_maintenance"})
    with failing_database("no such table: backsoon_maintenance"):
        result = init()
    assert result.code == 5
    assert result.err.endswith("Run: manage.py migrate")


@override_settings(USE_TZ=False)
def test_without_time_zones_nothing_is_made() -> None:
    result = init()
    assert result.code == 1
    assert "USE_TZ" in result.err
    assert not SystemSetting.objects.exists()

"""``manage.py maintenance doctor``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.test import override_settings

from backsoon import services
from backsoon.management.maintenance import examinations
from backsoon.models import SystemSetting
from tests.integration.commands import (
    failing_database,
    run,
    run_command,
    stop_the_clock,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    return stop_the_clock(monkeypatch)


@pytest.fixture(autouse=True)
def catalogues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the translations: French, compiled."""
    monkeypatch.setattr(examinations, "LOCALES", tmp_path)
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.po").touch()
    (folder / "django.mo").touch()
    return folder


@pytest.fixture
def healthy(noon: dt.datetime, root: User) -> None:
    """A site at which everything is in order."""
    run_command("init_default_settings")


def findings() -> dict[str, str]:
    """The levels of what is found, by id."""
    return {each["id"]: each["level"] for each in run("doctor", "--json").json["findings"]}


@pytest.mark.usefixtures("healthy")
def test_a_healthy_site_is_told_to_be_well() -> None:
    result = run("doctor")
    assert result.code == 0
    assert result.lines == ["Maintenance is off (epoch 0). The site is open.", "All is well."]
    assert run("doctor", "--json").json == {"healthy": True, "findings": []}


@pytest.mark.usefixtures("healthy")
def test_problems_make_the_exit_code_1_and_come_with_what_to_do() -> None:
    SystemSetting.objects.filter(key="maintenance_url").update(value="javascript:alert(1)")
    result = run("doctor")
    assert result.code == 1
    assert result.err == "1 problem found."
    (line,) = result.lines[1:]
    assert line.startswith("problem value: maintenance_url holds 'javascript:alert(1)', so the ")
    assert line.endswith("Correct it on the settings page.")


@pytest.mark.usefixtures("healthy")
def test_notes_alone_leave_the_exit_code_0() -> None:
    SystemSetting.objects.filter(key="maintenance_icon").delete()
    result = run("doctor")
    assert result.code == 0
    assert result.lines[1:] == [
        (
            "note missing: There is no row yet for maintenance_icon: the defaults hold. "
            "Run: manage.py init_default_settings"
        )
    ]


@pytest.mark.usefixtures("healthy")
def test_json_gives_level_id_message_and_hint() -> None:
    SystemSetting.objects.filter(key="maintenance_icon").update(value="fas fa-no-such-thing")
    answer = run("doctor", "--json").json
    assert answer == {
        "healthy": True,
        "findings": [
            {
                "level": "note",
                "id": "icon",
                "message": "The icon 'fas fa-no-such-thing' is not known, so the default icon is "
                "drawn.",
                "hint": "Choose a free icon of Font Awesome on the settings page.",
            }
        ],
    }


@pytest.mark.usefixtures("healthy")
@override_settings(MIDDLEWARE=[])
def test_the_system_checks_are_part_of_it() -> None:
    result = run("doctor")
    assert result.code == 1
    assert "problem backsoon.E006: " in result.out


@pytest.mark.usefixtures("healthy")
@override_settings(MIDDLEWARE=[], SILENCED_SYSTEM_CHECKS=["backsoon.E006"])
def test_checks_that_the_project_silences_stay_silent() -> None:
    assert findings() == {}


@pytest.mark.usefixtures("healthy")
def test_a_switch_set_by_other_hands_is_a_problem() -> None:
    SystemSetting.objects.filter(key="maintenance_mode").update(value="true")
    assert findings() == {"outside": "problem"}


@pytest.mark.usefixtures("healthy")
def test_migrations_that_are_not_applied_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    recorded = MigrationRecorder.applied_migrations

    def all_but_ours(self: MigrationRecorder) -> dict[tuple[str, str], object]:
        return {key: row for key, row in recorded(self).items() if key[0] != "backsoon"}

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", all_but_ours)
    result = run("doctor")
    assert result.code == 1
    assert "problem migrations: Migrations of Backsoon are not applied: 0001_initial" in result.out
    assert "Run: manage.py migrate" in result.out


@pytest.mark.usefixtures("healthy")
def test_a_template_that_fails_is_told_for_each_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        examinations, "template_error", lambda code: "KeyError: 'x'" if code == "fr" else ""
    )
    result = run("doctor")
    assert result.code == 1
    assert "fails in 'fr' (KeyError: 'x')" in result.out
    assert "fails in 'en'" not in result.out


@pytest.mark.usefixtures("healthy")
def test_a_real_template_that_cannot_be_rendered_is_found(tmp_path: Path, settings: object) -> None:
    from django.conf import settings as django_settings

    folder = tmp_path / "templates" / "backsoon"
    folder.mkdir(parents=True)
    (folder / "maintenance.html").write_text("{% url 'no-such-route' %}", encoding="utf-8")
    (engine,) = django_settings.TEMPLATES
    with override_settings(TEMPLATES=[{**engine, "DIRS": [tmp_path / "templates"]}]):
        result = run("doctor")
    assert result.code == 1
    assert "problem template: " in result.out
    assert "NoReverseMatch" in result.out


@pytest.mark.usefixtures("healthy")
def test_a_translation_that_is_not_compiled_is_a_problem(catalogues: Path) -> None:
    (catalogues / "django.mo").unlink()
    assert findings() == {"compiled": "problem"}


@pytest.mark.usefixtures("healthy")
def test_languages_that_backsoon_does_not_speak_are_noted(settings: object) -> None:
    with override_settings(
        LANGUAGES=[("en-gb", "English"), ("fr-ca", "French"), ("eo", "Esperanto")]
    ):
        result = run("doctor")
    assert result.code == 0
    assert "no texts of its own in eo." in result.out


@pytest.mark.usefixtures("healthy")
def test_an_end_that_has_passed_is_noted(
    noon: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.close_site(until=noon + dt.timedelta(hours=1))
    assert findings() == {}
    monkeypatch.setattr("backsoon.store.utc_now", lambda: noon + dt.timedelta(hours=2))
    assert findings() == {"late": "note"}


@pytest.mark.usefixtures("healthy")
def test_a_missing_group_is_noted() -> None:
    Group.objects.all().delete()
    assert findings() == {"group": "note"}


@pytest.mark.usefixtures("healthy")
def test_a_group_without_its_permissions_is_noted() -> None:
    Group.objects.get().permissions.clear()
    result = run("doctor")
    assert result.code == 0
    assert "does not have backsoon.bypass_maintenance and backsoon.change_maintenance" in result.out


@pytest.mark.usefixtures("healthy")
def test_a_site_without_an_administrator_is_a_problem() -> None:
    User.objects.update(is_active=False)
    assert findings() == {"nobody": "problem"}


@pytest.mark.usefixtures("healthy")
def test_somebody_with_the_permission_is_an_administrator(support: User) -> None:
    User.objects.filter(is_superuser=True).delete()
    assert findings() == {}


@pytest.mark.usefixtures("healthy")
@override_settings(AUTHENTICATION_BACKENDS=["tests.backends.Own"])
def test_permissions_of_another_backend_are_not_guessed_at() -> None:
    User.objects.update(is_active=False)
    assert findings() == {}


@pytest.mark.usefixtures("healthy")
def test_users_of_the_projects_own_kind_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.update(is_active=False)

    class OwnUser:
        _default_manager = None

    monkeypatch.setattr(examinations, "get_user_model", lambda: OwnUser)
    assert findings() == {}


@pytest.mark.usefixtures("healthy")
@override_settings(BACKSOON={"ANSWR": "redirect"})
def test_with_settings_that_cannot_be_used_the_rest_is_examined_all_the_same() -> None:
    result = run("doctor")
    assert result.code == 1
    assert result.lines[0] == "The state cannot be read while the settings cannot be used."
    assert [line.partition(":")[0] for line in result.lines[1:]] == ["problem backsoon.E002"]


@pytest.mark.usefixtures("healthy")
@override_settings(MIDDLEWARE=[])
def test_without_a_database_it_says_so_once_and_goes_on() -> None:
    with failing_database():
        result = run("doctor")
    assert result.code == 1
    assert result.lines[0] == "The state cannot be read."
    assert [line.split()[1] for line in result.lines[1:]] == ["backsoon.E006:", "database:"]
    assert "answered with an error (the disk is full)" in result.lines[2]
    assert result.lines[2].endswith("Bring the database back and look again.")


def test_before_migrating_there_is_one_problem_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, catalogues: Path
) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    from backsoon.exceptions import NotMigratedError

    def nothing() -> None:
        raise NotMigratedError

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda self: {})
    monkeypatch.setattr("backsoon.store.load", nothing)
    result = run("doctor")
    assert "problem migrations: " in result.out
    assert "problem database" not in result.out

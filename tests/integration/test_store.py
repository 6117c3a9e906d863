"""Reading what is stored, also what somebody broke by hand: never a crash, never an open door."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override
from pytest_django import DjangoAssertNumQueries, DjangoDbBlocker

from backsoon import services, store
from backsoon.core.vocabulary import Mode
from backsoon.definitions import BY_KEY, DEFINITIONS
from backsoon.exceptions import NotMigratedError, StoreUnavailableError
from backsoon.gate import gate
from backsoon.models import Maintenance, SystemSetting
from backsoon.snapshots import Entry, Mark
from tests.integration.databases import ALIAS, backsoon_in

SWITCH = "maintenance_mode"


@pytest.fixture(autouse=True)
def _forget_what_the_gate_knows() -> Iterator[None]:
    yield
    gate.forget()


@pytest.fixture
def rows(db: None) -> None:
    """The rows with their defaults."""
    services.init_defaults()


@pytest.fixture
def closed(rows: None) -> None:
    """A site that was closed in the ordinary way."""
    services.close_site(reason="new servers")


def write(key: str, **fields: Any) -> None:
    """Write into the table as somebody with an SQL shell would."""
    assert SystemSetting.objects.filter(key=key).update(**fields) == 1


@contextmanager
def constraints_off() -> Iterator[None]:
    """Let anything into the table, as a database without checks would."""
    if connection.vendor != "sqlite":
        pytest.skip("Only SQLite lets checks be switched off for a moment.")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        try:
            yield
        finally:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def write_raw(table: str, column: str, value: str) -> None:
    with constraints_off(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s", [value])


# -- Nothing stored, and everything in order --------------------------------------------------


@pytest.mark.django_db
def test_with_empty_tables_the_site_is_open_and_every_row_is_missing() -> None:
    snapshot = store.load()
    assert snapshot.policy.switch.mode is Mode.OPEN
    assert snapshot.missing == tuple(BY_KEY)
    assert snapshot.broken == ()
    assert snapshot.mark == store.read_mark() == Mark(0, 0)
    assert not snapshot.changed_outside
    assert set(snapshot.entries) == set(BY_KEY)
    assert all(entry == Entry() for entry in snapshot.entries.values())


@pytest.mark.usefixtures("rows")
def test_default_rows_read_as_defaults() -> None:
    snapshot = store.load()
    assert snapshot.missing == ()
    assert snapshot.broken == ()
    assert all(entry == Entry() for entry in snapshot.entries.values())
    assert set(snapshot.policy.notices) == {""}


@pytest.mark.usefixtures("closed")
def test_everything_is_read_by_five_queries_and_the_numbers_by_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(5):
        snapshot = store.load()
    with django_assert_num_queries(1):
        mark = store.read_mark()
    assert snapshot.mark == mark


@pytest.mark.usefixtures("rows")
def test_a_default_text_in_any_language_reads_as_the_default() -> None:
    title = BY_KEY["maintenance_title"]
    for code in ("en", "fr"):
        with override(code):
            write(title.key, value=title.default_text())
        assert store.load().entries[title.key] == Entry()


@pytest.mark.usefixtures("rows")
def test_each_language_gets_its_own_text_or_that_for_every_other() -> None:
    write("maintenance_title", value="Moving", translations={"fr": "Déménagement"})
    write("maintenance_message", value="Soon", translations={"de": "Bald"})
    write("maintenance_contact", value="ops@example.com")
    policy = store.load().policy
    told = {code: (notice.title, notice.message) for code, notice in policy.notices.items()}
    assert told == {
        "": ("Moving", "Soon"),
        "fr": ("Déménagement", "Soon"),
        "de": ("Moving", "Bald"),
    }
    assert {notice.contact for notice in policy.notices.values()} == {"ops@example.com"}


@pytest.mark.usefixtures("rows")
def test_rows_of_the_projects_own_are_read_as_they_are() -> None:
    SystemSetting.objects.create(key="banner", value="  Hi ", translations={"fr": "Salut", "x": 1})
    assert store.load().entries["banner"] == Entry("  Hi ", {"fr": "Salut"})


def test_equal_entries_have_equal_digests_whatever_the_order_of_their_languages() -> None:
    one = Entry("Hi", {"fr": "Salut", "de": "Hallo"})
    other = Entry("Hi", {"de": "Hallo", "fr": "Salut"})
    assert one.digest() == other.digest()
    different = [Entry(), Entry("Hi"), Entry("", {"fr": "Hi"}), Entry("Hi", {"fr": "Hallo"}), one]
    assert len({entry.digest() for entry in different}) == len(different)


# -- Values that somebody broke by hand -------------------------------------------------------

BROKEN = [
    ("maintenance_title", "a" * 201),
    ("maintenance_title", "two\nlines"),
    ("maintenance_message", "a" * 5_001),
    ("maintenance_url", "javascript:alert(1)"),
    ("maintenance_url", "//evil.example/"),
    ("maintenance_url", "/status/"),
    ("maintenance_image_url", "//evil.example/x.png"),
    ("maintenance_image_url", "data:image/png;base64,AAAA"),
    ("maintenance_icon", "fas\nfa-tools"),
    ("maintenance_contact", "call us"),
    ("maintenance_ends_at", "tomorrow"),
    ("maintenance_ends_at", "2030-01-31T14:00"),
    ("maintenance_ends_at", "9999-12-31T23:59:59-05:00"),
    ("maintenance_button_text", "a" * 81),
]


@pytest.mark.parametrize(("key", "value"), BROKEN)
@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.usefixtures("rows")
def test_for_a_broken_value_the_default_stands_in_and_the_reading_names_it(
    key: str, value: str, is_closed: bool
) -> None:
    if is_closed:
        services.close_site()
    write(key, value=value)
    snapshot = store.load()
    assert snapshot.entries[key] == Entry()
    assert snapshot.policy.ends_at is None
    (broken,) = snapshot.broken
    assert (broken.key, broken.value) == (key, value[:100])
    assert broken.message
    assert (snapshot.policy.switch.mode is Mode.CLOSED) is is_closed


@pytest.mark.parametrize("value", ["maybe", "", "1", "on", "truefalse", "null"])
@pytest.mark.parametrize("is_closed", [False, True])
@pytest.mark.usefixtures("rows")
def test_a_broken_switch_row_leaves_the_site_as_it_is(value: str, is_closed: bool) -> None:
    if is_closed:
        services.close_site()
    write(SWITCH, value=value)
    snapshot = store.load()
    assert (snapshot.policy.switch.mode is Mode.CLOSED) is is_closed
    assert snapshot.entries[SWITCH] == (Entry("true") if is_closed else Entry())
    assert [broken.key for broken in snapshot.broken] == [SWITCH]
    assert not snapshot.changed_outside


@pytest.mark.usefixtures("closed")
def test_deleting_the_switch_row_opens_nothing() -> None:
    SystemSetting.objects.filter(key=SWITCH).delete()
    snapshot = store.load()
    assert snapshot.policy.switch.mode is Mode.CLOSED
    assert snapshot.entries[SWITCH] == Entry("true")
    assert snapshot.missing == (SWITCH,)
    assert not snapshot.changed_outside


@pytest.mark.usefixtures("closed")
def test_deleting_every_setting_opens_nothing() -> None:
    SystemSetting.objects.all().delete()
    assert store.load().policy.switch.mode is Mode.CLOSED


@pytest.mark.usefixtures("closed")
def test_deleting_the_control_row_opens_nothing() -> None:
    Maintenance.objects.all().delete()
    snapshot = store.load()
    assert snapshot.policy.switch.mode is Mode.CLOSED
    assert snapshot.changed_outside


@pytest.mark.parametrize("switch_row", ["there", "missing", "broken"])
@pytest.mark.usefixtures("closed")
def test_a_mode_that_nobody_knows_counts_as_closed(switch_row: str) -> None:
    if switch_row == "missing":
        SystemSetting.objects.filter(key=SWITCH).delete()
    elif switch_row == "broken":
        write(SWITCH, value="maybe")
    write_raw("backsoon_maintenance", "mode", "ajar")
    snapshot = store.load()
    assert snapshot.policy.switch.mode is Mode.CLOSED
    assert ("mode", "ajar") in [(broken.key, broken.value) for broken in snapshot.broken]


@pytest.mark.usefixtures("closed")
def test_the_site_can_be_opened_although_its_mode_is_broken() -> None:
    write_raw("backsoon_maintenance", "mode", "ajar")
    assert services.open_site().state.is_open
    assert store.load().broken == ()


@pytest.mark.parametrize("translations", ['["fr"]', "5", "null", '"fr"', "true", "{not json"])
@pytest.mark.usefixtures("rows")
def test_translations_that_are_no_object_are_left_out_and_named(translations: str) -> None:
    write("maintenance_title", value="Moving")
    write_raw("backsoon_systemsetting", "translations", translations)
    snapshot = store.load()
    assert snapshot.entries["maintenance_title"] == Entry("Moving")
    translatable = {definition.key for definition in DEFINITIONS if definition.translatable}
    assert {broken.key for broken in snapshot.broken} == translatable


@pytest.mark.usefixtures("rows")
def test_a_broken_translation_leaves_the_others_alone() -> None:
    write(
        "maintenance_title",
        value="Moving",
        translations={"fr": "a" * 201, "de": "Umzug", "it": 5, "es": "", "nl": ["x"]},
    )
    snapshot = store.load()
    assert snapshot.entries["maintenance_title"] == Entry("Moving", {"de": "Umzug"})
    assert [broken.key for broken in snapshot.broken] == ["maintenance_title"]


@pytest.mark.usefixtures("rows")
def test_translations_of_what_is_not_translated_are_ignored() -> None:
    write("maintenance_url", value="https://example.com/", translations={"fr": "javascript:x"})
    snapshot = store.load()
    assert snapshot.entries["maintenance_url"] == Entry("https://example.com/")
    assert snapshot.broken == ()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("backsoon_maintenance", "generation", "many"),
        ("backsoon_maintenance", "epoch", "last"),
        ("backsoon_maintenance", "revision", "next"),
    ],
)
@pytest.mark.usefixtures("closed")
def test_what_cannot_even_be_read_counts_as_a_store_that_is_away(
    table: str, column: str, value: str
) -> None:
    """The gate then keeps what it knows, or stays closed when it knows nothing."""
    write_raw(table, column, value)
    with pytest.raises(StoreUnavailableError) as caught:
        store.load()
    assert not isinstance(caught.value, NotMigratedError)


@pytest.mark.usefixtures("closed")
def test_columns_that_are_not_needed_may_hold_anything() -> None:
    write_raw("backsoon_maintenance", "since", "yesterday")
    write_raw("backsoon_systemsetting", "updated_at", "yesterday")
    write_raw("backsoon_systemsetting", "updated_by_id", "nobody")
    write_raw("backsoon_systemsetting", "setting_type", "colour")
    snapshot = store.load()
    assert snapshot.policy.switch.mode is Mode.CLOSED
    assert snapshot.broken == ()


# -- Changes by other hands -------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "True", " TRUE "])
@pytest.mark.usefixtures("rows")
def test_a_switch_row_set_by_hand_closes(value: str) -> None:
    write(SWITCH, value=value)
    snapshot = store.load()
    assert snapshot.changed_outside
    assert snapshot.policy.switch.mode is Mode.CLOSED


@pytest.mark.parametrize("value", ["false", "False", " FALSE "])
@pytest.mark.usefixtures("closed")
def test_a_switch_row_reset_by_hand_opens(value: str) -> None:
    write(SWITCH, value=value)
    snapshot = store.load()
    assert snapshot.changed_outside
    assert snapshot.policy.switch.mode is Mode.OPEN


@pytest.mark.django_db
def test_a_switch_row_made_by_hand_in_an_empty_table_closes() -> None:
    SystemSetting.objects.create(key=SWITCH, value="true")
    assert store.load().policy.switch.mode is Mode.CLOSED


@pytest.mark.parametrize("mode", [Mode.CLOSED, Mode.READ_ONLY])
@pytest.mark.usefixtures("rows")
def test_a_change_through_the_services_is_no_outside_change(mode: Mode) -> None:
    services.close_site(mode=mode)
    assert not store.load().changed_outside
    services.open_site()
    assert not store.load().changed_outside


# -- Writing ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_first_swap_makes_the_control_row() -> None:
    assert store.swap_control(Mark(), mode="closed")
    assert store.read_mark() == Mark(1, 1)


@pytest.mark.django_db
def test_a_swap_on_an_old_number_changes_nothing() -> None:
    assert store.swap_control(Mark(), mode="closed")
    assert not store.swap_control(Mark(), mode="open")
    assert Maintenance.objects.get().mode == "closed"
    assert store.read_mark() == Mark(1, 1)


@pytest.mark.django_db
def test_a_swap_on_a_number_that_was_lost_with_the_row_changes_nothing() -> None:
    assert not store.swap_control(Mark(epoch=7, revision=9), mode="open")
    assert store.read_mark() == Mark(0, 0)


@pytest.mark.django_db
def test_counting_a_revision_leaves_the_epoch_alone() -> None:
    store.bump_revision()
    store.bump_revision()
    assert store.read_mark() == Mark(0, 2)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.key)
@pytest.mark.django_db
def test_saving_a_default_makes_a_row_that_reads_as_the_default(definition: Any) -> None:
    store.save_entry(definition, Entry(), None)
    row = SystemSetting.objects.get(key=definition.key)
    assert row.value == definition.default_text()
    assert (row.setting_type, row.group, row.order) == (
        definition.setting_type,
        definition.group,
        definition.order,
    )
    assert store.load().entries[definition.key] == Entry()


@pytest.mark.usefixtures("rows")
def test_saving_replaces_every_translation() -> None:
    title = BY_KEY["maintenance_title"]
    store.save_entry(title, Entry("Moving", {"fr": "Déménagement", "de": ""}), None)
    assert SystemSetting.objects.get(key=title.key).translations == {"fr": "Déménagement"}
    store.save_entry(title, Entry("Moving"), None)
    assert SystemSetting.objects.get(key=title.key).translations == {}


# -- A database that is not there -------------------------------------------------------------


@pytest.fixture
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Access to databases of the test's own making."""
    with django_db_blocker.unblock():
        yield


@pytest.mark.usefixtures("unblocked")
def test_a_database_without_our_tables_was_not_migrated(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "empty.db", tables=False):
        for read in (store.load, store.read_mark, services.open_site, services.init_defaults):
            with pytest.raises(NotMigratedError, match=r"manage\.py migrate"):
                read()


@pytest.mark.usefixtures("unblocked")
def test_a_database_with_another_shape_is_away_and_not_unmigrated(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "older.db"):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE backsoon_maintenance RENAME COLUMN generation TO gen")
        with pytest.raises(StoreUnavailableError) as caught:
            store.load()
        assert not isinstance(caught.value, NotMigratedError)


@pytest.mark.usefixtures("unblocked")
def test_a_database_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "no" / "such" / "folder.db", tables=False):
        for read in (store.load, store.read_mark, services.close_site):
            with pytest.raises(StoreUnavailableError) as caught:
                read()
            assert not isinstance(caught.value, NotMigratedError)
            assert str(caught.value)


@pytest.mark.usefixtures("unblocked")
def test_a_file_that_is_no_database_is_away(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear database, " * 100)
    with backsoon_in(path, tables=False), pytest.raises(StoreUnavailableError):
        store.load()


@pytest.mark.usefixtures("unblocked")
def test_a_locked_database_is_away_for_readers_and_writers(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "locked.db", timeout=0.01):
        services.close_site()
        locker = connections.create_connection(ALIAS)
        with locker.cursor() as cursor:
            cursor.execute("BEGIN EXCLUSIVE")
            for touch in (store.load, store.read_mark, services.open_site):
                with pytest.raises(StoreUnavailableError, match="locked") as caught:
                    touch()
                assert not isinstance(caught.value, NotMigratedError)
            cursor.execute("ROLLBACK")
        locker.close()
        assert store.load().policy.switch.mode is Mode.CLOSED


@pytest.mark.usefixtures("unblocked")
def test_the_rows_live_in_the_database_that_the_settings_name(tmp_path: Path) -> None:
    with backsoon_in(tmp_path / "own.db"):
        services.close_site(message="Moving")
        assert SystemSetting.objects.using(ALIAS).get(key=SWITCH).value == "true"
        assert store.load().policy.switch.mode is Mode.CLOSED


@pytest.mark.usefixtures("unblocked")
def test_short_timeouts_hold_for_the_thread_that_asks_and_for_no_other(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def ask() -> None:
        store.use_short_timeouts()
        seen.update(connections[ALIAS].settings_dict["OPTIONS"])
        seen["mark"] = store.read_mark()
        connections.close_all()

    with backsoon_in(tmp_path / "own.db", timeout=7):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(10)
        assert seen == {"timeout": store.WATCHER_TIMEOUT_MS / 1000, "mark": Mark()}
        assert connections[ALIAS].settings_dict["OPTIONS"] == {"timeout": 7}


@pytest.mark.parametrize(
    ("vendor", "given", "expected"),
    [
        (
            "postgresql",
            {"options": "-c search_path=app", "pool": True},
            {"connect_timeout": 2, "options": "-c search_path=app", "tcp_user_timeout": 2000},
        ),
        ("postgresql", {}, {"connect_timeout": 2, "tcp_user_timeout": 2000}),
        ("mysql", {"charset": "x"}, {"charset": "x", "connect_timeout": 2, "read_timeout": 1}),
        ("oracle", {"threaded": True}, {"threaded": True}),
    ],
)
def test_every_kind_of_database_is_asked_for_short_timeouts_in_its_own_words(
    vendor: str,
    given: dict[str, Any],
    expected: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = SimpleNamespace(vendor=vendor, settings_dict={"OPTIONS": dict(given)})
    shared = made.settings_dict
    monkeypatch.setattr(connections, "create_connection", lambda alias: made)
    # Connections belong to threads: that of the test goes with the thread.
    thread = threading.Thread(target=store.use_short_timeouts)
    thread.start()
    thread.join(10)
    assert made.settings_dict["OPTIONS"] == expected
    assert shared == {"OPTIONS": given}, "other threads share these settings"


@pytest.mark.usefixtures("unblocked")
def test_a_failed_transaction_is_not_asked_for_its_tables(tmp_path: Path) -> None:
    """On PostgreSQL the question itself would fail; whoever opened it sees the true error."""
    with backsoon_in(tmp_path / "empty.db", tables=False), transaction.atomic(using=ALIAS):
        with pytest.raises(StoreUnavailableError) as caught:
            store.load()
        assert not isinstance(caught.value, NotMigratedError)


@pytest.mark.django_db
def test_what_is_long_past_costs_a_reading_nothing() -> None:
    """However many closures there were, an index leads to those that still matter."""
    if connection.vendor != "sqlite":
        pytest.skip("Each database explains itself in its own words.")
    with CaptureQueriesContext(connection) as reading:
        store.load()
    asked = [query["sql"] for query in reading if 'FROM "backsoon_window"' in query["sql"]]
    assert len(asked) == 2
    for sql in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            steps = [str(row[3]) for row in cursor.fetchall()]
        assert not [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step], steps


@pytest.mark.django_db
def test_a_database_that_the_settings_do_not_have_is_refused_when_they_are_read() -> None:
    wrong = override_settings(BACKSOON={"DATABASE": "nowhere"})
    with wrong, pytest.raises(ImproperlyConfigured, match="nowhere"):
        store.load()

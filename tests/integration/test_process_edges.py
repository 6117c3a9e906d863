"""Threads, connections and answers where something unlikely comes in between."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.test import override_settings
from django.urls import clear_script_prefix, set_script_prefix

from backsoon import environment, keeper, services, store
from backsoon import gate as gate_module
from backsoon.core.vocabulary import Mode, Notice, Policy, State, Switch, Why
from backsoon.exceptions import StoreUnavailableError
from backsoon.gate import Gate, View, gate
from backsoon.http import pages, passes, routes
from backsoon.models import Change, SystemSetting
from backsoon.snapshots import Mark, Snapshot
from backsoon.testing import give_pass, override_maintenance
from backsoon.watcher import Watcher
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db

EDGES = override_settings(ROOT_URLCONF="tests.urls_edges")
PATIENCE = 10.0
"""Seconds after which something that should have happened has not."""


# -- Prepared pages ----------------------------------------------------------------------------


def closed_with(message: str, revision: int) -> View:
    policy = Policy(
        switch=Switch(mode=Mode.CLOSED), notices=MappingProxyType({"": Notice(message=message)})
    )
    snapshot = Snapshot(policy=policy, mark=Mark(1, revision))
    return View(snapshot, State(Mode.CLOSED, Why.SWITCH), float("inf"))


def test_a_page_of_an_older_state_never_lies_among_the_newer_ones() -> None:
    old, new = closed_with("Old words", 1), closed_with("New words", 2)
    late: list[Callable[[], object]] = []

    class BusyShelf(pages.Shelf):
        """A shelf at which somebody turns up as soon as anything on it was moved."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if late:
                late.pop()()

    shelf = BusyShelf()
    shelf.page(old, "en")
    late.append(lambda: shelf.page(old, "en"))  # a request that came in before the change
    shelf.page(new, "en", login_refused=True)

    assert not late
    assert b"New words" in shelf.page(new, "en").body
    assert b"Old words" in shelf.page(old, "en").body


# -- The watcher -------------------------------------------------------------------------------


def test_the_watcher_outlives_an_interval_that_fails() -> None:
    ticked = threading.Semaphore(0)

    def interval() -> float:
        raise RuntimeError("the settings are broken")

    watcher = Watcher(lambda: ticked.release(), interval)
    watcher.start()
    try:
        assert ticked.acquire(timeout=PATIENCE)
        watcher.wake()
        assert ticked.acquire(timeout=PATIENCE)
    finally:
        watcher.stop()


def test_the_watcher_tries_again_when_its_start_fails() -> None:
    started, ticked = threading.Semaphore(0), threading.Event()
    failures = [RuntimeError("no connection to be had")]

    def start() -> None:
        started.release()
        if failures:
            raise failures.pop()

    watcher = Watcher(ticked.set, lambda: 3600.0, on_start=start)
    watcher.start()
    try:
        assert started.acquire(timeout=PATIENCE)
        watcher.wake()
        assert started.acquire(timeout=PATIENCE)
        assert ticked.wait(PATIENCE)
    finally:
        watcher.stop()


@pytest.mark.django_db(transaction=True)
def test_a_watcher_that_hangs_does_not_hold_up_whoever_switches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "PATIENCE_SECONDS", 0.01)
    gate.view()
    hangs, network_is_back = threading.Event(), threading.Event()
    load = store.load

    def load_or_hang() -> Snapshot:
        if threading.current_thread() is not watcher:
            return load()
        hangs.set()
        network_is_back.wait(PATIENCE)
        raise StoreUnavailableError("the network was gone")

    monkeypatch.setattr(store, "load", load_or_hang)
    watcher = threading.Thread(target=gate.keeper.look)
    watcher.start()
    try:
        assert hangs.wait(PATIENCE)
        services.close_site()
        assert watcher.is_alive()  # it hangs still: nobody waited for it
        assert not services.current_state().is_open
    finally:
        network_is_back.set()
        watcher.join()


def test_the_first_reading_is_kept_when_it_comes_as_the_wait_for_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LateGate(Gate):
        """A gate whose reading arrives between a look at what is known and the next step."""

        reading: threading.Thread | None = None
        expected = False

        @property
        def _view(self) -> View | None:
            known: View | None = self.__dict__.get("known")
            if self.expected:
                self.expected = False
                snapshot = Snapshot(mark=Mark(7, 7))
                self.reading = threading.Thread(target=self.install, args=(snapshot,))
                self.reading.start()
                if not self._lock.locked():  # else it has to wait for its turn
                    self.reading.join(PATIENCE)
            return known

        @_view.setter
        def _view(self, view: View | None) -> None:
            self.__dict__["known"] = view

    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    monkeypatch.setattr(gate_module, "FIRST_READING_SECONDS", 0.0)
    late = LateGate()
    monkeypatch.setattr(late.watcher, "start", lambda: setattr(late, "expected", True))
    late.view()
    assert late.reading is not None
    late.reading.join(PATIENCE)
    assert late.view().snapshot.mark == Mark(7, 7)


# -- The watcher's connection ------------------------------------------------------------------


@contextmanager
def backsoon_at(alias: str, **changes: Any) -> Iterator[None]:
    """Keep Backsoon's rows in a database like the default one, with *changes*."""
    connections.settings[alias] = {**connections.settings["default"], **changes}
    try:
        with override_settings(BACKSOON={"DATABASE": alias}):
            yield
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def test_options_that_cannot_be_copied_are_handed_on_as_they_are() -> None:
    context = ssl.create_default_context()
    options = {"ssl": context}
    with backsoon_at("tls", OPTIONS=options):
        store.use_short_timeouts()
        own = connections["tls"].settings_dict["OPTIONS"]
        assert own["ssl"] is context
        assert own["timeout"] == 0.25
    assert options == {"ssl": context}


def test_the_watchers_connection_asks_for_nothing_that_a_pooler_refuses() -> None:
    """PgBouncer refuses the start-up parameter `options` unless it is told to ignore it."""
    names = startup_packet({})
    assert b"user" in names
    assert b"options" not in names


def test_options_that_the_project_gives_itself_stay_in_the_watchers_connection() -> None:
    packet = startup_packet({"options": "-c search_path=other"})
    assert packet[packet.index(b"options") + 1] == b"-c search_path=other"


def startup_packet(options: dict[str, Any]) -> list[bytes]:
    """Names and values that the watcher's connection to PostgreSQL begins with."""
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(PATIENCE)
        packet = pool.submit(_refuse_as_a_pooler, server)
        with backsoon_at(
            "pooled",
            ENGINE="django.db.backends.postgresql",
            NAME="x",
            USER="x",
            PASSWORD="x",
            HOST="127.0.0.1",
            PORT=str(server.getsockname()[1]),
            OPTIONS=options,
        ):
            store.use_short_timeouts()
            own = connections["pooled"]
            with pytest.raises(OperationalError, match="unsupported"), own.wrap_database_errors:
                own.connect()
        return packet.result(PATIENCE)


def _refuse_as_a_pooler(server: socket.socket) -> list[bytes]:
    """Take one connection, read how it begins, and refuse it.

    Source: PostgreSQL, Frontend/Backend Protocol, "Message Formats".
    """
    wants_encryption = (80877103, 80877104)  # SSLRequest, GSSENCRequest
    connection, _address = server.accept()
    with connection, connection.makefile("rb") as stream:
        while True:
            (length,) = struct.unpack("!i", stream.read(4))
            body = stream.read(length - 4)
            if struct.unpack("!i", body[:4])[0] not in wants_encryption:
                break
            connection.sendall(b"N")
        error = b"SFATAL\0C08P01\0Munsupported startup parameter\0\0"
        connection.sendall(b"E" + struct.pack("!i", len(error) + 4) + error)
    return body[4:].split(b"\0")


# -- Answers -----------------------------------------------------------------------------------


@EDGES
def test_a_pass_on_an_answer_that_shared_caches_keep_is_nobody_elses(
    visitor: Visitor, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.login(root)
    older = time.time() - settings.SESSION_COOKIE_AGE * 3 / 4
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: older)
        give_pass(visitor.client, root)
    with override_maintenance():
        response = visitor.get("/cached/")
    assert passes.COOKIE in response.cookies  # the old one was due
    assert "Cookie" in response["Vary"]


@EDGES
def test_the_prefix_of_static_files_does_not_open_a_view_that_catches_everything(
    visitor: Visitor,
) -> None:
    assert b"the application" in visitor.get("/static/some/app/").content
    with override_maintenance():
        response = visitor.get("/static/some/app/")
        assert response.status_code in (302, 503)
        assert b"the application" not in response.content


@EDGES
def test_read_only_leaves_ordinary_visitors_their_304(visitor: Visitor) -> None:
    first, ours, *rest = settings.MIDDLEWARE
    conditional = "django.middleware.http.ConditionalGetMiddleware"
    with (
        override_settings(MIDDLEWARE=[first, ours, conditional, *rest]),
        override_maintenance("read_only"),
    ):
        tag = visitor.get("/plain/")["ETag"]
        assert visitor.get("/plain/", headers={"if-none-match": tag}).status_code == 304


@override_settings(
    MIDDLEWARE=[
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
def test_the_toggle_answers_in_json_where_every_page_requires_a_login(visitor: Visitor) -> None:
    assert visitor.get("/account/").status_code == 302  # to the login page, by Django
    response = visitor.post("/admin/settings/toggle-maintenance/")
    assert response.status_code == 403
    assert response.json()["success"] is False


@pytest.mark.parametrize("prefix", ["/en", "/fr"])
def test_under_a_script_name_each_language_has_its_page_and_its_door(
    visitor: Visitor, prefix: str
) -> None:
    routes.site_routes.cache_clear()
    set_script_prefix("/shop/")
    try:
        with (
            override_settings(ROOT_URLCONF="tests.urls_i18n", FORCE_SCRIPT_NAME="/shop"),
            override_maintenance(),
        ):
            # Under ASGI a path comes with the script name before it, under WSGI beside it.
            asked = f"/shop{prefix}" if visitor.kind == "asgi" else prefix
            refused = visitor.get(f"{asked}/orders/")
            assert refused.status_code == 302
            location = refused["Location"]
            assert location == f"/shop{prefix}/maintenance/?next=/shop{prefix}/orders/"
            assert visitor.get(f"{asked}/maintenance/").status_code == 503
            assert visitor.get(f"{asked}/login/").status_code == 200
    finally:
        clear_script_prefix()
        routes.site_routes.cache_clear()


# -- The admin ---------------------------------------------------------------------------------


def test_after_the_timer_opened_the_site_the_settings_page_can_close_it_again(
    visitor: Visitor, root: User
) -> None:
    now = dt.datetime.now(dt.UTC)
    services.close_site(until=now + dt.timedelta(hours=1), open_at_end=True)
    past = (now - dt.timedelta(hours=1)).isoformat()
    SystemSetting.objects.filter(key="maintenance_ends_at").update(value=past)
    assert services.current_state().is_open
    gate.refresh()
    visitor.client.force_login(root)

    url = "/admin/settings/?group=maintenance"
    form = visitor.get(url).context["form"]
    sent = {name: form[name].value() for name in form.fields}
    assert not sent["maintenance_mode"]  # the box is empty: the site is open
    sent = {name: value for name, value in sent.items() if value} | {"maintenance_mode": "on"}
    visitor.post(url, sent)

    assert services.current_state().mode is Mode.CLOSED


EVIL = "\"'><script>alert(1)</script>"


@pytest.fixture
def evil_boss(visitor: Visitor) -> Visitor:
    """An administrator of a site in which every text is an attempt at markup."""
    evil = User.objects.create_superuser(EVIL, password="pw")
    for number, kind in enumerate(["textarea", "datetime", "icon"]):
        SystemSetting.objects.create(
            key=f"own{number}{EVIL}",
            value=EVIL,
            label=EVIL,
            help_text=EVIL,
            group=EVIL,
            setting_type=kind,
        )
    SystemSetting.objects.create(
        key="maintenance_url", value="javascript:alert(1)", translations={EVIL: EVIL}
    )
    SystemSetting.objects.create(
        key="maintenance_title", value="x", translations={EVIL: EVIL, "fr": EVIL}
    )
    services.close_site(origin=services.Origin(user=evil), reason=EVIL, message=EVIL)
    gate.refresh()
    visitor.client.force_login(evil)
    give_pass(visitor.client, evil)
    return visitor


def assert_harmless(response: Any) -> None:
    assert response.status_code < 500 or response["X-Maintenance"] == "closed"
    assert b"<script>alert" not in response.content
    assert b'href="javascript:' not in response.content


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/settings/",
        "/admin/settings/?group=%3Cscript%3Ealert(1)",
        "/admin/settings/maintenance/",
        "/admin/settings/preview/",
        "/admin/settings/preview/?language=fr",
        "/admin/backsoon/change/",
        "/account/",
        "/maintenance/",
        "/nowhere%3Cscript%3Ealert(1)/",
    ],
)
def test_nothing_stored_becomes_markup_on_any_page(evil_boss: Visitor, path: str) -> None:
    assert_harmless(evil_boss.get(path))


def test_nothing_stored_becomes_markup_in_the_history(evil_boss: Visitor) -> None:
    change = Change.objects.get()
    response = evil_boss.get(f"/admin/backsoon/change/{change.pk}/change/")
    assert_harmless(response)
    assert b"&lt;script&gt;alert" in response.content


@pytest.mark.parametrize("path", ["", "preview/", "maintenance/"])
def test_nothing_sent_becomes_markup_in_the_answer(evil_boss: Visitor, path: str) -> None:
    names = [
        "maintenance_title",
        "maintenance_title:fr",
        "maintenance_title:de",
        "maintenance_message",
        "maintenance_url",
        "maintenance_icon",
        "maintenance_ends_at",
        "maintenance_contact",
        "maintenance_image_url",
        "exact:maintenance_ends_at",
        "seen:maintenance_title",
        f"own-own0{EVIL}",
    ]
    sent = dict.fromkeys(names, EVIL) | {"enabled": "true", "reason": EVIL * 30, "ends_at": EVIL}
    response = evil_boss.post(f"/admin/settings/{path}", sent)
    assert response.status_code in (200, 400, 409, 503)
    assert_harmless(response)


def test_nothing_in_the_query_becomes_markup_on_the_page(evil_boss: Visitor) -> None:
    stranger = Visitor(evil_boss.kind)
    response = stranger.get("/maintenance/?language=fr&next=%22%3E%3Cscript%3Ealert(1)")
    assert response.status_code == 503
    assert_harmless(response)
    assert b"&lt;script&gt;alert" in response.content  # the stored title, in French

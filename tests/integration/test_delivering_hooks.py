"""Who delivers: the watcher's side thread, Celery, django.tasks; and visitors who asked."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured

from backsoon import environment, services, subscribers
from backsoon.announce import chat, delivering
from backsoon.announce.claims import NotSentError
from backsoon.announce.hooks import Courier
from backsoon.integrations import django_tasks
from backsoon.models import Announcement, Delivery

from .commands import run
from .outbox import moments, soon, states, telling

pytestmark = pytest.mark.django_db


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> Courier:
    """One that starts threads also in tests; they are joined, so that no two use the database."""
    monkeypatch.setattr(environment, "in_test_environment", lambda: False)
    return Courier()


def rounds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads in which a round is made."""
    found: list[str] = []

    def note(self: Courier) -> None:
        found.append(threading.current_thread().name)

    monkeypatch.setattr(Courier, "_round", note)
    monkeypatch.setattr("django.db.connections.close_all", lambda: None)
    return found


def ended(courier: Courier) -> None:
    if courier._thread is not None:
        courier._thread.join()


# -- The watcher -------------------------------------------------------------------------------


def test_the_watcher_only_starts_a_thread_and_not_at_each_tick(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rounds(monkeypatch)
    with telling():
        for _tick in range(3):
            courier.tick(mark=1)
            ended(courier)
        assert made == ["backsoon-courier"]
        courier.tick(mark=2)  # something was written
        ended(courier)
        courier.fill()
        courier.tick(mark=2)
        ended(courier)
    assert made == ["backsoon-courier"] * 3


def test_two_rounds_of_one_process_never_run_at_once(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds(monkeypatch)
    go_on, began = threading.Event(), []

    def last(self: Courier) -> None:
        began.append(1)
        go_on.wait(10)

    monkeypatch.setattr(Courier, "_round", last)
    with telling():
        for mark in range(5):
            courier.tick(mark=mark)
        go_on.set()
        ended(courier)
    assert began == [1]


@pytest.mark.parametrize("settings", [{"DELIVER": "command"}, {"OPERATORS": []}])
def test_where_the_watcher_shall_not_send_or_nobody_is_told_it_starts_nothing(
    courier: Courier, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    made = rounds(monkeypatch)
    with telling(**settings):
        courier.tick(mark=1)
    assert made == []


def test_a_function_of_the_projects_is_called_after_the_commit(
    django_capture_on_commit_callbacks: Any,
) -> None:
    called: list[str] = []
    with (
        telling(DELIVER=lambda: called.append("now")),
        django_capture_on_commit_callbacks(execute=True),
    ):
        services.close_site()
        assert called == []
    assert called == ["now"]


def test_a_function_that_fails_stops_no_change(
    django_capture_on_commit_callbacks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ConnectionError("no broker")

    with telling(DELIVER=fail), django_capture_on_commit_callbacks(execute=True):
        services.close_site()
    assert not services.current_state().is_open
    assert "function of DELIVER failed" in caplog.text


def test_who_was_told_is_forgotten_also_where_nothing_happens_any_more(courier: Courier) -> None:
    with telling():
        services.close_site()
        services.open_site()
        delivering.run()
        assert Delivery.objects.count() == 2
        Announcement.objects.update(at=soon(days=-91))
        courier._round()
        assert not Delivery.objects.exists()


# -- Celery and django.tasks -------------------------------------------------------------------


def test_celery_delivers_also_while_the_site_is_closed() -> None:
    from backsoon.integrations.celery import is_allowed
    from backsoon.integrations.celery.tasks import deliver

    assert is_allowed(deliver)
    with telling():
        services.close_site()
        assert deliver()["sent"] == 1
    assert states() == {"ops@example.com": "sent"}


@pytest.mark.skipif(find_spec("django.tasks") is None, reason="this Django has no tasks")
def test_a_task_of_django_delivers(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    with telling():
        services.close_site()
        django_tasks.deliver_soon()
    assert states() == {"ops@example.com": "sent"}


@pytest.mark.skipif(find_spec("django.tasks") is not None, reason="this Django has tasks")
def test_a_django_without_tasks_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"6\.0 or newer"):
        django_tasks.deliver_soon()


# -- The command -------------------------------------------------------------------------------


def test_the_command_says_what_it_did() -> None:
    with telling():
        services.close_site()
        told = run("deliver")
        assert (told.code, told.lines) == (0, ["1 message sent."])
        assert run("deliver", "--json").json["sent"] == 0


def test_the_command_exits_with_1_when_something_failed_and_says_what_helps(
    settings: Any,
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    with telling():
        services.close_site()
        told = run("deliver")
    assert told.code == 1
    assert "Nothing can be sent by mail now" in told.out
    assert "1 message waits" in told.out
    assert "--retry" in told.err


def test_the_command_sends_a_test_to_one_address() -> None:
    with telling():
        told = run("deliver", "--test", "me@example.com", "--moment", "ended", "--language", "fr")
    assert told.code == 0
    assert [message.to for message in mail.outbox] == [["me@example.com"]]
    assert not Delivery.objects.exists()


# -- Chat --------------------------------------------------------------------------------------


class FakeApprise(ModuleType):
    """As much of apprise as is used; like the real one it answers and does not raise."""

    def __init__(self, takes: bool) -> None:
        super().__init__("apprise")
        self.told: list[tuple[str, str, str]] = []
        outer = self

        class Apprise:
            def add(self, url: str) -> bool:
                self.url = url
                return url.startswith("slack://")

            def notify(self, title: str, body: str) -> bool:
                outer.told.append((self.url, title, body))
                return takes

        class LogCapture:
            def __init__(self, level: int) -> None:
                pass

            def __enter__(self) -> SimpleNamespace:
                return SimpleNamespace(getvalue=lambda: "slack://secret failed\nError 404")

            def __exit__(self, *args: Any) -> None:
                pass

        self.Apprise, self.LogCapture = Apprise, LogCapture


@pytest.mark.parametrize("takes", [True, False])
def test_chat_services_are_told_and_their_keys_are_not_stored(
    monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    fake = FakeApprise(takes)
    monkeypatch.setitem(sys.modules, "apprise", fake)
    monkeypatch.setattr("backsoon.conf.values.find_spec", lambda name: object())
    with telling(OPERATORS=[], APPRISE=["slack://secret"]):
        services.close_site()
        delivering.run()
    ((url, title, _body),) = fake.told
    assert (url, "closed for maintenance" in title) == ("slack://secret", True)
    row = Delivery.objects.get()
    assert "secret" not in row.address + row.last_error
    assert (row.state, row.last_error) == (("sent", "") if takes else ("failed", "Error 404"))


def test_an_address_that_apprise_does_not_know_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", FakeApprise(takes=True))
    monkeypatch.setattr("backsoon.conf.values.find_spec", lambda name: object())
    with telling(OPERATORS=[], APPRISE=["nonsense://x"]):
        services.close_site()
        delivering.run()
        with pytest.raises(NotSentError):
            chat.send(Delivery.objects.get())
    assert Delivery.objects.get().state == "given_up"


# -- Visitors who asked ------------------------------------------------------------------------


def ask(address: str, **late: float) -> None:
    subscribers.subscribe(address, "fr", soon(**late))


def waiting() -> list[str]:
    return [person.address for person in subscribers.waiting()]


def test_who_asked_on_the_page_is_told_of_the_end_once_and_forgotten() -> None:
    with telling(OPERATORS=[], TELL_ME=True):
        services.close_site()
        ask("vera@example.com")
        ask("late@example.com", hours=1)
        delivering.run()
        assert mail.outbox == []  # of the start they know
        services.open_site()
        assert delivering.run().sent == 1
        assert delivering.run().sent == 0
    assert [message.to for message in mail.outbox] == [["vera@example.com"]]
    assert "List-Unsubscribe" not in mail.outbox[0].extra_headers
    assert waiting() == ["late@example.com"]
    row = Delivery.objects.get()
    assert (row.state, "vera" in row.address) == ("sent", False)


def test_nobody_is_told_that_the_site_is_back_when_it_is_closed_once_more() -> None:
    with telling(OPERATORS=[], TELL_ME=True):
        services.close_site()
        ask("vera@example.com")
        services.open_site()
        services.close_site()
        delivering.run()
        assert mail.outbox == []
        assert waiting() == ["vera@example.com"]
        services.open_site()
        delivering.run(clock=lambda: soon(seconds=1))
    assert [message.to for message in mail.outbox] == [["vera@example.com"]]


def test_a_site_that_asks_visitors_and_tells_nobody_else_writes_down_the_end_alone() -> None:
    with telling(OPERATORS=[], TELL_ME=True):
        services.close_site()
        services.open_site()
    assert moments() == ["ended"]

"""The checks before opening: what they find, and that a site they speak against stays closed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import Error, register
from django.core.checks.registry import registry
from django.test import AsyncClient, Client, override_settings

from backsoon import gate, inflight, reopening, services, store
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import ChecksFailedError, ConflictError
from backsoon.models import Change, Maintenance
from backsoon.rehearsal import Stack
from backsoon.services import Origin
from backsoon.testing import override_maintenance
from tests import reopen_checks
from tests.integration.commands import run
from tests.integration.test_admin_settings import shown

pytestmark = pytest.mark.django_db

OTHER = Origin(name="alice@laptop", channel=Change.Channel.COMMAND)
HERE = "tests.reopen_checks"


def checks(*names: Any, **more: Any) -> Any:
    return override_settings(BACKSOON={"REOPEN_CHECKS": list(names), **more})


def why_not(name: Any, *, is_async: bool = False, **more: Any) -> str:
    with checks(name, **more):
        (result,) = reopening.run_checks(is_async=is_async)
    return result.why_not


def is_open() -> bool:
    return services.current_state().is_open


@pytest.fixture(params=[False, True], ids=["wsgi", "asgi"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# -- What a check finds -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/async/", "/account/", "/account/async/", "/stream/",
                                  "/stream/async/", "/api/?a=b", "/account?x=1"])  # fmt: skip
def test_a_page_that_answers_a_visitor_passes_though_the_site_is_closed(
    path: str, *, is_async: bool
) -> None:
    with override_maintenance():
        assert why_not(path, is_async=is_async) == ""
        assert Client().get("/").status_code == 302  # nobody else gets by


def test_what_is_missing_is_told_with_its_status(*, is_async: bool) -> None:
    assert why_not("/nowhere/", is_async=is_async) == "A visitor gets 404."


def test_of_a_view_that_raises_only_the_class_is_told(*, is_async: bool) -> None:
    said = why_not("/broken/", is_async=is_async)
    assert said == "A visitor gets 500: the view raised RuntimeError; see the log."


@override_settings(DEBUG=True)
def test_with_debug_it_is_the_same() -> None:
    assert "RuntimeError" in why_not("/broken/")


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
def test_with_exceptions_that_propagate_too() -> None:
    assert why_not("/broken/") == "It raised RuntimeError; see the log."


def test_middleware_that_cannot_be_made_is_told() -> None:
    with override_settings(MIDDLEWARE=["no.such.Middleware"]):
        assert "ModuleNotFoundError" in why_not("/")


@override_settings(ALLOWED_HOSTS=[".shop.example"], SECURE_SSL_REDIRECT=True)
def test_a_visitor_comes_to_a_host_of_the_site_encrypted_where_that_is_asked_for(
    *, is_async: bool
) -> None:
    assert why_not("/", is_async=is_async) == ""
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        seen = Stack(is_async=is_async).visit("/")
    assert seen.status == 200
    assert "400" in why_not("https://other.example/", is_async=is_async)


def test_the_page_of_an_outage_is_no_page() -> None:
    """What says that it is maintenance cannot be what visitors should see."""
    with override_settings(MIDDLEWARE=["tests.integration.test_reopening.under_repair"]):
        assert why_not("/") == "A visitor would still get the maintenance page."


def under_repair(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        response = get_response(request)
        response["X-Maintenance"] = "closed"
        return response

    return answer


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("content", ""),
        ("agrees", ""),
        ("agrees_async", ""),
        ("says_why", "the price list is empty"),
        ("refuses", "It answered False."),
        ("raises", "It raised ValueError; see the log."),
        ("missing", "It raised ImportError; see the log."),
    ],
)
def test_a_function_of_the_project_agrees_or_says_why_not(name: str, said: str) -> None:
    assert why_not(f"{HERE}.{name}") == said


def test_a_function_can_be_given_itself() -> None:
    with checks(reopen_checks.says_why):
        (result,) = reopening.run_checks()
    assert (result.name, result.why_not) == (f"{HERE}.says_why", "the price list is empty")


def test_a_function_sees_what_is_stored(bob: User) -> None:
    assert why_not(f"{HERE}.counts_users") == ""


def test_what_hangs_fails_in_time_and_is_not_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    reopen_checks.never.clear()
    began = time.monotonic()
    try:
        first = why_not(f"{HERE}.hangs", REOPEN_TIMEOUT=0.05)
        again = why_not(f"{HERE}.hangs", REOPEN_TIMEOUT=60)
    finally:
        reopen_checks.never.set()
    assert first == "It did not answer within 0.05 seconds."
    assert again == "It still hangs since it was tried before."
    assert time.monotonic() - began < 30
    reopening._hanging[f"{HERE}.hangs"].join(10)
    assert why_not(f"{HERE}.hangs") == ""


def test_migrations_that_wait_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not("migrations") == ""
    with override_settings(MIGRATION_MODULES={"backsoon": "tests.more_migrations"}):
        said = why_not("migrations:default")
    assert said == "1 migration is not applied: backsoon.0001_never."


def test_errors_of_the_system_checks_are_named() -> None:
    assert why_not("checks") == ""

    def wrong(**kwargs: Any) -> list[Error]:
        return [Error("bad", id="shop.E001")]

    register(wrong)
    try:
        assert "1 error: shop.E001." in why_not("checks")
        with override_settings(SILENCED_SYSTEM_CHECKS=["shop.E001"]):
            assert why_not("checks") == ""
    finally:
        registry.registered_checks.remove(wrong)  # type: ignore[arg-type]


# -- Nobody else gets by ------------------------------------------------------------------------


def test_the_rehearsal_touches_neither_the_gate_nor_the_ledger(*, is_async: bool) -> None:
    gate.gate.forget()
    assert Stack(is_async=is_async).visit("/").status == 200
    assert not gate.gate.knows
    assert not inflight.UNITS
    assert not inflight.APART


def test_what_the_visitor_sends_opens_nothing_from_outside() -> None:
    with override_maintenance():
        response = Client(
            headers={"user-agent": "Backsoon (check before opening)"}, REMOTE_ADDR="127.0.0.1"
        ).get("/")
    assert response.status_code == 302


class OneForAll:
    """A layer of the project's, one object however often it is made, as singletons are."""

    sync_capable = async_capable = True
    get_response: Callable[[Any], Any]
    only: OneForAll | None = None

    def __new__(cls, get_response: Callable[[Any], Any]) -> OneForAll:
        cls.only = cls.only or super().__new__(cls)
        cls.only.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(cls.only)
        return cls.only

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)


@pytest.fixture
def one_for_all() -> Iterator[None]:
    """It stands above the gate, and only the last stack that was made is behind it."""
    above = f"{__name__}.{OneForAll.__name__}"
    with override_settings(MIDDLEWARE=[above, *settings.MIDDLEWARE]):
        yield
    OneForAll.only = None


@pytest.mark.usefixtures("one_for_all")
def test_a_layer_that_leads_visitors_into_the_rehearsal_leads_them_to_the_gate() -> None:
    visitor = Client()
    with override_maintenance():
        assert visitor.get("/").status_code == 302
        assert why_not("/") == ""
        assert visitor.get("/").status_code == 302
        assert not inflight.UNITS


@pytest.mark.usefixtures("one_for_all")
def test_under_asgi_too() -> None:
    visitor = AsyncClient()
    with override_maintenance():
        assert async_to_sync(visitor.get)("/").status_code == 302
        assert why_not("/", is_async=True) == ""
        assert async_to_sync(visitor.get)("/").status_code == 302
        assert not inflight.UNITS


# -- The site stays closed ----------------------------------------------------------------------


def test_a_site_that_is_not_fit_stays_closed_and_says_why() -> None:
    services.close_site()
    with checks("/", f"{HERE}.says_why"), pytest.raises(ChecksFailedError) as caught:
        services.open_site()
    assert not is_open()
    assert [result.name for result in caught.value.results] == ["/", f"{HERE}.says_why"]
    assert [result.name for result in caught.value.failed] == [f"{HERE}.says_why"]
    assert "the price list is empty" in str(caught.value)
    assert Change.objects.count() == 1


def test_one_that_is_fit_opens_and_the_history_keeps_what_was_checked() -> None:
    services.close_site()
    with checks("/", f"{HERE}.agrees"):
        assert services.open_site().state.is_open
    after = Change.objects.first().after  # type: ignore[union-attr]
    assert [(each["name"], each["passed"]) for each in after["checks"]] == [
        ("/", True), (f"{HERE}.agrees", True),
    ]  # fmt: skip
    assert "forced" not in after


def test_force_opens_and_the_history_keeps_what_failed() -> None:
    services.close_site()
    with checks(f"{HERE}.says_why"):
        assert services.open_site(force=True).state.is_open
    after = Change.objects.first().after  # type: ignore[union-attr]
    assert after["forced"] is True
    assert after["checks"][0]["why_not"] == "the price list is empty"


def test_an_open_site_is_not_checked() -> None:
    with checks(f"{HERE}.says_why"):
        assert not services.open_site().changed


def test_what_takes_its_own_closure_back_is_not_checked() -> None:
    services.close_site()
    with checks(f"{HERE}.says_why"):
        assert services.open_site(checked=False).state.is_open
    assert "checks" not in Change.objects.first().after  # type: ignore[union-attr]


def test_every_other_way_to_open_by_hand_is_checked_as_well() -> None:
    now = store.utc_now()
    outcome = services.schedule(now, now + dt.timedelta(hours=1))
    with checks(f"{HERE}.says_why"):
        with pytest.raises(ChecksFailedError):
            services.cancel(outcome.windows[0].uid)
        assert not is_open()
        assert services.cancel(outcome.windows[0].uid, force=True).state.is_open
        services.close_site()
        with pytest.raises(ChecksFailedError):
            services.save_settings({services.SWITCH_KEY: services.Entry("")})
        assert not is_open()


def test_what_opens_nothing_is_not_checked() -> None:
    now = store.utc_now()
    window = services.schedule(now, now + dt.timedelta(hours=1)).windows[0]
    services.close_site()
    with checks(f"{HERE}.says_why"):
        services.cancel(window.uid)  # the switch still closes
        assert not is_open()
        services.schedule(now + dt.timedelta(hours=2), now + dt.timedelta(hours=3))


def test_of_two_who_open_at_once_one_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    services.close_site()
    _meanwhile(monkeypatch, lambda: services.open_site(origin=OTHER, checked=False))
    with checks("/"):
        outcome = services.open_site()
    assert outcome.state.is_open
    assert not outcome.changed
    assert Change.objects.filter(action=Change.Action.OPENED).count() == 1


def test_who_closes_anew_during_the_checks_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    services.close_site()

    def again() -> None:
        services.open_site(origin=OTHER, checked=False)
        services.close_site(origin=OTHER, reason="another fault")

    _meanwhile(monkeypatch, again)
    with checks("/"), pytest.raises(ConflictError):
        services.open_site()
    assert Maintenance.objects.get().reason == "another fault"
    assert not is_open()


def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    real = reopening.run_checks

    def run_and_be_overtaken(**kwargs: Any) -> Any:
        results = real(**kwargs)
        monkeypatch.undo()
        act()
        return results

    monkeypatch.setattr("backsoon.openings.run_checks", run_and_be_overtaken)


# -- Commands -----------------------------------------------------------------------------------


@pytest.fixture
def unfit() -> Iterator[None]:
    services.close_site()
    with checks("/", f"{HERE}.says_why"):
        yield


def test_off_leaves_an_unfit_site_closed_with_exit_code_1(unfit: None) -> None:
    result = run("off")
    assert result.code == 1
    assert result.err.startswith(
        f"Not opened: 1 of 2 checks before opening failed ({HERE}.says_why: the price list is "
        "empty). Maintenance is on since "
    )
    assert "off --force" in result.err
    assert "/: ok" in result.out
    assert not is_open()


def test_off_tells_programs_what_failed(unfit: None) -> None:
    answer = run("off", "--json").json
    assert answer["changed"] is False
    assert [each["passed"] for each in answer["checks"]] == [True, False]


def test_off_force_opens_and_says_what_failed(unfit: None) -> None:
    result = run("off", "--force")
    assert result.code == 0
    assert "Opened though checks failed:" in result.lines
    assert is_open()


def test_off_check_changes_nothing(unfit: None) -> None:
    result = run("off", "--check")
    assert (result.code, result.err) == (1, "1 of 2 checks failed. Nothing was changed.")
    with checks("/"):
        assert run("off", "--check", "--json").json["passed"] is True
    assert not is_open()
    assert Change.objects.count() == 1


@pytest.mark.parametrize("other", ["--force", "--wait", "--local"])
def test_check_does_not_go_with_what_changes_something(other: str) -> None:
    assert run("off", "--check", other).code == 2


def test_run_leaves_the_site_closed_when_the_checks_fail_afterwards() -> None:
    with checks(f"{HERE}.says_why"):
        result = run("run", "--", "true")
    assert result.code == 1
    assert "The command succeeded. The site was not opened:" in result.err
    assert services.current_state().mode is Mode.CLOSED
    assert Maintenance.objects.get().run["exit_code"] == 0


def test_status_and_doctor_tell_of_what_opens_unchecked_by_the_clock() -> None:
    now = store.utc_now()
    services.close_site(until=now + dt.timedelta(hours=1), open_at_end=True)
    number = (
        services.schedule(now + dt.timedelta(hours=2), now + dt.timedelta(hours=3))
        .windows[0]
        .number
    )
    services.schedule(now + dt.timedelta(hours=4))
    assert "unchecked" not in run("status").out
    with checks("/"):
        told = [line for line in run("status").lines if "unchecked" in line]
        findings = run("doctor", "--json").json["findings"]
    assert len(told) == 2
    assert "the closure by hand at" in told[0]
    assert f"planned closure #{number} at" in told[1]
    assert [each["level"] for each in findings if each["id"] == "unchecked"] == ["note"]


# -- The admin ----------------------------------------------------------------------------------

TOGGLE = "/admin/settings/toggle-maintenance/"
CONFIRM = "/admin/settings/maintenance/"


@pytest.fixture
def boss(client: Client, root: User) -> Client:
    client.force_login(root)
    return client


def test_the_switch_for_programs_answers_409_with_the_reasons(boss: Client, unfit: None) -> None:
    answer = boss.post(TOGGLE, {"enabled": False}, "application/json")
    assert answer.status_code == 409
    assert answer.json()["success"] is False
    assert "the price list is empty" in answer.json()["message"]
    assert [each["passed"] for each in answer.json()["checks"]] == [True, False]
    assert not is_open()


@pytest.mark.parametrize("as_form", [False, True])
def test_it_opens_with_force(boss: Client, unfit: None, *, as_form: bool) -> None:
    if as_form:
        answer = boss.post(TOGGLE, {"enabled": "false", "force": "true"})
    else:
        answer = boss.post(TOGGLE, {"enabled": False, "force": True}, "application/json")
    assert answer.json()["success"] is True
    assert is_open()


def test_force_has_to_be_a_truth(boss: Client, unfit: None) -> None:
    answer = boss.post(TOGGLE, {"enabled": False, "force": "yes"}, "application/json")
    assert answer.status_code == 400
    assert "force" in answer.json()["message"]


def test_the_page_shows_what_failed_and_opens_anyway_only_if_that_is_said_twice(
    boss: Client, unfit: None
) -> None:
    shown = boss.post(CONFIRM, {"enabled": "false"})
    assert shown.status_code == 409
    text = shown.content.decode()
    assert "the price list is empty" in text
    assert "Open anyway" in text

    once = boss.post(CONFIRM, {"enabled": "false", "force": "1"})
    assert "tick the box" in once.content.decode()
    assert not is_open()

    twice = boss.post(CONFIRM, {"enabled": "false", "force": "1", "sure": "1"})
    assert twice.status_code == 302
    assert is_open()


def test_who_has_seen_nothing_fail_is_not_offered_to_open_anyway(boss: Client) -> None:
    services.close_site()
    assert "Open anyway" not in boss.get(CONFIRM).content.decode()


def test_the_settings_page_does_not_open_an_unfit_site(boss: Client, unfit: None) -> None:
    url = "/admin/settings/?group=maintenance"
    sent = shown(boss, url)
    del sent["maintenance_mode"]
    page = boss.post(url, sent)
    assert page.status_code == 409
    assert "Nothing was saved" in page.content.decode()
    assert not is_open()

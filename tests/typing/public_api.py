"""What a type checker makes of the public names. Read by mypy in `make check`; never run."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, assert_type

from django.http import HttpRequest, HttpResponse

from backsoon import services
from backsoon.core.decision import Admit, Refuse, decide
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Facts, Policy, State
from backsoon.decorators import always_open
from backsoon.testing import override_maintenance

if TYPE_CHECKING:
    from collections.abc import Coroutine


@always_open
def health(request: HttpRequest, part: str = "") -> HttpResponse:
    return HttpResponse(part)


@always_open
async def health_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def a_marked_view_keeps_its_type(request: HttpRequest) -> None:
    assert_type(health(request, part="db"), HttpResponse)
    coroutine: Coroutine[object, object, HttpResponse] = health_async(request)
    coroutine.close()


def services_answer_with_an_outcome(now: dt.datetime) -> None:
    assert_type(services.close_site(message="Moving", until=now), services.Outcome)
    assert_type(services.open_site().state, State)
    with services.maintenance(reason="migration") as outcome:
        assert_type(outcome.changed, bool)


def a_decision_is_one_of_three(now: dt.datetime) -> None:
    state = resolve_state(Policy(), (), now)
    assert_type(state, State)
    answer = decide(state, Facts())
    if isinstance(answer, Admit | Refuse):
        assert_type(answer.detail, str)


def the_override_is_a_context_manager() -> None:
    with override_maintenance("read_only", message="Look, do not touch"):
        pass

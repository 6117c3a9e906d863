"""The addresses of the page itself.

While the site is closed the middleware answers them before Django looks for a view; these answer
while it is open, and in projects that have not installed the middleware yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, HttpResponseRedirect
from django.views.decorators.cache import never_cache

from .core.vocabulary import Mode
from .gate import gate
from .http import answers

if TYPE_CHECKING:
    from django.http import HttpRequest


@login_not_required
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The page while closed; else the way back to where the visitor was going."""
    view = gate.view()
    if view.state.mode is not Mode.CLOSED:
        return HttpResponseRedirect(answers.way_back(request))
    return answers.page(request, view)


@login_not_required
def status(request: HttpRequest) -> HttpResponse:
    """The state for machines, as JSON."""
    return answers.status(gate.view())

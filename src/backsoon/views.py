"""The addresses of the page itself.

While the site is closed the middleware answers them before Django looks for a view; these answer
while it is open, and in projects that have not installed the middleware yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, HttpResponseRedirect
from django.views.decorators.cache import never_cache

from .gate import gate
from .http import answers

if TYPE_CHECKING:
    from django.http import HttpRequest


@login_not_required
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The page while closed; while open, the way back to where the visitor was going."""
    view = gate.view()
    if view.state.is_open:
        return HttpResponseRedirect(answers.way_back(request))
    return answers.page(request, view)


@login_not_required
def status(request: HttpRequest) -> HttpResponse:
    """The state for machines, as JSON."""
    return answers.status(gate.view())

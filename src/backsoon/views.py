"""The addresses of the page itself.

While the site is closed the middleware answers them before Django looks for a view; these answer
while it is open, and in projects that have not installed the middleware yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from .core.vocabulary import Mode
from .gate import gate
from .http import answers, routes
from .http import tell_me as form

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


@csrf_exempt  # the page is one for all, and nobody is logged in: see backsoon.http.tell_me
@login_not_required
@never_cache
@non_atomic_requests  # with ATOMIC_REQUESTS a database that is away would be an error of the view
def tell_me(request: HttpRequest) -> HttpResponse:
    """What the form on the page is sent to. Not there unless the settings ask for the form."""
    if request.path_info not in routes.tell_me_paths():
        raise Http404
    return form.answer(request, gate.view())

"""The addresses of the page itself, and of the documents beside it.

While the site is closed the middleware answers them before Django looks for a view; these answer
while it is open, and in projects that have not installed the middleware yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db.transaction import non_atomic_requests
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils import translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from .core.vocabulary import Mode
from .gate import gate
from .http import answers, banners, documents, routes
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


@csrf_exempt  # who sends a form here is told that it is of no use, not that a token is missing
@login_not_required
@non_atomic_requests  # with ATOMIC_REQUESTS a database that is away would be an error of the view
def document(request: HttpRequest) -> HttpResponse:
    """The state, the planned closures or what happened to them, for machines."""
    return documents.respond(request, answers.visit_of(request), gate.view())


@csrf_exempt  # the page is one for all, and nobody is logged in: see backsoon.http.tell_me
@login_not_required
@never_cache
@non_atomic_requests
def tell_me(request: HttpRequest) -> HttpResponse:
    """What the form on the page is sent to. Not there unless the settings ask for the form."""
    if request.path_info not in routes.tell_me_paths():
        raise Http404
    return form.answer(request, gate.view())


@login_not_required
@non_atomic_requests
@require_safe
def notice(request: HttpRequest) -> HttpResponse:
    """What hangs on the board of a page that was left open, as HTML in ``?language=``.

    The page asks with the ``key`` that the status told it, so each answer can be kept by caches.
    """
    view = gate.view()
    language = _language_of(request)
    response = HttpResponse(banners.banners_html(view, language))
    response["Content-Language"] = language
    # A process that has not heard of the change yet must not be believed for long.
    is_asked_for = request.GET.get("key") == banners.board(view).key
    response["Cache-Control"] = f"public, max-age={KEPT_SECONDS}" if is_asked_for else "no-store"
    response["X-Robots-Tag"] = "noindex"
    return response


KEPT_SECONDS = 60
"""How long caches may keep what hangs on the board under its key."""


def _language_of(request: HttpRequest) -> str:
    try:
        return translation.get_supported_language_variant(request.GET.get("language", ""))
    except LookupError:
        return translation.get_language() or settings.LANGUAGE_CODE

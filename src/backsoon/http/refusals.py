"""Turning away whom a site that is not open does not admit, and counting that.

The page itself and the documents for machines are not counted (see :mod:`backsoon.tallies`):
whoever asks for them was sent there, or waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from backsoon.tallies import Refused, refuse

from . import answers, asking, documents
from .routes import site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from backsoon.gate import View

    from .asking import Wish


def answer(request: HttpRequest, view: View) -> HttpResponse:
    """Refuse *request*, or give it the document for machines that it asks for."""
    count(request, view)
    if documents.is_due(request.path_info, view):
        documents.renew(view)
    return answers.refusal(request, view)


async def aanswer(request: HttpRequest, view: View) -> HttpResponse:
    """The same, without keeping the event loop waiting for the database."""
    count(request, view)
    if documents.is_due(request.path_info, view):
        await sync_to_async(documents.renew)(view)
    return answers.refusal(request, view)


def count(request: HttpRequest, view: View, *, login: bool = False) -> None:
    """Count that *request* was refused; *login*, because of whose right credentials it brought."""
    try:
        if login:
            refuse(view.state.since, Refused.LOGIN)
        else:
            count_visit(request.method or "GET", request.path_info, asking.wish_of(request), view)
    except Exception:  # noqa: BLE001  (whoever is refused gets the page, counted or not)
        return


def count_visit(method: str, path: str, wish: Wish, view: View) -> None:
    """Count that a request for *path* (``path_info``) was refused."""
    routes = site_routes()
    if path in routes.page or path in routes.documents:
        return
    is_program = wish.program or asking.is_for_programs(method, path)
    refuse(view.state.since, Refused.PROGRAM if is_program else Refused.PAGE)

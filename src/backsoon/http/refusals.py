"""Counting whom a site that is not open turned away; see :mod:`backsoon.tallies`.

The page itself and its status are not counted: whoever asks for them was sent there, or waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backsoon.tallies import Refused, refuse

from . import asking
from .routes import site_routes

if TYPE_CHECKING:
    from django.http import HttpRequest

    from backsoon.gate import View

    from .asking import Wish


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
    if path in routes.page or path in routes.status:
        return
    is_program = wish.program or asking.is_for_programs(method, path)
    refuse(view.state.since, Refused.PROGRAM if is_program else Refused.PAGE)

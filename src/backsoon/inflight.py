"""The requests that this process let by while the site was open and that have not ended yet.

Count first, then look whether the site is open: whoever closes it and then finds nobody counted
knows that nobody is on the way. In the other order a request could slip in between.

A dict is the whole ledger: setting and removing a key is one step for every Python, with and
without a global lock, and much cheaper than taking a lock.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

UNITS: dict[HttpRequest, float] = {}
"""When each of them came in, by the clock of :mod:`backsoon.clock`."""


def leave(request: HttpRequest) -> None:
    """The request has ended. Nothing happens if it was not counted."""
    UNITS.pop(request, None)


def leave_when_closed(request: HttpRequest, response: HttpResponseBase) -> None:
    """Count the request out when the body of its streaming *response* is closed.

    Servers close every response, also when the client has gone. A middleware may still put another
    one in its place and drop ours; then it ends when the last reference to it does.
    """
    finalizer = weakref.finalize(response, leave, request)
    finalizer.atexit = False
    # Django runs these first thing in close(), whoever calls it and whatever else fails there.
    response._resource_closers.append(finalizer)  # type: ignore[attr-defined]

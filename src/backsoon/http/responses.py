"""Copies of a response that was prepared once.

Building an ``HttpResponse`` with a dozen headers checks each of them and costs several times what
all the rest of a refusal does. The headers of our answers were checked as the model was built, and
only values that we make ourselves are put into a copy. So a copy is filled in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpResponse
from django.http.response import ResponseHeaders

_SHAREABLE = (str, int, type(None))

Changes = Mapping[str, str]
"""Values for headers that the model has, in its order and place."""


def copier(model: HttpResponse) -> Callable[[Changes, bool], HttpResponse]:
    """A function that copies *model* with other values for some headers, and perhaps no body.

    The quick way knows how Django keeps what a response is made of. Where that is different, in a
    Django of the future, the copies are built the usual way.
    """
    try:
        quick = _quick_copier(model)
        if _told(quick({}, False)) == _told(model):
            return quick
    except Exception:  # noqa: BLE001, S110  (whatever is different there)
        pass
    return _usual_copier(model)


def _quick_copier(model: HttpResponse) -> Callable[[Changes, bool], HttpResponse]:
    kind, cookies = type(model), type(model.cookies)
    rest = dict(vars(model))
    for changing in ("headers", "cookies", "_resource_closers", "_container"):
        del rest[changing]
    if not all(isinstance(value, _SHAREABLE) for value in rest.values()):
        raise TypeError("a response has something that copies must not share")
    stored = dict(model.headers._store)
    body = model.content
    new = object.__new__

    def copy(changes: Changes, without_body: bool) -> HttpResponse:
        store = stored.copy()
        for name, value in changes.items():
            store[name.lower()] = (name, value)
        headers: Any = new(ResponseHeaders)
        headers._store = store
        response: Any = new(kind)
        response.__dict__.update(rest)
        response.headers = headers
        response.cookies = cookies()
        response._resource_closers = []
        response._container = [b"" if without_body else body]
        return response  # type: ignore[no-any-return]

    return copy


def _usual_copier(model: HttpResponse) -> Callable[[Changes, bool], HttpResponse]:
    def copy(changes: Changes, without_body: bool) -> HttpResponse:
        response = HttpResponse(
            b"" if without_body else model.content,
            status=model.status_code,
            headers=dict(model.items()),
        )
        response.__class__ = type(model)
        for name, value in changes.items():
            response[name] = value
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    return copy


def _told(response: HttpResponse) -> tuple[object, ...]:
    return (type(response), response.status_code, list(response.items()), response.content)

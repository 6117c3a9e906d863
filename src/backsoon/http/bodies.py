"""What the guard counts under WSGI: from before the look until the server is done with the body.

Servers close every body, also when the client has gone (PEP 3333). Not all of them do (asgiref's
and uvicorn's bridges to ASGI), nor does a layer that joins the pieces; then a body ends with the
last reference to it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from backsoon.inflight import KEY, release


class Visit:
    """A request of which Django has not made one yet. A unit."""

    __slots__ = ("__weakref__", "_path", "_script", "holders", "method")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        # Of the environment itself we keep nothing: it holds the unit, and the two would have to
        # wait for the garbage collector.
        self.method: str | None = environ.get("REQUEST_METHOD")
        self.holders: set[Any] = {KEY}  # as of :class:`backsoon.inflight.Shared`
        self._script = environ.get("SCRIPT_NAME", "")
        self._path = environ.get("PATH_INFO", "")

    @property
    def path(self) -> str:
        """Where to. WSGI hands bytes over as if they were latin-1 (PEP 3333)."""
        raw = f"{self._script}{self._path}".encode("latin-1", "replace")
        return raw.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


class Body:
    """Passes on *chunks*, and tells when the server is done with them."""

    def __init__(self, chunks: Iterable[bytes], unit: Any) -> None:
        self._chunks = chunks
        self._end = _end_of(self, unit)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks  # not iter() of them: who goes through them holds on to us

    def close(self) -> None:
        """Close what is inside, and release the unit however that ends."""
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._end()


def counted_out(body: Any, unit: Any, environ: Mapping[str, Any]) -> Iterable[bytes]:
    """*body*, which an application returned, such that the guard is done with *unit* at its end.

    Where the server looks at what it gets, it gets what it knows: its own ``wsgi.file_wrapper``
    stays one, so that the system can send the file.
    """
    closers = getattr(body, "_resource_closers", None)
    if closers is not None:  # an HttpResponse of Django's; it runs these first thing in close()
        closers.append(_end_of(body, unit))
        return body  # type: ignore[no-any-return]
    if isinstance(body, (list, tuple)):
        release(unit, KEY)  # all of it is made, and nothing of the application runs any more
        return body
    if not _is_a_file(body, environ):
        return Body(body, unit)
    try:
        body.close = _closing(getattr(body, "close", None), _end_of(body, unit))
    except (AttributeError, TypeError):
        release(unit, KEY)  # a file that the server, written in C, sends by itself
    return body  # type: ignore[no-any-return]


def _is_a_file(body: Any, environ: Mapping[str, Any]) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    # Where it is a function, as in uWSGI, it hands back the very file that it was given.
    return isinstance(body, wrapper) if isinstance(wrapper, type) else hasattr(body, "read")


def _end_of(body: Any, unit: Any) -> Callable[[], object]:
    """What releases *unit*, once; it is called with the last reference to *body* at the latest.

    Raises ``TypeError`` where nobody can tell when that is.
    """
    end = weakref.finalize(body, release, unit, KEY)
    end.atexit = False
    return end


def _closing(close: Callable[[], object] | None, end: Callable[[], object]) -> Callable[[], None]:
    def closing() -> None:
        try:
            if close is not None:
                close()
        finally:
            end()

    return closing

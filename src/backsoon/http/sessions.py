"""How logins end without touching a single session row.

Each login stamps its session with the generation of that moment. A closure raises the generation;
from then on a lower stamp means that the login has ended, for users who never come by as well, with
all session engines, at no cost and with no write. Only where ``request.user`` is really used is the
stamp compared.

While the site is closed nothing of an ordinary login is written either: every session that gets as
far as a view is a :class:`_Door` for that request, which looks at who is about to log in before it
lets the login touch anything.

Facts about Django that this rests on were tried on 5.2: ``request.user`` and ``request.auser`` are
separate paths with separate caches; ``login()`` by the same user over an ended session rotates
nothing; a stamp survives ``cycle_key()`` and dies with ``flush()``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.utils.functional import SimpleLazyObject

from backsoon.core.vocabulary import Mode
from backsoon.exceptions import LoginRefusedError
from backsoon.gate import gate

from .users import ais_administrator, is_administrator

if TYPE_CHECKING:
    from django.http import HttpRequest

STAMP = "_backsoon_generation"
LOGGED_IN = "_backsoon_logged_in"
"""Attribute of the request: the administrator who logged in with it."""

NEVER = -1
"""The stamp of a login that was over before it began."""

SEEN = "_backsoon_seen"
"""Attribute of the request: the user that something on the way asked for."""


def connect() -> None:
    """Stamp every login from now on."""
    user_logged_in.connect(_stamp, dispatch_uid="backsoon.sessions")


def _stamp(*, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    session = getattr(request, "session", None)
    if request is None or session is None:
        return
    state = gate.view().state
    administrator = is_administrator(user)
    not_rotated = session.session_key == request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if _is_outdated(session.get(STAMP, 0), state.generation) and not_rotated:
        session.cycle_key()  # the same user over an ended login: its old key must not live on
    # A login that was under way when the site closed, or that a middleware made before any door,
    # ends with this request: it must not come through the closure with the closure's own number.
    session[STAMP] = NEVER if state.mode is Mode.CLOSED and not administrator else state.generation
    if administrator:
        # Some frameworks wrap the request; the response will be Django's.
        own = getattr(request, "_request", request)
        setattr(own, LOGGED_IN, user)
        setattr(own, SEEN, user)


def _is_outdated(stamp: object, generation: int) -> bool:
    return not isinstance(stamp, int) or stamp < generation


# -- Where the user is resolved ----------------------------------------------------------------


def guard_user(request: HttpRequest) -> None:
    """Make ``request.user`` and ``request.auser`` anonymous where the login has ended.

    Both are set further down the stack, and asked for by other middlewares, views and error pages
    alike; so what is guarded is the setting. Lazy as they are: who does not ask pays for nothing.
    """
    kind = type(request)
    guarded = _guarded_classes.get(kind)
    if guarded is None:
        guarded = _guard_class(kind)
    request.__class__ = guarded


class _Guarded:
    """Mixed into the request's class.

    Only what ``AuthenticationMiddleware`` and its like set, a lazy user and a partial, comes from
    the session. A user that is set as it is (by a token, a certificate, a login) is left as it is.
    """

    @property
    def user(self) -> Any:
        try:
            return self.__dict__["user"]
        except KeyError:
            raise AttributeError("user") from None

    @user.setter
    def user(self, user: Any) -> None:
        if type(user) is SimpleLazyObject:
            user = SimpleLazyObject(functools.partial(_judged, self, user))
        self.__dict__["user"] = user

    @user.deleter
    def user(self) -> None:
        del self.__dict__["user"]

    @property
    def auser(self) -> Any:
        try:
            return self.__dict__["auser"]
        except KeyError:
            raise AttributeError("auser") from None

    @auser.setter
    def auser(self, auser: Any) -> None:
        if isinstance(auser, functools.partial):
            auser = functools.partial(_ajudged, self, auser)
        self.__dict__["auser"] = auser

    @auser.deleter
    def auser(self) -> None:
        del self.__dict__["auser"]


_guarded_classes: dict[type, Any] = {}
"""Each class of requests that came by, and the guarded one; a guarded one is its own."""


def _guard_class(kind: type) -> Any:
    guarded = kind
    if not issubclass(kind, _Guarded):
        guarded = type(kind.__name__, (_Guarded, kind), {"__module__": kind.__module__})
        _guarded_classes[guarded] = guarded
    return _guarded_classes.setdefault(kind, guarded)


def _judged(request: Any, user: Any) -> Any:
    user = _unwrapped(user)
    if not user.is_authenticated:
        return user
    if not _login_has_ended(request, user):
        setattr(request, SEEN, user)
        return user
    state = gate.view().state
    if is_administrator(user):
        if state.is_open:
            request.session[STAMP] = state.generation
        setattr(request, SEEN, user)
        return user
    if state.is_open:
        request.session.flush()
    return AnonymousUser()


async def _ajudged(request: Any, auser: Callable[[], Any]) -> Any:
    user = await auser()
    if not user.is_authenticated:
        return user
    if not await _alogin_has_ended(request, user):
        setattr(request, SEEN, user)
        return user
    state = gate.view().state
    if await ais_administrator(user):
        if state.is_open:
            await request.session.aset(STAMP, state.generation)
        setattr(request, SEEN, user)
        return user
    if state.is_open:
        await request.session.aflush()
    request.__dict__["auser"] = _anonymous
    return AnonymousUser()


async def _anonymous() -> AnonymousUser:
    return AnonymousUser()


async def _alogin_has_ended(request: HttpRequest, user: Any) -> bool:
    if hasattr(request.session, "_session_cache"):  # loaded to find the user: no thread needed
        return _login_has_ended(request, user)
    return await sync_to_async(_login_has_ended)(request, user)


def _login_has_ended(request: HttpRequest, user: Any) -> bool:
    """Whether the session that says who this is was stamped before the last closure.

    A user whom something else than the session named (a token, a client certificate) has no stamp
    and no login that could have ended.
    """
    session = getattr(request, "session", None)
    if session is None or not hasattr(user, "_meta"):
        return False
    if session.get(SESSION_KEY) != user._meta.pk.value_to_string(user):
        return False
    return _is_outdated(session.get(STAMP, 0), gate.view().state.generation)


def _unwrapped(user: Any) -> Any:
    """The user itself where Django wrapped it, so that wrappers do not pile up."""
    if isinstance(user, SimpleLazyObject):
        user.is_authenticated  # noqa: B018  (resolves it)
        return user.__dict__["_wrapped"]
    return user


# -- The door ----------------------------------------------------------------------------------


def make_door(request: HttpRequest) -> None:
    """While the site is closed: let only administrators' logins reach the session."""
    session = getattr(request, "session", None)
    if session is not None and not isinstance(session, _Door):
        session.__class__ = _door_class(type(session))  # type: ignore[arg-type]


def leave_alone(request: HttpRequest) -> None:
    """Forget whatever this request did to its session, so that nothing is written or set."""
    session = getattr(request, "session", None)
    if session is not None:
        engine = import_module(settings.SESSION_ENGINE)
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        request.session = engine.SessionStore(key)


class _Door:
    """Mixed into the session's class for one request.

    ``login()`` first gets rid of the old session (``flush`` or ``cycle_key``, which write) and then
    says who logs in. The door keeps the first in mind until it knows the second; for an ordinary
    user it raises :class:`LoginRefusedError` with nothing written, not even ``last_login``.
    """

    _doomed: str | None = None
    """Key of a flushed session whose stored data is still there."""
    _to_rotate = False
    _was_modified = False
    modified: bool

    def cycle_key(self) -> None:
        self._to_rotate = True
        self._was_modified = self.modified
        self.modified = True  # so that the session middleware sends the new key

    def flush(self) -> None:
        self._doomed = self._doomed or self.session_key  # type: ignore[attr-defined]
        self.clear()  # type: ignore[attr-defined]
        self._session_key = None

    async def acycle_key(self) -> None:
        self.cycle_key()

    async def aflush(self) -> None:
        self.flush()

    def __setitem__(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            self._admit_login(value)
        super().__setitem__(key, value)  # type: ignore[misc]

    async def aset(self, key: str, value: Any) -> None:
        if key == SESSION_KEY:
            await sync_to_async(self._admit_login)(value)
        await super().aset(key, value)  # type: ignore[misc]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._catch_up()
        super().save(*args, **kwargs)  # type: ignore[misc]

    async def asave(self, *args: Any, **kwargs: Any) -> None:
        await sync_to_async(self._catch_up)()
        await super().asave(*args, **kwargs)  # type: ignore[misc]

    def is_empty(self) -> bool:
        # The session middleware asks this before anything else: a logout has to be done by then.
        self._catch_up()
        return super().is_empty()  # type: ignore[misc, no-any-return]

    def _admit_login(self, pk: str) -> None:
        model = get_user_model()
        user = model._default_manager.filter(pk=model._meta.pk.to_python(pk)).first()
        if not is_administrator(user):
            # Also for a view that catches every error around its login.
            self._doomed, self._to_rotate = None, False
            self.modified = self._was_modified
            raise LoginRefusedError("Only administrators can log in while the site is closed.")
        self._catch_up()

    def _catch_up(self) -> None:
        doomed, self._doomed = self._doomed, None
        to_rotate, self._to_rotate = self._to_rotate, False
        if doomed is not None:
            kept = dict(self._session)  # type: ignore[attr-defined]
            self.delete(doomed)  # type: ignore[attr-defined]
            # Where the cookie is the store, deleting empties what was put in since.
            self._session_cache = kept
        if to_rotate:
            super().cycle_key()  # type: ignore[misc]


@functools.cache
def _door_class(engine: Any) -> type:
    return type("SessionStore", (_Door, engine), {"__module__": engine.__module__})

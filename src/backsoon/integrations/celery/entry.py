"""Where a task begins: the pool's entrance, watched.

Celery's parts lead every task to one call, ``pool.apply_async``, whichever way it came: received,
due by its time, freed by a rate limit, waiting for a place in the pool. The pool tells by callbacks
what became of it. Here both are stood in for: a task is counted before anybody looks whether the
site is open, and counted out when the pool says that it has ended.

Two kinds of pool differ in when a task begins. A process of a prefork pool is out of sight, so its
task counts from the moment at which it is handed over. Threads, greenlets and the solo pool let
tasks wait in line inside the pool; there the look is taken right before each one runs.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from backsoon import inflight, processes
from backsoon.gate import gate
from backsoon.processes import Process

from . import custody
from .custody import Custody
from .marks import is_allowed

if TYPE_CHECKING:
    from .line import Line

logger = logging.getLogger("backsoon")

IN_PROCESS = frozenset(
    f"celery.concurrency.{name}" for name in ("solo", "thread", "gevent", "eventlet")
)
"""Pools that run a task in this process, in the thread that said that it accepted it."""

KILLED = frozenset({"TimeLimitExceeded"})
"""What a pool reports of a task just before it kills the process that runs it."""

CORPSE_SECONDS = 0.1
"""How often to look whether a killed process is gone."""

QUIET_SECONDS = 0.25
"""How often to look whether a pool that dropped a task has nothing to do."""


def watch(pool: Any, line: Line) -> None:
    """Let no ordinary task of *pool* begin while the site is not open; *line* gets those held."""
    enter: Callable[..., Any] = pool.apply_async
    kind: Callable[..., Inside | Ahead] = Inside
    if type(pool).__module__ not in IN_PROCESS:
        kind = partial(Ahead, custody.begin(pool))

    def apply_async(
        target: Callable[..., Any], args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        request = getattr(options.get("accept_callback"), "__self__", None)
        if request is None:  # no task
            return enter(target, args, kwargs, **options)
        return kind(request, line, options).enter(enter, target, args, kwargs)

    pool.apply_async = apply_async


class _Passage:
    """One task on its way through the pool."""

    def __init__(self, request: Any, line: Line, options: dict[str, Any]) -> None:
        self.request = request
        self.line = line
        self.options = options
        self.unit = inflight.Unit("TASK", request.type)

    def _let_in(self) -> bool:
        """Count first, then look. Whoever is let in has to be counted out."""
        if is_allowed(self.request.task):
            inflight.set_apart(self.unit)
            return True
        if gate.enter(self.unit).is_open:
            return True
        inflight.leave(self.unit)
        return False

    def _leave(self) -> None:
        inflight.leave(self.unit)


class Ahead(_Passage):
    """Through a pool whose processes are out of sight: counted until it reports back."""

    def __init__(self, keeper: Custody | None, *rest: Any) -> None:
        super().__init__(*rest)
        self.custody = keeper

    def enter(
        self, enter: Callable[..., Any], target: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Hand the task over to the pool, or set it aside."""
        if not self._let_in():
            self.line.hold(self.request, has_place=True)
            return None
        number = 0
        if self.custody is not None:
            number = self.custody.number()
            target, args = custody.run, (number, target, *(args or ()))
        # A pool drops what it has not started when the connection to the broker breaks.
        self._mourning = weakref.finalize(
            self, _lost, self.unit, self.request.id, self.line, self.custody, number
        )
        self._mourning.atexit = False
        watched = {"callback": self._succeeded, "error_callback": self._failed}
        try:
            return enter(target, args, kwargs, **{**self.options, **watched})
        except BaseException:
            self._mourning.detach()
            self._leave()  # it was not handed over
            raise

    def _succeeded(self, *args: Any, **kwargs: Any) -> Any:
        self._mourning.detach()
        try:
            return self.options["callback"](*args, **kwargs)
        finally:
            self._leave()

    def _failed(self, failure: Any, *args: Any, **kwargs: Any) -> Any:
        self._mourning.detach()
        process = _victim(failure, self.request.worker_pid)
        try:
            return self.options["error_callback"](failure, *args, **kwargs)
        finally:
            if process is None:
                self._leave()
            else:
                self._leave_when_gone(process)

    def _leave_when_gone(self, process: Process) -> None:
        if processes.is_gone(process):
            self._leave()
        else:
            self.line.later(CORPSE_SECONDS, self._leave_when_gone, process)


class Inside(_Passage):
    """Through a pool of this very process: looked at right before it runs."""

    is_held = False

    def enter(
        self, enter: Callable[..., Any], target: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Hand the task over to the pool, which asks again when its turn comes."""
        self._target = target
        watched = {
            "accept_callback": self._accept,
            "callback": self._ended,
            "timeout_callback": self._timed_out,
        }
        return enter(self._run, args, kwargs, **{**self.options, **watched})

    def _accept(self, *args: Any, **kwargs: Any) -> None:
        # Without a word to Celery's own callback: it would acknowledge the message.
        self.is_held = not self._let_in()
        if self.is_held:
            return
        # Should the pool break off without a word, then with the last reference to this.
        self._ending = weakref.finalize(self, inflight.leave, self.unit)
        self._ending.atexit = False
        self.options["accept_callback"](*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        return None if self.is_held else self._target(*args, **kwargs)

    def _ended(self, *args: Any, **kwargs: Any) -> Any:
        if self.is_held:
            self.line.hold(self.request)
            return None
        try:
            return self.options["callback"](*args, **kwargs)
        finally:
            self._leave()

    def _timed_out(self, soft: bool, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.options["timeout_callback"](soft, *args, **kwargs)
        finally:
            if not soft:
                self._leave()


def _victim(failure: Any, pid: int | None) -> Process | None:
    """The process that the pool is about to kill, if that is what *failure* says."""
    error = getattr(failure, "exception", None)
    named = {kind.__name__ for kind in type(getattr(error, "exc", error)).__mro__}
    machine = processes.machine()
    if not named & KILLED or pid is None or not machine:
        return None
    started = processes.started(pid)
    return None if started is None else Process("", machine, pid, started)


def _lost(
    unit: inflight.Unit, identity: str, line: Line, keeper: Custody | None, number: int
) -> None:
    """The pool has dropped a task, and will never say what became of it."""
    if not line.is_attended:
        return  # the worker ends, and with it the count
    if keeper is not None:
        keeper.drop(number)
        _leave_when_quiet(unit, identity, line, keeper, number)
    else:
        _give_up(unit, identity)


def _leave_when_quiet(
    unit: inflight.Unit, identity: str, line: Line, keeper: Custody, number: int
) -> None:
    if not keeper.covers(number):
        _give_up(unit, identity)
    elif keeper.is_quiet():
        inflight.leave(unit)
    else:
        line.later(QUIET_SECONDS, _leave_when_quiet, unit, identity, line, keeper, number)


def _give_up(unit: inflight.Unit, identity: str) -> None:
    logger.warning(
        "Backsoon: the pool dropped the task %s[%s] when it lost the broker; whether one of its "
        "processes had begun with it cannot be told. It counts as running until this worker is "
        "started again.", unit.path, identity,
    )  # fmt: skip

"""The checks before the site opens: what is asked, with a time limit for each.

They run before anything is written, never inside a transaction of ours.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core import checks as django_checks
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import conf, environment
from .core.checkup import Check, Checked, Kind, failed
from .exceptions import ChecksFailedError
from .rehearsal import Stack

logger = logging.getLogger("backsoon")

NAMES_TOLD = 5
"""How many migrations or errors a sentence names."""

LONGEST_WHY = 500
"""Characters of what a function of the project says."""

_hanging: dict[str, threading.Thread] = {}
"""Those that did not come back in time, by name: they are not begun a second time."""


def run_checks(*, is_async: bool = False) -> tuple[Checked, ...]:
    """Run every check of ``BACKSOON["REOPEN_CHECKS"]``, one after the other. Does not fail.

    Addresses are visited through an asynchronous stack if *is_async*.
    """
    settings = conf.current()
    examiner = _Examiner(is_async=is_async)
    return tuple(
        _within(settings.reopen_timeout, check, examiner) for check in settings.reopen_checks
    )


def require_passed(results: tuple[Checked, ...]) -> None:
    """Raise :class:`ChecksFailedError` if any of them speaks against opening."""
    bad = failed(results)
    if not bad:
        return
    sentences = " ".join(f"{result.name}: {result.why_not}" for result in bad)
    count = ngettext(
        "%(number)d check before opening failed.", "%(number)d checks before opening failed.",
        len(bad),
    ) % {"number": len(bad)}  # fmt: skip
    raise ChecksFailedError(f"{count} {sentences}", results)


def remarks(results: tuple[Checked, ...]) -> dict[str, Any]:
    """What the history says of *results*; with failed ones, that the site was opened anyway."""
    if not results:
        return {}
    forced = {"forced": True} if failed(results) else {}
    return {"checks": [result.record() for result in results]} | forced


class _Unfit(Exception):
    """A check has failed; the message says why."""


def _within(seconds: float, check: Check, examiner: _Examiner) -> Checked:
    """Examine in a thread of its own, so that whatever hangs there holds up nobody for long."""
    left = _hanging.get(check.name)
    if left is not None and left.is_alive():
        return Checked(check.name, _("It still hangs since it was tried before."), 0.0)
    said: list[str] = []
    language, inherited = translation.get_language() or "en", _connections_of_a_test()

    def work() -> None:
        with translation.override(language), _own_connections(inherited):
            said.append(_why_not(check, examiner))

    thread = threading.Thread(target=work, name=f"backsoon-check {check.name}", daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(seconds)
    took = time.monotonic() - began
    if not thread.is_alive():
        _hanging.pop(check.name, None)
        return Checked(check.name, said[0] if said else _("It ended without an answer."), took)
    _hanging[check.name] = thread
    logger.error("Backsoon: the check %s before opening hangs.", check.name)
    late = _("It did not answer within %(seconds)g seconds.") % {"seconds": seconds}
    return Checked(check.name, late, took)


def _why_not(check: Check, examiner: _Examiner) -> str:
    try:
        examiner.examine(check)
    except _Unfit as unfit:
        return str(unfit)
    except Exception as error:
        # Only its class: what it says may hold what is not for everybody's eyes.
        logger.exception("Backsoon: the check %s before opening failed.", check.name)
        return _("It raised %(error)s; see the log.") % {"error": type(error).__name__}
    return ""


class _Examiner:
    """Carries out the checks of one run; each raises ``_Unfit`` or whatever it meets."""

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async

    @cached_property
    def _stack(self) -> Stack:
        return Stack(is_async=self._is_async)

    def examine(self, check: Check) -> None:
        how: dict[Kind, Callable[[Check], None]] = {
            Kind.MIGRATIONS: self._migrations,
            Kind.SYSTEM: self._system,
            Kind.VISIT: self._visit,
            Kind.CALL: self._call,
        }
        how[check.kind](check)

    def _migrations(self, check: Check) -> None:
        waiting = []
        aliases = check.databases or tuple(connections)
        for alias in aliases:
            executor = MigrationExecutor(connections[alias])
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
            where = f" ({alias})" if len(aliases) > 1 else ""
            waiting += [f"{step.app_label}.{step.name}{where}" for step, _backwards in plan]
        if waiting:
            raise _Unfit(
                ngettext(
                    "%(number)d migration is not applied: %(names)s.",
                    "%(number)d migrations are not applied: %(names)s.",
                    len(waiting),
                )
                % {"number": len(waiting), "names": _first(waiting)}
            )

    def _system(self, check: Check) -> None:
        found = django_checks.run_checks(
            include_deployment_checks=check.deploy, databases=list(connections)
        )
        errors = [
            message.id or str(message.msg)
            for message in found
            if message.is_serious(django_checks.ERROR) and not message.is_silenced()
        ]
        if errors:
            raise _Unfit(
                ngettext(
                    "The system checks find %(number)d error: %(names)s. Run: manage.py check",
                    "The system checks find %(number)d errors: %(names)s. Run: manage.py check",
                    len(errors),
                )
                % {"number": len(errors), "names": _first(errors)}
            )

    def _visit(self, check: Check) -> None:
        # As the visitor who says nothing of a language.
        with translation.override(None):
            seen = self._stack.visit(check.target)
        if seen.raised:
            raise _Unfit(
                _("A visitor gets %(status)d: the view raised %(error)s; see the log.")
                % {"status": seen.status, "error": seen.raised}
            )
        if seen.is_maintenance:
            raise _Unfit(_("A visitor would still get the maintenance page."))
        if not 200 <= seen.status < 400:
            raise _Unfit(_("A visitor gets %(status)d.") % {"status": seen.status})

    def _call(self, check: Check) -> None:
        function = check.target
        if isinstance(function, str):
            function = import_string(function)
        answer = async_to_sync(function)() if iscoroutinefunction(function) else function()
        if answer is None or answer is True:
            return
        if isinstance(answer, str) and answer.strip():
            raise _Unfit(" ".join(answer.split())[:LONGEST_WHY])
        raise _Unfit(_("It answered %(answer)s.") % {"answer": repr(answer)[:LONGEST_WHY]})


def _first(names: list[str]) -> str:
    more = len(names) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (" …" if more > 0 else "")


def _connections_of_a_test() -> dict[str, Any]:
    """In a test, what it wrote is seen by its own connections alone, so those are lent out."""
    if not environment.in_test_environment():
        return {}
    return {connection.alias: connection for connection in connections.all(initialized_only=True)}


@contextmanager
def _own_connections(inherited: dict[str, Any]) -> Iterator[None]:
    """Close what the thread opens; let it use what is *inherited*."""
    for alias, connection in inherited.items():
        connection.inc_thread_sharing()
        connections[alias] = connection
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if inherited.get(connection.alias) is not connection:
                connection.close()
        for connection in inherited.values():
            connection.dec_thread_sharing()

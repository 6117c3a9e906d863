"""Closing as ``on`` and ``run`` do it: a new closure, or a change of the one that has begun."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backsoon import services, store
from backsoon.core.state import resolve_state, switch_mode
from backsoon.core.vocabulary import Mode, Policy, Switch
from backsoon.exceptions import ConflictError, InvalidSettingError, StoreUnavailableError

from . import words
from .console import origin, plain_text, usage_error
from .failures import as_command_error
from .moments import parse_end, parse_length

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Mark, Snapshot

UNCHANGED = "Nothing changed"
"""How a refusal begins where the site is closed already."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What was done."""

    before: Snapshot
    """What was true until then."""
    outcome: Outcome
    switch: Switch
    ongoing: bool
    """Whether it had begun before."""
    amended: list[str]
    """What was changed about one that had."""

    @property
    def data(self) -> dict[str, Any]:
        """The closure as ``--json`` gives it."""
        return words.state_data(self.outcome.state, self.outcome.mark) | {
            "open_at_end": self.switch.open_at_end,
            "changed": self.outcome.changed,
            "already_on": self.ongoing,
            "amended": self.amended,
        }

    def lines(self, options: Mapping[str, Any]) -> Iterator[str]:
        """The closure in sentences, for who gave these *options*."""
        line = words.state_line(self.outcome.state, self.outcome.mark, self.switch, store.utc_now())
        if not self.ongoing:
            yield line
            return
        changed = f"changed: {', '.join(self.amended)}" if self.amended else "nothing to change"
        yield f"It was on already; {changed}. {line}"
        if options["keep_logins"]:
            yield "--keep-logins changes nothing about a closure that has begun."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what can be said about a closure."""
    parser.add_argument(
        "--message", type=plain_text, help='What visitors read; "" brings the default back.'
    )
    parser.add_argument(
        "--until",
        metavar="WHEN",
        help="When you expect to be back: 2030-01-31T14:00+01:00, or +2h, +90m, +1d12h.",
    )
    parser.add_argument(
        "--reason", type=plain_text, default="", help="Why, for the history and for colleagues."
    )
    parser.add_argument(
        "--keep-logins", action="store_true", help="Do not end the logins of ordinary users."
    )
    parser.add_argument(
        "--max-closure",
        metavar="TIME",
        help="Raise the alarm when it lasts longer, from now: 12h, 1d; 0 for never.",
    )
    parser.add_argument(
        "--read-only", action="store_true", help="Let visitors read, but change nothing."
    )


def add_timer(parser: ArgumentParser) -> None:
    """Declare ``--open-at-end``, for a closure that nobody need be there to end."""
    parser.add_argument(
        "--open-at-end",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="Make the expected end a timer that opens the site, or a promise again.",
    )


def mode_of(options: Mapping[str, Any]) -> Mode:
    """What is asked for."""
    return Mode.READ_ONLY if options["read_only"] else Mode.CLOSED


def close(
    options: Mapping[str, Any],
    failure: str,
    *,
    cut_streams_after: float | None = None,
) -> Closure:
    """Close as *options* say, unless somebody else switches to something else meanwhile.

    Raises what :func:`backsoon.services.close_site` does, and usage errors whose words begin with
    *failure* as long as the site is not closed.
    """
    require_sense(options, failure)
    try:
        return close_from(store.load(), options, failure, cut_streams_after=cut_streams_after)
    except ConflictError:
        asks_for_more = cut_streams_after is not None or any(
            options.get(name) not in (None, "")
            for name in ("message", "until", "reason", "open_at_end", "max_closure")
        )
        now_stored = store.load()
        if asks_for_more or not is_ongoing(now_stored, mode_of(options), store.utc_now()):
            raise
        # Somebody wanted the very same at the same time.
        return close_from(now_stored, options, failure)


def require_sense(options: Mapping[str, Any], failure: str) -> None:
    """Raise a usage error about what can be refused without the database."""
    try:
        _until(options["until"], store.utc_now())
        _longest(options.get("max_closure"))
    except _UsageError as error:
        raise usage_error(f"{refusal(failure)}: {error}") from None


def close_from(
    before: Snapshot,
    options: Mapping[str, Any],
    failure: str,
    *,
    mode: Mode | None = None,
    cut_streams_after: float | None = None,
    run: Mapping[str, Any] | None = None,
) -> Closure:
    """Close what *before* saw; raises as :func:`close`, and ``ConflictError`` if that has moved."""
    now = store.utc_now()
    mode = mode_of(options) if mode is None else mode
    switch = before.policy.switch
    ongoing = is_ongoing(before, mode, now)
    given_timer = options.get("open_at_end")
    try:
        asked_end = _until(options["until"], now)
        until, timer = _end(asked_end, given_timer, before, ongoing, now)
        outcome = services.close_site(
            origin=origin(),
            reason=options["reason"] or "",
            message=options["message"],
            until=until,
            mode=mode,
            keep_logins=options["keep_logins"],
            open_at_end=timer,
            expected=before.mark,
            longest=_longest(options.get("max_closure")),
            cut_streams_after=cut_streams_after,
            run=run,
        )
    except _UsageError as error:
        raise usage_error(f"{UNCHANGED if ongoing else failure}: {error}") from None
    except InvalidSettingError as error:
        raise as_command_error(error, UNCHANGED if ongoing else failure) from error
    if ongoing and until is None:
        timer = switch.open_at_end
    after = Switch(mode, outcome.state.since, open_at_end=timer)
    amended = _amended(outcome, switch, after, options) if ongoing else []
    return Closure(before, outcome, after, ongoing, amended)


def undo(
    closure: Closure,
    expected: Mark,
    reason: str,
    run: Mapping[str, Any] | None = None,
    *,
    checked: bool = False,
) -> tuple[Outcome, str]:
    """Bring back what was before *closure*: open, or closed as it was; also a sentence about it.

    *run* is what became of the command that it was for. *checked*, the checks before opening may
    speak against it (:class:`backsoon.exceptions.ChecksFailedError`).

    A planned closure that goes on is no work of ours, so it stays. Raises
    :class:`backsoon.exceptions.ConflictError` when somebody has moved the switch since *expected*,
    and what else :func:`backsoon.services.close_site` does.
    """
    policy, now = closure.before.policy, store.utc_now()
    if switch_mode(policy, now) is Mode.OPEN:
        outcome = services.open_site(
            origin=origin(),
            reason=reason,
            keep_planned=True,
            expected=expected,
            checked=checked,
        )
        return outcome, words.state_line(outcome.state, outcome.mark, Switch(since=now), now)
    if closure.ongoing:
        outcome = services.record_run(run or {}, origin=origin(), expected=expected, forget=True)
        was = words.adjective(closure.switch.mode)
        return outcome, f"The site was {was} before, so it stays {was}."
    return _closed_as_before(policy, expected, now)


def _closed_as_before(policy: Policy, expected: Mark, now: dt.datetime) -> tuple[Outcome, str]:
    """Close anew, with all that was said about the closure of *policy*."""
    switch, end = policy.switch, policy.ends_at
    ahead = end if end is not None and end > now else None
    # Zero is never: nobody was to be alarmed, or everybody has been.
    left = switch.overdue_at - now if switch.overdue_at is not None else dt.timedelta(0)
    outcome = services.close_site(
        origin=origin(),
        reason=switch.reason,
        until=ahead,
        open_at_end=switch.open_at_end and ahead is not None,
        mode=switch.mode,
        keep_logins=not words.ends_logins(policy.generation, switch.since),
        longest=max(dt.timedelta(0), left),
        expected=expected,
    )
    return outcome, f"The site is {words.adjective(switch.mode)} again, as it was before."


def is_ongoing(before: Snapshot, mode: Mode, now: dt.datetime) -> bool:
    """Whether the switch has closed the site to *mode*, and still does."""
    state = resolve_state(before.policy, before.windows, now)
    set_by_us = before.policy.switch.mode is mode and not before.changed_outside
    return set_by_us and state.mode is mode


def refusal(failure: str) -> str:
    """How a refusal begins: with *failure*, unless that would be wrong about a closed site."""
    try:
        snapshot = store.load()
    except StoreUnavailableError:
        return failure
    state = resolve_state(snapshot.policy, snapshot.windows, store.utc_now())
    return failure if state.is_open else UNCHANGED


class _UsageError(ValueError):
    """What was typed cannot be."""


def _end(
    until: dt.datetime | None,
    given: bool | None,
    before: Snapshot,
    ongoing: bool,
    now: dt.datetime,
) -> tuple[dt.datetime | None, bool]:
    """The end, and whether it is a timer as *given*. What is not given stays as it is."""
    timer = bool(given) or (given is None and ongoing and before.policy.switch.open_at_end)
    if until is None and given is not None and ongoing:
        until = before.policy.ends_at  # the end stays, only its meaning changes
    if until is None and given:
        raise _UsageError("--open-at-end needs an end, such as --until +2h.")
    if until is not None and until <= now:
        raise _UsageError("the expected end has passed. Give a new one with --until.")
    return until, timer and until is not None


def _until(given: str | dt.datetime | None, now: dt.datetime) -> dt.datetime | None:
    """The end as ``call_command`` may give it, too: a datetime is taken as it is."""
    if isinstance(given, dt.datetime) and given.tzinfo is None:
        raise _UsageError(f"--until: {given!r} has no time zone.")
    if given is None or isinstance(given, dt.datetime):
        return given
    try:
        return parse_end(given, now)
    except ValueError as error:
        raise _UsageError(f"--until: {error}") from None


def _longest(given: str | dt.timedelta | None) -> dt.timedelta | None:
    if given is None or isinstance(given, dt.timedelta):
        return given
    try:
        return parse_length(given)
    except ValueError as error:
        raise _UsageError(f"--max-closure: {error}") from None


def _alarm(outcome: Outcome) -> str:
    moment = outcome.state.overdue_at
    return "no alarm" if moment is None else f"alarm at {words.clock(moment, store.utc_now())}"


def _amended(
    outcome: Outcome, before: Switch, after: Switch, options: Mapping[str, Any]
) -> list[str]:
    """What was changed about a closure that had begun already."""
    stored = {key.partition(":")[0] for change in outcome.changes for key in change.after}
    changes = {
        "message": services.MESSAGE_KEY in stored,
        "expected end": services.END_KEY in stored,
        _alarm(outcome): options.get("max_closure") is not None,
        "opening at the end": before.open_at_end != after.open_at_end,
        "reason": before.reason != outcome.state.reason,
    }
    return [name for name, changed in changes.items() if changed]

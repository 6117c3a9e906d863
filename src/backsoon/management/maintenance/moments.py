"""Reading moments that people type: ISO 8601, or a length of time such as ``+2h``."""

from __future__ import annotations

import datetime as dt
import re

from django.utils import timezone

FARTHEST = dt.timedelta(days=366)
"""A closure that ends later than this is a slip of the hand."""

ACCEPTED = "Give a moment such as 2030-01-31T14:00+01:00, or a length such as +2h, +90m or +1d12h."
ACCEPTED_PAST = "Give a moment such as 2030-01-31T14:00+01:00, a day, or a length such as 2h or 7d."

# Nine digits reach past every date, and Python refuses to read numbers of some thousand digits.
_LENGTH = re.compile(
    "".join(
        rf"(?:(?P<{unit}>[0-9]{{1,9}}){unit[0]})?"
        for unit in ("days", "hours", "minutes", "seconds")
    )
)


def parse_end(text: str, now: dt.datetime) -> dt.datetime:
    """The end of a closure, in UTC; a moment without offset is one of the settings' time zone.

    Raises ``ValueError`` with a sentence for whoever typed it.
    """
    text = text.strip()
    if text.startswith("+"):
        end = _shifted(now, text[1:], 1, ACCEPTED)
    elif _is_day(text):
        raise ValueError(f"{text} is a whole day; add the time. {ACCEPTED}")
    else:
        end = _moment(text, ACCEPTED)
    if end <= now:
        raise ValueError(f"{text} has passed: it is {_local(now)} now. {ACCEPTED}")
    if end - now > FARTHEST:
        raise ValueError(f"{text} is more than a year away. {ACCEPTED}")
    return end


def parse_start(text: str, now: dt.datetime) -> dt.datetime:
    """The start of a planned closure, as :func:`parse_end` reads an end; or ``now``."""
    return now if text.strip().lower() == "now" else parse_end(text, now)


def parse_length(text: str) -> dt.timedelta:
    """A length of time such as ``12h``; ``0`` for none.

    Raises ``ValueError`` with a sentence for whoever typed it.
    """
    accepted = "Give a length such as 12h, 90m or 1d12h, or 0 for none."
    text = text.strip().removeprefix("+")
    if text == "0":
        return dt.timedelta(0)
    start = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    length = _shifted(start, text, 1, accepted) - start
    if length > FARTHEST:
        raise ValueError(f"{text} is more than a year. {accepted}")
    return length


def parse_past(text: str, now: dt.datetime) -> dt.datetime:
    """A moment to look back to, in UTC; a length counts back from *now*.

    Raises ``ValueError`` with a sentence for whoever typed it.
    """
    text = text.strip()
    if _is_day(text):
        return _moment(f"{text}T00:00", ACCEPTED_PAST)
    if _LENGTH.fullmatch(text.removeprefix("-")):
        return _shifted(now, text.removeprefix("-"), -1, ACCEPTED_PAST)
    return _moment(text, ACCEPTED_PAST)


def _shifted(now: dt.datetime, text: str, sign: int, accepted: str) -> dt.datetime:
    match = _LENGTH.fullmatch(text)
    parts = {unit: int(n) for unit, n in match.groupdict().items() if n} if match else {}
    if not parts:
        raise ValueError(f"{text!r} is not a length of time. {accepted}")
    try:
        return now + sign * dt.timedelta(**parts)
    except OverflowError:
        raise ValueError(f"{text!r} is too long. {accepted}") from None


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(text: str, accepted: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else _in_zone(moment)).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is out of range. {accepted}") from None
    except _ClockError:
        raise
    except ValueError:
        raise ValueError(f"{text!r} is not a moment. {accepted}") from None


class _ClockError(ValueError):
    """A local time that the clocks skip, or show twice."""


def _in_zone(naive: dt.datetime) -> dt.datetime:
    """*naive* in the settings' time zone, if it names one moment there."""
    zone = timezone.get_current_timezone()
    first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    name = timezone.get_current_timezone_name()
    if second.astimezone(dt.UTC) > first.astimezone(dt.UTC):
        raise _ClockError(
            f"{_typed(naive)} happens twice in {name}, because the clocks are set back. Say which: "
            f"{_typed(first)} or {_typed(second)}."
        )
    # In a gap the earlier offset leads behind it and the later one before it.
    after = first.astimezone(dt.UTC).astimezone(zone)
    raise _ClockError(
        f"{_typed(naive)} does not exist in {name}, because the clocks are set forward. Did you "
        f"mean {_typed(after)}?"
    )


def _typed(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="minutes")


def _local(moment: dt.datetime) -> str:
    return _typed(timezone.localtime(moment))

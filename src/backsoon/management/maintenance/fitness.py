"""The checks before opening, as commands tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from backsoon import conf, services
from backsoon.core.checkup import Checked, checked_of, failed
from backsoon.core.state import opens_from
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import ChecksFailedError

from . import words
from .console import ExitCode
from .failures import state_now

if TYPE_CHECKING:
    import datetime as dt
    from argparse import ArgumentParser

    from backsoon.services import Outcome
    from backsoon.snapshots import Snapshot

    from .console import Console


def add_force(parser: ArgumentParser) -> None:
    """Declare ``--force``."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="Open though checks before opening fail; the history says so.",
    )


def tell(console: Console) -> None:
    """Run the checks, change nothing, and say what came of them. Raises ``CommandError``."""
    results = services.check_reopening()
    bad = failed(results)
    outcome = {"passed": not bad, "checks": [result.record() for result in results]}
    console.answer(outcome, lines(results))
    if bad:
        count = f"{len(bad)} of {len(results)} checks failed."
        raise CommandError(f"{count} Nothing was changed.", returncode=ExitCode.ERROR)


def refuse(console: Console, error: ChecksFailedError, failure: str) -> CommandError:
    """What to raise where the checks keep the site from opening; the answer is written before."""
    if console.as_json:
        data = {"changed": False, "checks": [result.record() for result in error.results]}
        console.answer(data, ())
    else:
        console.tell(lines(error.results))
    return CommandError(f"{failure}: {sentence(error)}", returncode=ExitCode.ERROR)


def sentence(error: ChecksFailedError) -> str:
    """What failed, what is true now and what to do."""
    bad = "; ".join(f"{result.name}: {result.why_not.rstrip('.')}" for result in error.failed)
    return (
        f"{len(error.failed)} of {len(error.results)} checks before opening failed ({bad}). "
        f"{state_now()} Put that right, then: manage.py maintenance off; to open all the same: "
        "manage.py maintenance off --force"
    )


def of_opening(outcome: Outcome) -> tuple[list[Checked], bool]:
    """What came of the checks of an opening that was carried out, and whether it was forced."""
    after: Mapping[str, Any] = outcome.changes[0].after if outcome.changes else {}
    return checked_of(after.get("checks")), bool(after.get("forced"))


def unchecked(snapshot: Snapshot, now: dt.datetime) -> list[str]:
    """How the site will open by the clock though it should be checked; empty where it will not."""
    if not conf.current().reopen_checks:
        return []
    found = [
        f"planned closure #{window.number} at {words.clock(window.ends_at, now)}"
        for window in snapshot.windows
        if window.ends_at is not None and window.ends_at > now
    ]
    timer = opens_from(snapshot.policy)
    if timer is not None and timer > now and snapshot.policy.switch.mode is not Mode.OPEN:
        found.insert(0, f"the closure by hand at {words.clock(timer, now)}")
    return found


def lines(results: Iterable[Checked]) -> Iterator[str]:
    """A line for each check."""
    results = list(results)
    if not results:
        yield "No checks are set: see REOPEN_CHECKS."
    for result in results:
        said = "ok" if result.passed else f"FAILED: {result.why_not}"
        yield f"  {result.name}: {said} ({result.seconds:.2f} s)"

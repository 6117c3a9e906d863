"""``maintenance on``: close the site, or change the closure that has begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from backsoon.core.vocabulary import Mode
from backsoon.exceptions import BacksoonError, ConflictError

from . import closing, local, waiting, words
from .console import ExitCode
from .failures import require_time_zones, state_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from backsoon.services import Outcome

    from .closing import Closure
    from .console import Console
    from .waiting import Wish

HELP = "Close the site. On a closed site it changes only what is given."
FAILURE = "Not closed"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    closing.add_arguments(parser)
    closing.add_timer(parser)
    waiting.add_wait(parser, "nothing that visitors began before runs any more")
    waiting.add_remedies(parser)
    local.add_argument(parser)


def run(console: Console, options: Mapping[str, Any]) -> None:
    """Close, and wait if that is asked for."""
    if options["local"]:
        local.run(Mode.CLOSED, FAILURE, console, options)
        return
    require_time_zones()
    wish = waiting.wish_of(options, closing.refusal(FAILURE) if _waits(options) else FAILURE)
    closure = closing.close(
        options, FAILURE, cut_streams_after=wish.cut_streams_after if wish else None
    )
    data = closure.data | {"superseded": local.supersede(console)}
    if wish is None:
        console.answer(data, closure.lines(options))
    else:
        _wait(console, wish, closure, data, options)


def _waits(options: Mapping[str, Any]) -> bool:
    return any(options.get(name) for name in ("wait", *waiting.NEEDING_WAIT))


def _wait(
    console: Console,
    wish: Wish,
    closure: Closure,
    data: dict[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Say that it is closed before anything else: that is true whatever comes of the wait."""
    if not console.as_json:
        console.tell(closure.lines(options))
    mode = closing.mode_of(options)
    result = waiting.wait(console, wish, mode=mode)
    opened = undone = None
    if wish.rollback and result.code not in (ExitCode.DONE, ExitCode.OVERTAKEN):
        opened, undone = roll_back(closure)
    if result.progress is not None:
        data |= words.state_data(result.progress.state, result.progress.mark)
    if opened is not None:
        data |= words.state_data(opened.state, opened.mark)
    data |= result.data | {"rolled_back": opened is not None}
    if not result.code:
        console.answer(data, [result.sentence])
        return
    if console.as_json:
        console.answer(data, ())
    said = failed(mode, result, undone)
    raise CommandError(f"{said[0].upper()}{said[1:]}", returncode=result.code)


def failed(mode: Mode, result: waiting.Result, undone: str | None) -> str:
    """The end of a wait that proved nothing; *undone* is what came of ``--rollback``."""
    done = words.adjective(mode)
    if result.code is ExitCode.OVERTAKEN:
        return f"not quiet: {result.sentence}"
    parts = [f"{done}, but {result.sentence}"]
    if undone is not None:
        parts.append(undone)
    elif result.code in (ExitCode.SILENT, ExitCode.BUSY):
        parts += [f"The site stays {done}.", result.advice]
    else:
        parts.append(result.advice)
    return " ".join(part for part in parts if part)


def roll_back(closure: Closure) -> tuple[Outcome | None, str]:
    """Undo what this very command has done, unless somebody switched since; and a sentence."""
    mode = words.adjective(closure.switch.mode)
    if closure.ongoing:
        return None, f"Not taken back, because the site was {mode} before. It stays {mode}."
    try:
        undone, said = closing.undo(closure, closure.outcome.mark, "--rollback")
    except ConflictError:
        return None, f"Not taken back, because somebody else switched since. {state_now()}"
    except BacksoonError as error:
        return None, f"That could not be taken back, and the site stays {mode}: {error}"
    if undone.state.is_open:
        return undone, "Opened again, as --rollback asks."
    return undone, f"Taken back, as --rollback asks. {said}"

"""``manage.py maintenance``: look at the state, change it, explain it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

from backsoon.management.maintenance import (
    cancel,
    deliver,
    doctor,
    explain,
    extend,
    history,
    listing,
    move,
    off,
    on,
    quiet,
    report,
    run,
    schedule,
    status,
    workers,
)
from backsoon.management.maintenance.console import Console, usage_error
from backsoon.management.maintenance.failures import (
    EXPLAINED,
    as_command_error,
    do_not_wait_long,
)

if TYPE_CHECKING:
    from backsoon.management.maintenance.console import SubCommand

SUB_COMMANDS: dict[str, SubCommand] = {
    "status": status,
    "on": on,
    "off": off,
    "run": run,
    "schedule": schedule,
    "list": listing,
    "extend": extend,
    "move": move,
    "cancel": cancel,
    "quiet": quiet,
    "deliver": deliver,
    "workers": workers,
    "history": history,
    "report": report,
    "explain": explain,
    "doctor": doctor,
}


class Parser(CommandParser):
    """A parser whose errors keep their exit code when a program calls the command."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2, or raise a ``CommandError`` that says 2."""
        if self.called_from_command_line:
            argparse.ArgumentParser.error(self, message)
        raise usage_error(f"Error: {message}")


class Command(BaseCommand):
    """The sub-commands' common entrance."""

    help = "Close and open the site, and say what is true."
    # In an emergency a fault elsewhere in the project must not keep the site from closing.
    requires_system_checks: tuple[str, ...] = ()
    _called_from_command_line = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make the parser, one whose usage errors say 2."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = Parser  # Django names the class of the parser itself
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the sub-commands, each with ``--json`` and the options of every command."""
        places = parser.add_subparsers(
            dest="sub_command", required=True, metavar="COMMAND", parser_class=Parser
        )
        for name, module in SUB_COMMANDS.items():
            place = places.add_parser(name, help=module.HELP, description=module.HELP)
            place.add_argument("--json", action="store_true", help="Answer with a line of JSON.")
            module.add_arguments(place)
            _accept_common_options(place)

    def handle(self, *args: Any, **options: Any) -> None:
        """Hand over to the sub-command; its failures become sentences and exit codes."""
        module = SUB_COMMANDS[options["sub_command"]]
        console = Console(self.stdout, as_json=options["json"], stderr=self.stderr)
        with translation.override("en"):
            try:
                if self._called_from_command_line:
                    do_not_wait_long(for_anything=options.get("local", False))
                module.run(console, options)
            except EXPLAINED as error:
                raise as_command_error(error, module.FAILURE, options["sub_command"]) from error


def _accept_common_options(parser: argparse.ArgumentParser) -> None:
    """Take the options that every command of Django has behind the sub-command's name as well.

    What is not given must not overwrite what stands before the name: hence no defaults.
    """
    unsaid = argparse.SUPPRESS
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, default=unsaid, help=unsaid)
    for name in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(name, action="store_true", default=unsaid, help=unsaid)
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=(0, 1, 2, 3), default=unsaid, help=unsaid
    )

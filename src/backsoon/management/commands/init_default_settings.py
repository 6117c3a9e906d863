"""``manage.py init_default_settings``: make the settings' rows and the administrators' group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import translation

from backsoon import services
from backsoon.groups import ADMINISTRATORS, GroupReport, make_administrators
from backsoon.management.maintenance.console import origin
from backsoon.management.maintenance.failures import (
    EXPLAINED,
    as_command_error,
    do_not_wait_long,
    require_time_zones,
)


class Command(BaseCommand):
    """Idempotent; what is there already is never overwritten."""

    help = (
        "Make the settings that are missing, with their defaults, and the group "
        f'"{ADMINISTRATORS}". What is there already stays as it is.'
    )
    requires_system_checks: tuple[str, ...] = ()
    _called_from_command_line = False

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing and say what was made, each as soon as it is true."""
        failure = "No setting made"
        with translation.override("en"):
            try:
                if self._called_from_command_line:
                    do_not_wait_long()
                require_time_zones()
                self._tell(_about_settings(services.init_defaults(origin=origin())), options)
                failure = f'No group "{ADMINISTRATORS}" made'
                self._tell(_about_group(make_administrators()), options)
            except EXPLAINED as error:
                raise as_command_error(error, failure) from error

    def _tell(self, lines: Iterable[str], options: dict[str, Any]) -> None:
        if options["verbosity"]:
            for line in lines:
                self.stdout.write(line)


def _about_settings(made: list[str]) -> Iterator[str]:
    if made:
        yield f"Made {len(made)} setting{'' if len(made) == 1 else 's'}: {', '.join(made)}."
    else:
        yield "All settings were there already; none was changed."


def _about_group(report: GroupReport) -> Iterator[str]:
    if report.made:
        yield (
            f'Made the group "{ADMINISTRATORS}": its members use the site while it is closed, and '
            "open and close it."
        )
        return
    yield f'The group "{ADMINISTRATORS}" was there already and was not changed.'
    if report.lacking:
        yield (
            f"It does not have {' and '.join(report.lacking)}. Add that in the admin if its "
            "members shall have it."
        )

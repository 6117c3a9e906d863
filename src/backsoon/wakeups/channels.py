"""What the channels have in common: their name, how they stand, how they complain."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

logger = logging.getLogger("backsoon")

CHANNEL = "backsoon"
"""Where changes are announced. PostgreSQL keeps each database's channels apart; on a Redis that
several sites share, they wake each other for nothing, which costs a reading."""

EXAMINATION_SECONDS = 1.0
"""How long word may take to come through before a channel counts as silent."""


class Reach(StrEnum):
    """How a channel stands."""

    OFF = "off"
    UNTESTED = "untested"
    LISTENING = "listening"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Channel:
    """How a channel stands, why, and what to do about it."""

    name: str
    reach: Reach
    message: str
    hint: str = ""


def private_channel() -> str:
    """A channel for one test, that nobody else listens to."""
    return f"{CHANNEL}_test_{uuid4().hex}"


def told(error: object) -> str:
    """What *error* says, to be put into a sentence."""
    return " ".join(str(error).split()).rstrip(".?") or type(error).__name__


class Outage:
    """Says once that something is out of order, and once that it works again."""

    def __init__(self, trouble: str, relief: str, *, aloud: bool = True) -> None:
        self._trouble = trouble
        self._relief = relief
        self._level = (logging.WARNING, logging.INFO) if aloud else (logging.DEBUG, logging.DEBUG)
        self.lasts = False

    def begins(self, error: object) -> None:
        """It does not work, for the reason *error*."""
        if not self.lasts:
            self.lasts = True
            logger.log(self._level[0], "Backsoon: %s: %s.", self._trouble, told(error))

    def ends(self) -> None:
        """It works."""
        if self.lasts:
            self.lasts = False
            logger.log(self._level[1], "Backsoon: %s", self._relief)

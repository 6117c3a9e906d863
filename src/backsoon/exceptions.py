"""What Backsoon raises; callers catch the exact one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .core.checkup import Checked, failed


class BacksoonError(Exception):
    """Base of everything that Backsoon raises on purpose."""


class StoreUnavailableError(BacksoonError):
    """The database could not be read or written; nothing was changed."""


class NotMigratedError(StoreUnavailableError):
    """The database answers, but our tables are not there yet: ``manage.py migrate`` was not run."""


class OutdatedTablesError(StoreUnavailableError):
    """Our tables are those of an earlier version: ``manage.py migrate`` was not run since."""


class ConflictError(BacksoonError):
    """Somebody else changed the same thing since the caller looked; nothing was written.

    ``theirs`` tells what is stored now, by setting key (empty for a conflict about the switch).
    """

    def __init__(
        self, message: str, *, theirs: Mapping[str, str] | None = None, by: str = ""
    ) -> None:
        super().__init__(message)
        self.theirs = dict(theirs or {})
        self.by = by


class InvalidSettingError(BacksoonError):
    """Values that cannot be stored. ``errors`` lists the sentences for the user by field name."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        self.errors = {key: list(messages) for key, messages in errors.items()}
        super().__init__(
            "; ".join(f"{key}: {' '.join(texts)}" for key, texts in self.errors.items())
        )


class NoSuchWindowError(InvalidSettingError):
    """There is no such planned closure, or it is over."""


class LoginRefusedError(BacksoonError):
    """An ordinary user gave right credentials while the site is closed; nothing was written."""


class AppendOnlyError(BacksoonError):
    """Somebody tried to change or delete a row of the history."""


class NotQuietError(BacksoonError):
    """The switch was moved as asked, but it is not proven that nothing runs any more.

    ``progress`` (:class:`backsoon.quiesce.Progress`) tells who is still busy or cannot be heard.
    """

    def __init__(self, message: str, progress: Any) -> None:
        super().__init__(message)
        self.progress = progress


class ChecksFailedError(BacksoonError):
    """The site was not opened, because ``BACKSOON["REOPEN_CHECKS"]`` speak against it.

    ``results`` tells what came of every check, ``failed`` of those that failed
    (:class:`backsoon.core.checkup.Checked`).
    """

    def __init__(self, message: str, results: Sequence[Checked]) -> None:
        super().__init__(message)
        self.results = tuple(results)
        self.failed = failed(results)

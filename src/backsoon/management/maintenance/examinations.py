"""What ``doctor`` looks at beyond the system checks, one function for each.

Each yields findings. One that cannot get at what it needs raises
:class:`backsoon.exceptions.StoreUnavailableError`; ``doctor`` says so and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks as django_checks
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import to_locale

import backsoon
from backsoon import brakes, checks, conf, store, wakeups
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode
from backsoon.definitions import languages
from backsoon.groups import ADMINISTRATORS, CODENAMES, look_at_administrators
from backsoon.http.icons import resolve_icon
from backsoon.http.pages import TEMPLATE, template_error
from backsoon.http.users import BYPASS
from backsoon.quiesce import Condition

from . import fitness, worker_words
from .workers import look, versions

LOCALES = Path(backsoon.__file__).parent / "locale"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and what to do about it."""

    level: Literal["problem", "note"]
    id: str
    message: str
    hint: str = ""


Findings = Iterator[Finding]


def problem(name: str, message: str, hint: str) -> Finding:
    """Something that has to be mended."""
    return Finding("problem", name, message, hint)


def note(name: str, message: str, hint: str) -> Finding:
    """Something that is good to know."""
    return Finding("note", name, message, hint)


def examine_installation() -> Findings:
    """The system checks."""
    for message in checks.run_all():
        level = problem if message.level >= django_checks.WARNING else note
        yield level(message.id or "check", str(message.msg), str(message.hint or ""))


def examine_migrations() -> Findings:
    """The tables are those that this version expects."""
    with store.translated_errors():
        executor = MigrationExecutor(connections[store.alias()])
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "backsoon"]
        plan = executor.migration_plan(targets)
    waiting = [
        migration.name for migration, _backwards in plan if migration.app_label == "backsoon"
    ]
    if waiting:
        yield problem(
            "migrations",
            f"Migrations of Backsoon are not applied: {', '.join(waiting)}.",
            "Run: manage.py migrate",
        )


def examine_values() -> Findings:
    """What is stored can be used."""
    snapshot = store.load()
    for broken in snapshot.broken:
        yield problem(
            "value",
            f"{broken.key} holds {broken.value!r}, so the default stands in: {broken.message}",
            "Correct it on the settings page.",
        )
    if snapshot.missing:
        yield note(
            "missing",
            f"There is no row yet for {', '.join(snapshot.missing)}: the defaults hold.",
            "Run: manage.py init_default_settings",
        )
    if snapshot.changed_outside:
        yield problem(
            "outside",
            "The switch was set in the table by other hands and nobody has taken note yet.",
            "A running process does so within 10 seconds. If this stays, none is running.",
        )
    icon = snapshot.policy.notice("").icon
    if icon and resolve_icon(icon) is None:
        yield note(
            "icon",
            f"The icon {icon!r} is not known, so the default icon is drawn.",
            "Choose a free icon of Font Awesome on the settings page.",
        )


def examine_end() -> Findings:
    """A promise to visitors is kept or renewed."""
    snapshot = store.load()
    state = resolve_state(snapshot.policy, snapshot.windows, store.utc_now())
    if state.late:
        yield note(
            "late",
            "The expected end has passed and the site is not open.",
            "Open it with: manage.py maintenance off, or give a new end with: manage.py "
            "maintenance on --until +1h",
        )


def examine_openings() -> Findings:
    """What should be checked before it opens does not open by the clock."""
    found = fitness.unchecked(store.load(), store.utc_now())
    if found:
        yield note(
            "unchecked",
            f"REOPEN_CHECKS are set, and the site opens by the clock, unchecked: "
            f"{'; '.join(found)}.",
            "To look before: manage.py maintenance off --check. To let the checks decide: plan it "
            "without an end and open it by hand.",
        )


def examine_page() -> Findings:
    """The page can be rendered in each language."""
    if conf.problems():
        return  # then no template can be rendered, and that is not the template's fault
    codes = [code for code, _name in languages()] or [settings.LANGUAGE_CODE]
    for code in codes:
        error = template_error(code)
        if error:
            yield problem(
                "template",
                f"The template {TEMPLATE} fails in {code!r} ({error}), so visitors get the "
                "built-in page.",
                "Correct the project's template.",
            )


def examine_texts() -> Findings:
    """Which of the project's languages Backsoon speaks."""
    silent = []
    for code, _name in languages():
        folders = [LOCALES / to_locale(name) for name in (code, code.partition("-")[0])]
        catalogues = [folder / "LC_MESSAGES" / "django" for folder in folders]
        if any(path.with_suffix(".mo").exists() for path in catalogues):
            continue
        if any(path.with_suffix(".po").exists() for path in catalogues):
            yield problem(
                "compiled",
                f"The translation into {code!r} is not compiled.",
                "Run: django-admin compilemessages, in the folder of the package.",
            )
        elif not code.startswith("en"):
            silent.append(code)
    if silent:
        yield note(
            "languages",
            f"Backsoon has no texts of its own in {', '.join(silent)}.",
            "Title, message and button can be translated on the settings page; what surrounds "
            "them is in the site's default language.",
        )


def examine_brake() -> Findings:
    """Nothing holds on this host alone."""
    brake = brakes.read() if not conf.problems() else None
    if brake is not None:
        what = "closed" if brake.mode is Mode.CLOSED else "opened"
        yield problem(
            "brake",
            f"The site was {what} on this host alone, by {brake.by}: the database does not know.",
            "The first process here that reaches the database stores it for all hosts. If none "
            "runs: manage.py maintenance on, or off.",
        )


def examine_group() -> Findings:
    """The group that makes administrators."""
    report = look_at_administrators()
    if report is None:
        yield note(
            "group",
            f'There is no group "{ADMINISTRATORS}".',
            "Run: manage.py init_default_settings",
        )
    elif report.lacking:
        yield note(
            "group",
            f'The group "{ADMINISTRATORS}" does not have {" and ".join(report.lacking)}.',
            "Add that in the admin if its members shall have it.",
        )


def examine_administrators() -> Findings:
    """Somebody could get in while the site is closed."""
    manager: Any = get_user_model()._default_manager
    if not hasattr(manager, "with_perm"):
        return  # a project's own users; only it can tell who may what
    backend = "django.contrib.auth.backends.ModelBackend"
    if backend not in settings.AUTHENTICATION_BACKENDS:
        return
    with store.translated_errors():
        anybody = manager.with_perm(BYPASS, backend=backend).exists()
    if not anybody:
        yield problem(
            "nobody",
            "No active user is an administrator: nobody could get in while the site is closed.",
            f"Run: manage.py createsuperuser, or give somebody backsoon.{CODENAMES[0]}.",
        )


def examine_wakeups() -> Findings:
    """Word of a change comes through, where there is anything to carry it."""
    for channel in wakeups.report():
        if channel.reach in (wakeups.Reach.LISTENING, wakeups.Reach.OFF):
            continue
        # Redis is there because somebody asked for it; PostgreSQL's way is taken unasked.
        level = problem if channel.name == "Redis" else note
        seconds = conf.current().poll
        yield level(
            "wakeups",
            f"{channel.message} So every process learns of a change by polling: within about "
            f"{seconds:g} s instead of at once.",
            channel.hint,
        )


def examine_workers() -> Findings:
    """A closure would hear of everybody."""
    progress = look()
    silent = progress.standing(Condition.SILENT)
    if silent:
        names = worker_words.some(
            [f"{worker_words.name(s.report)} {worker_words.state(s)}" for s in silent]
        )
        yield problem(
            "silent",
            f"Not heard of, nor known to have ended: {names}. A closure cannot be proven quiet.",
            "Look with: manage.py maintenance workers. If you know that a worker is dead: "
            "manage.py maintenance on --wait --assume-dead ID. It closes an open site.",
        )
    different = versions(progress)
    if different:
        yield note(
            "versions",
            f"Different versions of Backsoon run at once: {', '.join(different)}.",
            "Restart the processes that are behind: manage.py maintenance workers",
        )


EXAMINATIONS: tuple[Callable[[], Findings], ...] = (
    examine_installation,
    examine_brake,
    examine_page,
    examine_texts,
)
"""What needs no database."""

DATABASE_EXAMINATIONS: tuple[Callable[[], Findings], ...] = (
    examine_migrations,
    examine_values,
    examine_end,
    examine_openings,
    examine_group,
    examine_administrators,
    examine_wakeups,
    examine_workers,
)
"""What needs one."""

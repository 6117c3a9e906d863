"""System checks: each way of installing Backsoon wrong, found before a visitor finds it.

One function for each question. None of them asks a database. ``maintenance doctor`` runs them too,
and adds what only the database can tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.conf import global_settings, settings
from django.core import checks
from django.core.checks import CheckMessage, Tags
from django.db import router
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError
from django.template import engines as template_engines
from django.template.backends.django import DjangoTemplates
from django.template.loader_tags import ExtendsNode
from django.urls import (
    NoReverseMatch,
    Resolver404,
    get_resolver,
    get_script_prefix,
    resolve,
    reverse,
)
from django.utils.module_loading import import_string

from . import conf, hostfiles
from .integrations import celery

if TYPE_CHECKING:
    from django.template.base import Template

DOCS = "docs/reference/checks.md"

SUMMARIES: dict[str, str] = {
    "E001": "settings.BACKSOON is not a dict.",
    "E002": "settings.BACKSOON has a key that is unknown or misspelt.",
    "E003": "A value in settings.BACKSOON cannot be used.",
    "E004": "An app that Backsoon builds on is not installed.",
    "E005": "USE_TZ is False.",
    "E006": "The middleware is missing.",
    "E007": "The middleware stands in MIDDLEWARE more than once.",
    "E008": "The middleware stands below one that has to come after it.",
    "E009": "An address of Backsoon leads to another view.",
    "E010": "No migration makes the tables in the database that is set.",
    "W001": "The middleware stands above one that should come before it.",
    "W002": "The admin's templates do not show the state of maintenance.",
    "W003": "The maintenance page has no address.",
    "W004": "The settings page has no address in the admin.",
    "W005": "The template of the maintenance page cannot be used.",
    "W006": "Addresses of a private network are exempt and no proxy is declared.",
    "W007": "The last known state cannot be kept on this host.",
    "W008": "The project's Celery app does not heed the state of the site.",
    "W013": "Visitors can leave their address, and no mail can be sent to them.",
    "W017": "Mails to customers have no link to leave by.",
}
"""What each id means; the reference in the docs is drawn from it."""

Found = Iterator[CheckMessage]

MIDDLEWARE = "backsoon.middleware.MaintenanceModeMiddleware"

BEFORE = (
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
)
"""They serve everybody and need neither session nor database; the page profits from the first."""

AFTER = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.locale.LocaleMiddleware",
)
"""They answer requests themselves, touch session, cache or database, or keep what went out."""

REQUIRED_APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions")


def _message(number: str, text: str, hint: str) -> CheckMessage:
    level = checks.Error if number.startswith("E") else checks.Warning
    name = f"backsoon.{number}"
    return level(text, hint=f"{hint} See {DOCS}#{name.replace('.', '-').lower()}", id=name)


# -- Settings ----------------------------------------------------------------------------------


def check_settings() -> Found:
    """``settings.BACKSOON`` as a whole."""
    for problem in conf.problems():
        known = "E003" if problem.key in conf.PARSERS else "E002"
        number = known if problem.key else "E001"
        yield _message(number, problem.message, problem.hint)


def check_private_networks() -> Found:
    """Behind a proxy of the same network everybody would come from an exempt address."""
    if conf.problems() or conf.current().trusted_proxies:
        return
    private = [str(network) for network in conf.current().exempt_networks if network.is_private]
    if private:
        yield _message(
            "W006",
            f"{conf.SETTING}['EXEMPT_NETWORKS'] has {', '.join(private)} and TRUSTED_PROXIES is 0. "
            "Behind a reverse proxy in that network, every visitor would be exempt.",
            "Set TRUSTED_PROXIES to the number of reverse proxies in front of Django; if there is "
            "none, silence this check.",
        )


def check_state_directory() -> Found:
    """There is a place for what a process shall know that starts while the database is away.

    Only for whoever deploys: it is the servers' user that has to be able to write there.
    """
    if conf.problems():
        return
    error = hostfiles.obstacle()
    if error is not None:
        yield _message(
            "W007",
            f"The last known state cannot be kept on this host: {error}. A process that starts "
            "while the database is away will be closed, and maintenance on --local will not work.",
            error.hint,
        )


def check_required_apps() -> Found:
    """Users, permissions and logins come from Django's own apps."""
    for name in REQUIRED_APPS:
        if not apps.is_installed(name):
            yield _message("E004", f"{name} is not installed.", f"Add {name!r} to INSTALLED_APPS.")


def check_time_zones() -> Found:
    """All moments are stored with their zone."""
    if not settings.USE_TZ:
        yield _message(
            "E005",
            "USE_TZ is False, so moments cannot be stored with their time zone.",
            "Set USE_TZ = True; TIME_ZONE stays as it is.",
        )


def check_database() -> Found:
    """The routers let our tables into the database that is set."""
    if conf.problems():
        return
    alias = conf.current().database
    model = apps.get_model("backsoon", "SystemSetting")
    if not router.allow_migrate_model(alias, model):
        yield _message(
            "E010",
            f"DATABASE_ROUTERS do not let the tables of Backsoon into the database {alias!r}.",
            f"Let allow_migrate({alias!r}, 'backsoon') be true, or name the right database in "
            f"{conf.SETTING}['DATABASE'].",
        )


# -- Middleware --------------------------------------------------------------------------------


def check_middleware() -> Found:
    """There is one, and it stands in its place."""
    stack = [_lineage(path) for path in settings.MIDDLEWARE]
    places = [place for place, names in enumerate(stack) if MIDDLEWARE in names]
    if not places:
        yield _message(
            "E006",
            f"{MIDDLEWARE} is not in MIDDLEWARE, so the site cannot be closed.",
            "Add it right after SecurityMiddleware, and after WhiteNoise if you have it.",
        )
        return
    if len(places) > 1:
        yield _message(
            "E007",
            f"{MIDDLEWARE} stands in MIDDLEWARE {len(places)} times.",
            "Keep the first and remove the others.",
        )
    above, below = stack[: places[0]], stack[places[0] + 1 :]
    if too_high := _named(above, AFTER):
        yield _message(
            "E008",
            f"{MIDDLEWARE} stands below {', '.join(too_high)}. While the site is closed, requests "
            "would get there before they are refused.",
            "Move it up, right after SecurityMiddleware, and after WhiteNoise if you have it.",
        )
    if too_low := _named(below, BEFORE):
        yield _message(
            "W001",
            f"{MIDDLEWARE} stands above {', '.join(too_low)}.",
            "Move it down, right after SecurityMiddleware, and after WhiteNoise if you have it.",
        )


def _lineage(path: str) -> frozenset[str]:
    """The dotted names of a middleware and of all it inherits from.

    What cannot be imported is known by its path alone; Django says so itself when it starts.
    """
    try:
        middleware = import_string(path)
    except Exception:  # noqa: BLE001  (a module of the project's may raise anything)
        return frozenset({path})
    classes = getattr(middleware, "__mro__", (middleware,))
    names = (
        f"{getattr(each, '__module__', '')}.{getattr(each, '__qualname__', '')}" for each in classes
    )
    return frozenset(names)


def _named(stack: Sequence[frozenset[str]], paths: Sequence[str]) -> list[str]:
    return [path.rpartition(".")[2] for names in stack for path in paths if path in names]


# -- Addresses ---------------------------------------------------------------------------------


def check_page_address() -> Found:
    """The page can be reached, and nothing stands in its way."""
    for name in ("backsoon:page", "backsoon:status"):
        path = _address(name)
        if path is None:
            yield _message(
                "W003",
                f"The URL configuration has no {name}, so visitors get the page at the address "
                "they asked for, and it cannot tell when the site is open again.",
                'Add path("maintenance/", include("backsoon.urls")) to the URL configuration.',
            )
            return
        yield from _shadow(name, path, "Move the include of backsoon.urls above that route.")


def check_admin_address() -> Found:
    """The settings page lies below the admin's path, whose last route takes everything."""
    if not apps.is_installed("django.contrib.admin") or not _routes_admin():
        return
    path = _address("backsoon_admin:settings")
    if path is None:
        yield _message(
            "W004",
            "The URL configuration has no backsoon_admin:settings, so nobody can open and close "
            "the site in the admin.",
            'Add path("admin/", include("backsoon.admin.urls")) before the admin\'s own routes.',
        )
        return
    hint = 'Put path("admin/", include("backsoon.admin.urls")) before the admin\'s own routes.'
    yield from _shadow("backsoon_admin:settings", path, hint)


def _address(name: str) -> str | None:
    """The path of a route as the resolver sees it; ``None`` when there is none.

    A URL configuration that cannot be imported has every route: Django reports it itself.
    """
    try:
        path = reverse(name)
    except NoReverseMatch:
        return None
    except Exception:  # noqa: BLE001  (whatever the project's modules raise is theirs to mend)
        return ""
    prefix = get_script_prefix()
    return "/" + path[len(prefix) :] if path.startswith(prefix) else path


def _shadow(name: str, path: str, hint: str) -> Found:
    if not path:
        return
    namespace, _colon, url_name = name.partition(":")
    try:
        match = resolve(path)
    except Resolver404:
        return  # a route for another host or language; it is not in anybody's way
    if match.url_name != url_name or namespace not in match.app_names:
        other = match.view_name or getattr(match.func, "__qualname__", "another view")
        yield _message("E009", f"{path} should lead to {name}, but leads to {other}.", hint)


def _routes_admin() -> bool:
    try:
        return "admin" in get_resolver().app_dict
    except Exception:  # noqa: BLE001  (as in _address)
        return False


# -- Templates ---------------------------------------------------------------------------------


def check_page_template() -> Found:
    """The page's template, perhaps the project's own, can be found and read.

    Whether it can be rendered is for ``doctor``: rendering may ask a database.
    """
    from .http.pages import TEMPLATE

    error = ""
    try:
        if _django_template(TEMPLATE) is None:
            error = f"no template engine finds {TEMPLATE}"
    except Exception as wrong:  # noqa: BLE001  (tag libraries raise what they like)
        error = f"{type(wrong).__name__}: {wrong}"
    if error:
        yield _message(
            "W005",
            f"The template {TEMPLATE} cannot be used ({error}). Visitors get the built-in page.",
            "Correct the template, or let a DjangoTemplates engine with APP_DIRS find ours.",
        )


def check_admin_template() -> Found:
    """The admin's pages inherit from our ``admin/base.html``, which shows the state."""
    if not apps.is_installed("django.contrib.admin"):
        return
    chain = _ancestors("admin/base_site.html")
    ours = (Path(__file__).parent / "templates" / "admin" / "base.html").resolve()
    if chain is None or ours in chain:
        return
    names = [config.name for config in apps.get_app_configs()]
    if names.index("backsoon") > names.index("django.contrib.admin"):
        hint = 'Put "backsoon" before "django.contrib.admin" in INSTALLED_APPS.'
    else:
        hint = (
            f"{chain[-1]} stands before it and does not extend it: let it begin with "
            '{% extends "admin/base.html" %} instead of being a full copy, or put "backsoon" '
            "before the app that it belongs to."
        )
    yield _message(
        "W002",
        "The admin's pages do not inherit from Backsoon's admin/base.html, so they do not show "
        "whether the site is open.",
        hint,
    )


def _ancestors(name: str) -> list[Path] | None:
    """The files that a template inherits from, itself first; ``None`` when nobody can tell.

    A template may extend one of its own name further down the search path, so asking the loader for
    a name is not enough. This walks the way that rendering goes, and without rendering it gives up
    where the name of a parent is only known then.
    """
    try:
        template = _django_template(name)
        if template is None:
            return None
        context = Context()
        chain = []
        with context.render_context.push_state(template), context.bind_template(template):
            while template is not None:
                chain.append(Path(template.origin.name).resolve())
                template = _parent(template, context)
    except (TemplateDoesNotExist, TemplateSyntaxError, OSError):
        return None
    return chain


def _parent(template: Template, context: Context) -> Template | None:
    extends = next(iter(template.nodelist.get_nodes_by_type(ExtendsNode)), None)
    return cast("ExtendsNode", extends).get_parent(context) if extends is not None else None


def _django_template(name: str) -> Template | None:
    """The template as Django's own engine finds it, which is what the admin renders with."""
    for engine in template_engines.all():
        if isinstance(engine, DjangoTemplates):
            try:
                return engine.engine.get_template(name)
            except TemplateDoesNotExist as missing:
                if missing.args[0] != name:
                    raise
    return None


# -- Other packages ----------------------------------------------------------------------------


def check_celery() -> Found:
    """Workers close as the web processes do.

    Only where the project has imported Celery, as its documentation advises.
    """
    app = getattr(sys.modules.get("celery"), "current_app", None)
    if app is None or app.main == "default":  # Celery's stand-in where there is no app
        return
    if not celery.is_installed(app):
        yield _message(
            "W008",
            f"The Celery app {app.main!r} does not heed the state of the site: its tasks start "
            "also while the site is closed, and no closure waits for them.",
            "Call backsoon.integrations.celery.install(app) where it is made.",
        )


# -- Visitors who want to be told --------------------------------------------------------------


def check_mail_to_visitors() -> Found:
    """Whoever collects addresses has promised a mail.

    Only for whoever deploys: a developer's mails rarely leave the desk.
    """
    if conf.problems() or not conf.current().tell_me:
        return
    backend = _mail_backend()
    if backend.rpartition(".")[0] in NO_MAIL:
        reason = f"mails go to {backend}, which sends none"
    elif settings.DEFAULT_FROM_EMAIL == global_settings.DEFAULT_FROM_EMAIL:
        reason = f"DEFAULT_FROM_EMAIL is {settings.DEFAULT_FROM_EMAIL}, which few servers accept"
    else:
        return
    yield _message(
        "W013",
        f"{conf.SETTING}['TELL_ME'] promises visitors a mail, and {reason}.",
        "Set up sending and DEFAULT_FROM_EMAIL, or leave TELL_ME out.",
    )


NO_MAIL = tuple(f"django.core.mail.backends.{name}" for name in ("console", "dummy", "locmem"))


def _mail_backend() -> str:
    mailers = getattr(settings, "MAILERS", None)  # Django 6.1, in the place of EMAIL_BACKEND
    if mailers:
        return str(mailers.get("default", {}).get("BACKEND", ""))
    return str(settings.EMAIL_BACKEND)


# -- Words to people ---------------------------------------------------------------------------


def check_leaving() -> Found:
    """Whoever gets mail as a customer can end that, which the law asks for in many places."""
    if conf.problems() or conf.current().audience is None or conf.current().site_url:
        return
    yield _message(
        "W017",
        f"{conf.SETTING}['AUDIENCE'] is set and SITE_URL is not: mails to customers have no link "
        "to leave by, and mail programs show no button for it.",
        "Set SITE_URL to the address of the site, such as 'https://www.example.com'.",
    )


# -- All of them -------------------------------------------------------------------------------

CHECKS: tuple[tuple[Callable[[], Found], str], ...] = (
    (check_required_apps, Tags.compatibility),
    (check_settings, Tags.compatibility),
    (check_time_zones, Tags.compatibility),
    (check_database, Tags.models),
    (check_middleware, Tags.security),
    (check_page_address, Tags.urls),
    (check_admin_address, Tags.urls),
    (check_page_template, Tags.templates),
    (check_admin_template, Tags.templates),
    (check_celery, Tags.compatibility),
    (check_leaving, Tags.compatibility),
)
"""The questions in the order in which a person would ask them."""

DEPLOYMENT_CHECKS: tuple[tuple[Callable[[], Found], str], ...] = (
    (check_private_networks, Tags.security),
    (check_state_directory, Tags.files),
    (check_mail_to_visitors, Tags.compatibility),
)
"""Only ``check --deploy`` and ``doctor`` ask them: on the desk of a developer they are noise."""


def run_all() -> list[CheckMessage]:
    """Every message, except what the project silences."""
    questions = (question for question, _tag in CHECKS + DEPLOYMENT_CHECKS)
    return [message for ask in questions for message in ask() if not message.is_silenced()]


def register_checks() -> None:
    """Let ``manage.py check`` ask."""
    for question, tag in CHECKS:
        checks.register(_as_django_calls(question), tag)
    for question, tag in DEPLOYMENT_CHECKS:
        checks.register(_as_django_calls(question), tag, deploy=True)


def _as_django_calls(question: Callable[[], Found]) -> Callable[..., list[CheckMessage]]:
    def check(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
        return list(question())

    check.__name__ = check.__qualname__ = question.__name__
    check.__doc__ = question.__doc__
    return check

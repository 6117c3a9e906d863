"""The settings that Backsoon knows: type, default, words and what counts as a right value.

One table. The form, the command line, ``init_default_settings``, ``doctor`` and the reference in
the docs are drawn from it; a new setting is a new row.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.core.validators import EmailValidator, URLValidator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, override, to_language

from .models import SettingType

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise as StrOrPromise

    from .models import SystemSetting

GROUP = "maintenance"
MESSAGE_LENGTH = 5_000
DEFAULT_TITLE = gettext_noop("We will be back soon")
DEFAULT_MESSAGE = gettext_noop(
    "We are carrying out maintenance to serve you better. Thank you for your patience."
)
OWN_LANGUAGES = ("en", "fr")


@dataclass(frozen=True)
class Definition:
    """One setting. ``default`` is the untranslated text; stored texts equal to it in any language
    count as the default, so that every visitor reads it in their own.
    """

    key: str
    setting_type: str
    group: str
    label: StrOrPromise
    help_text: StrOrPromise
    order: int
    default: str = ""
    translatable: bool = False
    max_length: int = 200

    def default_text(self) -> str:
        """The default in the active language."""
        return str(_(self.default)) if self.translatable and self.default else self.default

    def canonical(self, text: str) -> str:
        """*text*, or ``""`` when it is the default in any language."""
        known = _default_texts(self.default) if self.translatable else {self.default}
        return "" if text.strip() in known else text


DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "maintenance_mode", SettingType.BOOLEAN, GROUP, _("Maintenance mode"),
        _("While it is on, only administrators can use the site."), 10, default="false",
    ),
    Definition(
        "maintenance_title", SettingType.TEXT, GROUP, _("Maintenance title"),
        _("The heading of the maintenance page."), 20, DEFAULT_TITLE, translatable=True,
    ),
    Definition(
        "maintenance_message", SettingType.TEXTAREA, GROUP, _("Maintenance message"),
        _("What visitors read: why the site is closed and for about how long. Plain text; "
          "web addresses become links."), 30, DEFAULT_MESSAGE, translatable=True,
        max_length=MESSAGE_LENGTH,
    ),
    Definition(
        "maintenance_ends_at", SettingType.DATETIME, GROUP, _("Expected end"),
        _("When you expect to be back. A promise to visitors, not a timer: the site stays closed "
          "until you open it."), 40,
    ),
    Definition(
        "maintenance_url", SettingType.URL, GROUP, _("Maintenance URL"),
        _("Where the button leads: a status page or a temporary site. It does not let anybody "
          "into this site."), 50, max_length=2_000,
    ),
    Definition(
        "maintenance_button_text", SettingType.TEXT, GROUP, _("Maintenance button text"),
        _("For example “View status”. The button shows when there is an address as well."), 60,
        translatable=True, max_length=80,
    ),
    Definition(
        "maintenance_image_url", SettingType.IMAGE_URL, GROUP, _("Maintenance image URL"),
        _("A logo or picture, shown instead of the icon: an address on the web, or one on this "
          "site that begins with a slash."), 70, max_length=2_000,
    ),
    Definition(
        "maintenance_icon", SettingType.ICON, GROUP, _("Maintenance icon"),
        _("A Font Awesome class such as “fas fa-tools”."), 80, "fas fa-tools", max_length=100,
    ),
    Definition(
        "maintenance_contact", SettingType.CONTACT, GROUP, _("Contact"),
        _("An e-mail address or web address for emergencies."), 90, max_length=500,
    ),
)  # fmt: skip

BY_KEY = {definition.key: definition for definition in DEFINITIONS}


def from_row(row: SystemSetting) -> Definition:
    """The definition for *row*: ours when we know the key, else what the row says of itself."""
    known = BY_KEY.get(row.key)
    if known is not None:
        return known
    setting_type = row.setting_type if row.setting_type in SettingType.values else SettingType.TEXT
    return Definition(
        row.key, setting_type, row.group, row.label or row.key, row.help_text, row.order,
        max_length=MESSAGE_LENGTH if setting_type == SettingType.TEXTAREA else 2_000,
    )  # fmt: skip


def languages() -> list[tuple[str, str]]:
    """The languages to offer, as (code, name), when translation is on.

    Those that the project names. One that names none has all of Django's, nearly a hundred: too
    many for a form or a page, so it is offered its own and those that Backsoon speaks.
    """
    if not django_settings.USE_I18N:
        return []
    named = [(code, str(name)) for code, name in django_settings.LANGUAGES]
    if django_settings.is_overridden("LANGUAGES"):  # type: ignore[misc]
        return named
    offered = {django_settings.LANGUAGE_CODE, *OWN_LANGUAGES}
    return [(code, name) for code, name in named if code in offered]


@functools.cache
def _default_texts(default: str) -> frozenset[str]:
    if not default:
        return frozenset()
    texts = {default}
    for code in {*OWN_LANGUAGES, *_languages_of_the_project()}:
        # A catalogue that cannot be read is its readers' problem, not that of whoever is closing.
        with suppress(Exception), override(code):
            texts.add(str(_(default)))
    return frozenset(texts)


def _languages_of_the_project() -> Iterator[str]:
    """The languages that the project itself has texts in, and so perhaps our texts.

    Not all that it names: loading the texts of a language takes megabytes, and a project that names
    none has Django's hundred.
    """
    named = {code for code, _name in django_settings.LANGUAGES}
    for folder in django_settings.LOCALE_PATHS:
        for catalogue in Path(folder).glob("*/LC_MESSAGES/django.mo"):
            code = to_language(catalogue.parts[-3])
            if code in named:
                yield code


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("LANGUAGES", "LOCALE_PATHS"):
        _default_texts.cache_clear()


setting_changed.connect(_forget, dispatch_uid="backsoon.definitions")


# -- What counts as a right value --------------------------------------------------------------


def clean(definition: Definition, text: str, *, now: dt.datetime | None = None) -> str:
    """*text* as it is to be stored. Raises ``ValidationError`` with a sentence for the operator.

    With *now*, moments have to lie after it; without, any valid moment will do (a stored end that
    has passed is not broken, it is late). An empty text is right for everything but a switch.
    """
    text = tidy(text)
    if "\x00" in text:
        raise ValidationError(_("Null characters are not allowed."))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, from JSON escapes or a misread command line
        raise ValidationError(_("There are characters that cannot be stored.")) from None
    if len(text) > definition.max_length:
        raise ValidationError(
            _("Use at most %(limit)d characters; there are %(length)d."),
            params={"limit": definition.max_length, "length": len(text)},
        )
    if not text and definition.setting_type != SettingType.BOOLEAN:
        return ""
    if definition.setting_type == SettingType.DATETIME:
        return _clean_moment(text, now)
    return _CLEANERS[definition.setting_type](text)


def tidy(text: str) -> str:
    """*text* with plain line feeds (forms send carriage returns too), without outer space."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def parse_moment(text: str) -> dt.datetime:
    """Read an ISO 8601 moment with zone. Raises ``ValueError`` when it is not one."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    if not dt.MINYEAR < moment.year < dt.MAXYEAR:
        # In another zone it might lie outside the calendar, and the page shows it in any.
        raise ValueError("at the end of the calendar")
    return moment.astimezone(dt.UTC)


def _clean_moment(text: str, now: dt.datetime | None) -> str:
    try:
        moment = parse_moment(text)
    except (ValueError, OverflowError):
        raise ValidationError(
            _("Enter a date and time with time zone, such as 2030-01-31T14:00+01:00.")
        ) from None
    if now is not None and moment <= now:
        raise ValidationError(_("The expected end must lie in the future."))
    return moment.isoformat()


def _clean_boolean(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise ValidationError(_("Enter true or false."))
    return text.lower()


def _clean_text(text: str) -> str:
    if "\n" in text:
        raise ValidationError(_("Use one line."))
    return text


def _clean_url(text: str) -> str:
    try:
        URLValidator(schemes=["http", "https"])(text)
    except ValidationError:
        raise ValidationError(
            _("Enter a web address that begins with http:// or https://.")
        ) from None
    return text


def _clean_image_url(text: str) -> str:
    if text.startswith("/"):
        # "//host" and "/\host" lead browsers to another host.
        if text[1:2] in ("/", "\\") or any(sign.isspace() for sign in text):
            raise ValidationError(_("An address on this site begins with a single slash."))
        return text
    return _clean_url(text)


def _clean_email(text: str) -> str:
    EmailValidator()(text)
    return text


def _clean_contact(text: str) -> str:
    for cleaner in (_clean_email, _clean_url):
        try:
            return cleaner(text)
        except ValidationError:
            continue
    raise ValidationError(_("Enter an e-mail address, or a web address with http:// or https://."))


_CLEANERS: dict[str, Callable[[str], str]] = {
    SettingType.BOOLEAN: _clean_boolean,
    SettingType.TEXT: _clean_text,
    SettingType.TEXTAREA: lambda text: text,
    SettingType.URL: _clean_url,
    SettingType.IMAGE_URL: _clean_image_url,
    SettingType.ICON: _clean_text,  # an unknown class is a warning in the form, not an error
    SettingType.EMAIL: _clean_email,
    SettingType.CONTACT: _clean_contact,
}


def messages_of(error: ValidationError) -> list[str]:
    """The sentences of *error*, with their parameters filled in."""
    return [str(message) for message in error.messages]


def groups(definitions: Iterable[Definition]) -> list[str]:
    """The groups in order of first appearance, ours first."""
    names = dict.fromkeys(definition.group for definition in definitions)
    return sorted(names, key=lambda name: name != GROUP)

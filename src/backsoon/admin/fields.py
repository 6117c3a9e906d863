"""Form fields for the settings, and the moment field that knows about clocks going back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from backsoon.models import SettingType

if TYPE_CHECKING:
    from backsoon.definitions import Definition


class MomentInput(forms.DateTimeInput):
    """The browser's own field for date and time; without one, a text field."""

    input_type = "datetime-local"


class MomentField(forms.CharField):
    """A moment in the reader's time zone. Cleans to ISO 8601 in UTC, or ``""``.

    A moment with an offset of its own is taken as it is. One without, at which clocks go forward
    or back, is refused with the reason: a promise to visitors must not be off by an hour.
    """

    widget = MomentInput

    def clean(self, value: Any) -> str:
        """Read *value*. Raises ``ValidationError``."""
        text = super().clean(value)
        return in_utc(text) if text else ""


def in_utc(text: str) -> str:
    """A local date and time, as typed, as ISO 8601 in UTC. Raises ``ValidationError``."""
    try:
        typed = dt.datetime.fromisoformat(text)
        moment = typed if typed.tzinfo else typed.replace(tzinfo=timezone.get_current_timezone())
        utc = moment.astimezone(dt.UTC)
        shown_again = utc.astimezone(moment.tzinfo)
        later = moment.replace(fold=1).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ValidationError(_("Enter a date and a time, such as 2030-01-31 14:00.")) from None
    if typed.tzinfo is None:
        zone = timezone.get_current_timezone_name()
        if shown_again.replace(tzinfo=None) != typed:
            raise ValidationError(
                _("This time does not exist in %(zone)s: clocks go forward over it."),
                params={"zone": zone},
            )
        if later != utc:
            raise ValidationError(
                _(
                    "Clocks go back in %(zone)s, so this time comes twice: at %(first)s and at "
                    "%(second)s UTC. Choose a time outside that hour."
                ),
                params={"zone": zone, "first": f"{utc:%H:%M}", "second": f"{later:%H:%M}"},
            )
    return utc.isoformat()


def as_local(iso: str) -> str:
    """A stored moment as the browser's field wants it; what is no moment, as it is."""
    try:
        moment = timezone.localtime(dt.datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return iso
    return moment.strftime("%Y-%m-%dT%H:%M:%S" if moment.second else "%Y-%m-%dT%H:%M")


class SwitchInput(forms.CheckboxInput):
    """A checkbox that does not take every word for "on"."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The word that was sent; a browser sends none when the box is not ticked."""
        return data.get(name, False)


class SwitchField(forms.BooleanField):
    """On or off, and nothing in between: another word must not close a site."""

    widget = SwitchInput

    def to_python(self, value: Any) -> bool:
        """Raises ``ValidationError`` for a word that is neither."""
        if value in (True, "on", "true"):
            return True
        if value in (False, None, "", "false"):
            return False
        raise ValidationError(_("Enter true or false."))


_PLAIN = {"spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}

_WIDGETS: dict[str, tuple[type[forms.Widget], dict[str, str]]] = {
    SettingType.BOOLEAN: (SwitchInput, {}),
    SettingType.TEXT: (forms.TextInput, {}),
    SettingType.TEXTAREA: (forms.Textarea, {"rows": "6", "cols": "60"}),
    SettingType.URL: (forms.TextInput, {**_PLAIN, "inputmode": "url"}),
    SettingType.IMAGE_URL: (forms.TextInput, {**_PLAIN, "inputmode": "url"}),
    SettingType.ICON: (forms.TextInput, _PLAIN),
    SettingType.EMAIL: (forms.TextInput, {**_PLAIN, "inputmode": "email"}),
    SettingType.CONTACT: (forms.TextInput, {**_PLAIN, "inputmode": "email"}),
    SettingType.DATETIME: (MomentInput, {}),
}


def field_for(definition: Definition, *, dir_auto: bool = True) -> forms.Field:
    """The field that edits *definition*. What counts as right is not its business.

    There is no ``maxlength``: browsers cut what is pasted, and a text must not be lost unseen.
    """
    widget_class, attributes = _WIDGETS[definition.setting_type]
    attributes = dict(attributes)
    if definition.setting_type in (SettingType.TEXT, SettingType.TEXTAREA) and dir_auto:
        attributes["dir"] = "auto"
    widget = widget_class(attrs=attributes)
    options: dict[str, Any] = {
        "required": False, "label": definition.label, "widget": widget,
    }  # fmt: skip
    if definition.setting_type == SettingType.BOOLEAN:
        return SwitchField(**options)
    if definition.setting_type == SettingType.DATETIME:
        return MomentField(**options)
    return forms.CharField(**options, strip=False)

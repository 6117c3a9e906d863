"""The question before the switch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy

from backsoon import definitions as known
from backsoon import store
from backsoon.definitions import BY_KEY

from .fields import MomentField
from .lines import Line, describe


class SwitchForm(forms.Form):
    """The circumstances of a closure or opening; all of them optional."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("For the history. Visitors do not see it."),
        required=False,
        # Not max_length, which makes browsers cut what is pasted.
        validators=[MaxLengthValidator(500)],
        widget=forms.TextInput(attrs={"dir": "auto"}),
    )
    ends_at = MomentField(
        label=gettext_lazy("Expected end"),
        help_text=gettext_lazy(
            "What visitors are told. A promise, not a timer: the site stays closed until you open "
            "it."
        ),
        required=False,
    )
    keep_logins = forms.BooleanField(
        label=gettext_lazy("Keep logins"),
        help_text=gettext_lazy("Users are not logged out, and go on where they were afterwards."),
        required=False,
    )

    def __init__(self, data: Any = None, *, closing: bool) -> None:
        super().__init__(data, label_suffix="")
        if not closing:
            del self.fields["ends_at"], self.fields["keep_logins"]

    def clean_ends_at(self) -> str:
        """The end, when one is given: in the future."""
        text: str = self.cleaned_data["ends_at"]
        return known.clean(BY_KEY["maintenance_ends_at"], text, now=store.utc_now())

    def lines(self) -> Iterable[Line]:
        """The inputs as the template draws them."""
        for bound in self:
            line = Line(
                bound,
                str(bound.label),
                errors=[str(message) for message in bound.errors],
            )
            describe(line, has_help=True)
            yield line

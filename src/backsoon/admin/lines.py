"""What stands around one input of a form: the same on every form of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.translation import get_language_info
from django.utils.translation import gettext as _

from backsoon import definitions as known

if TYPE_CHECKING:
    from django.forms.boundfield import BoundField


@dataclass(slots=True)
class Line:
    """One input with what stands around it."""

    input: BoundField
    label: str
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    limit: int = 0
    """Characters to count down from; 0 counts nothing."""
    language: str = ""

    @property
    def id(self) -> str:
        """The id of the input; those of help, notes and errors begin with it."""
        return str(self.input.id_for_label)


def id_of(part: str) -> str:
    """An id for HTML, which may hold no spaces; names may be anything."""
    return "id_" + "".join(
        sign if sign.isalnum() or sign in "-_" else f"_{ord(sign):x}_" if sign != ":" else "__"
        for sign in part
    )


def describe(line: Line, *, has_help: bool) -> None:
    """Tie help, notes and errors to the input for those who hear the page."""
    named = [f"{line.id}_errors"] if line.errors else []
    named += [f"{line.id}_notes"] if line.notes else []
    named += [f"{line.id}_help"] if has_help else []
    named += [f"{line.id}_count"] if line.limit else []
    attributes = line.input.field.widget.attrs
    if named:
        attributes["aria-describedby"] = " ".join(named)
    if line.errors:
        attributes["aria-invalid"] = "true"
    if line.language:
        attributes["lang"] = line.language


def language_name(code: str) -> str:
    """The name of a language for people, in theirs."""
    names = dict(known.languages())
    if code in names:
        return _(names[code])
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code

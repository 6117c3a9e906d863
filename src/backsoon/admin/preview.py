"""What visitors see, or would see: the true rendering with what is typed put in place.

Nothing is stored, and nobody but the operator gets it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import store
from backsoon.core.state import resolve_state
from backsoon.core.vocabulary import Mode
from backsoon.definitions import BY_KEY, Definition, clean, languages, parse_moment
from backsoon.gate import gate
from backsoon.http import pages
from backsoon.http.users import is_administrator, may_change
from backsoon.snapshots import Entry, Snapshot, notices

from .forms import SettingsForm
from .pages import read_definitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest


@require_http_methods(["GET", "HEAD", "POST"])
def preview(request: HttpRequest) -> HttpResponse:
    """The page as it is stored, or (POST) with the values of the form that was sent."""
    if not (may_change(request.user) or is_administrator(request.user)):
        raise PermissionDenied(_("The preview is for those who run the site."))
    snapshot, all_definitions = read_definitions()
    if snapshot is None:
        snapshot, all_definitions = gate.view().snapshot, list(BY_KEY.values())
    if request.method == "POST":
        form = SettingsForm(all_definitions, snapshot, request.POST)
        form.is_valid()  # for its entries; what cannot be used, the default stands in for
        snapshot = with_entries(snapshot, form.entries)
    snapshot = _as_closed(snapshot)
    now = store.utc_now()
    state = resolve_state(snapshot.policy, (), now)
    page = pages.prepare(pages.render(snapshot, state, _language(request), preview=True))
    response = HttpResponse(page.body)
    response["Content-Security-Policy"] = page.content_security_policy
    response["Cache-Control"] = "no-store"
    return response


def with_entries(snapshot: Snapshot, typed: Mapping[str, Entry]) -> Snapshot:
    """*snapshot* as it would be with what was typed."""
    entries = {key: snapshot.entries.get(key, Entry()) for key in BY_KEY}
    entries |= {key: _usable(BY_KEY[key], entry) for key, entry in typed.items() if key in BY_KEY}
    ends_at = entries["maintenance_ends_at"].value
    policy = dataclasses.replace(
        snapshot.policy,
        ends_at=parse_moment(ends_at) if ends_at else None,
        notices=notices(entries),
    )
    return dataclasses.replace(snapshot, policy=policy)


def _as_closed(snapshot: Snapshot) -> Snapshot:
    """The page belongs to a closed site, whatever the site is now."""
    switch = snapshot.policy.switch
    if switch.mode is Mode.OPEN:
        switch = dataclasses.replace(switch, mode=Mode.CLOSED, since=store.utc_now())
    # A timer that has run out would make it the page of an open site.
    switch = dataclasses.replace(switch, open_at_end=False)
    return dataclasses.replace(snapshot, policy=dataclasses.replace(snapshot.policy, switch=switch))


def _usable(definition: Definition, entry: Entry) -> Entry:
    def usable(text: str) -> str:
        try:
            return clean(definition, text)
        except ValidationError:
            return ""

    texts = {code: usable(text) for code, text in entry.translations.items()}
    return Entry(
        definition.canonical(usable(entry.value)),
        {code: text for code, text in texts.items() if text},
    )


def _language(request: HttpRequest) -> str:
    wanted = request.GET.get("language", "")
    if wanted in dict(languages()):
        return wanted
    return get_language() or "en"

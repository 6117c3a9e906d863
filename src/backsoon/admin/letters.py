"""The mails as they will be read, and one to oneself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from backsoon import store
from backsoon.announce import letters, mail, unsubscribing
from backsoon.announce.claims import ChannelDownError, NotSentError
from backsoon.definitions import languages
from backsoon.http.routes import reversed_or_empty
from backsoon.models import Announcement

from .pages import render, require_change

if TYPE_CHECKING:
    from django.http import HttpRequest, QueryDict
    from django.http.response import HttpResponseBase


@require_http_methods(["GET", "HEAD", "POST"])
def letters_page(request: HttpRequest) -> HttpResponseBase:
    """One mail in one language, about a closure made up for it; POST sends it to whoever asks."""
    require_change(request)
    moment, language = _chosen(request.GET)
    trouble = ""
    letter = None
    try:
        facts = letters.example(moment, store.utc_now())
        leave = unsubscribing.url_for(getattr(request.user, "email", "") or "you@example.com")
        letter = letters.write(moment, facts, language, unsubscribe_url=leave)
    except Exception as error:  # noqa: BLE001  (a template of the project's may do anything)
        trouble = f"{type(error).__name__}: {error}"
    if request.method == "POST" and letter is not None:
        _send(request, letter)
        return HttpResponseRedirect(request.get_full_path())
    messages_url = reversed_or_empty("admin:backsoon_delivery_changelist")
    context = {
        "title": _("Mails"),
        "parent": {"url": messages_url, "label": _("Messages")} if messages_url else None,
        "letter": letter,
        "trouble": trouble,
        "moments": Announcement.What.choices,
        "languages": languages(),
        "moment": moment,
        "language": language,
        "sender": mail.sender(),
        "own_address": getattr(request.user, "email", ""),
        "messages_url": messages_url,
    }
    return render(request, "backsoon/admin/letters.html", context, 200)


def _chosen(sent: QueryDict) -> tuple[str, str]:
    moment = sent.get("moment", "")
    if moment not in Announcement.What.values:
        moment = Announcement.What.ANNOUNCED.value
    language = sent.get("language", "")
    if language not in dict(languages()):
        language = get_language() or ""
    return moment, language


def _send(request: HttpRequest, letter: letters.Letter) -> None:
    address = getattr(request.user, "email", "")
    if not address:
        messages.error(request, _("Your account has no e-mail address, so nothing was sent."))
        return
    try:
        with mail.open_connection() as connection:
            mail.deliver(connection, mail.compose(letter, address))
    except (NotSentError, ChannelDownError) as error:
        messages.error(request, _("The test was not sent: %(problem)s") % {"problem": error})
    else:
        messages.success(request, _("The test was sent to %(address)s.") % {"address": address})

"""Mail: one connection for a batch, one message at a time, each with a name of its own for ever.

What a server says of an address for good (5xx) and for now (4xx) is told apart. Where nothing can
be sent at all, no message is blamed for it.
"""

from __future__ import annotations

import email.policy
import hashlib
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.utils import formatdate, parseaddr
from typing import Any

import django
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils.html import escape

from backsoon import conf
from backsoon.models import Delivery

from . import letters, unsubscribing
from .claims import ChannelDownError, NotSentError

OWN_LINK = "https://unsubscribe.invalid/"
"""Stands in a letter where each reader has a link of their own."""

TIMEOUT_SECONDS = 20
"""How long a mail server may take for an answer, where the project does not say."""


@contextmanager
def open_connection() -> Iterator[Any]:
    """A connection of the project's mail backend. Raises :class:`ChannelDownError`."""
    mailers: Any = getattr(mail, "mailers", None)  # Django 6.1
    try:
        connection: Any = mail.get_connection() if mailers is None else mailers.default
    except Exception as error:  # settings that contradict each other, for one
        raise ChannelDownError(_said(error)) from error
    if getattr(connection, "timeout", 0) is None:
        connection.timeout = TIMEOUT_SECONDS  # Django's own default is to wait for ever
    _open(connection)
    try:
        yield connection
    finally:
        with suppress(Exception):
            connection.close()


def _open(connection: Any) -> None:
    try:
        connection.open()
    except Exception as error:
        raise ChannelDownError(_said(error)) from error


class Sender:
    """Sends over one connection. A letter is written once for all who read the same."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._letters: dict[tuple[str, str, bool], letters.Letter] = {}

    def send(self, delivery: Delivery) -> None:
        """Send one message.

        Raises :class:`NotSentError`, and :class:`ChannelDownError` where the connection is lost
        and cannot be made again.
        """
        deliver(self._connection, self._message(delivery))

    def _message(self, delivery: Delivery) -> EmailMultiAlternatives:
        """The mail for one receiver. The same one always has the same Message-ID."""
        announcement = delivery.announcement
        url = ""
        if delivery.source == Delivery.Source.AUDIENCE:
            url = unsubscribing.url_for(delivery.address)
        kind = (announcement.key, delivery.language, bool(url))
        letter = self._letters.get(kind)
        if letter is None:
            letter = self._letters[kind] = letters.write(
                announcement.moment,
                announcement.facts,
                delivery.language,
                unsubscribe_url=OWN_LINK if url else "",
            )
        headers = {"Message-ID": message_id(announcement.key, delivery.address)}
        if url:  # RFC 8058
            headers["List-Unsubscribe"] = f"<{url}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            letter = letters.Letter(
                letter.subject,
                letter.text.replace(OWN_LINK, url),
                letter.html.replace(OWN_LINK, escape(url)),
            )
        return compose(letter, delivery.address, headers)


def deliver(connection: Any, message: EmailMultiAlternatives) -> None:
    """Hand *message* over. Raises as :meth:`Sender.send`."""
    try:
        count = connection.send_messages([message])
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()), (0, b""))
        raise NotSentError(_coded(code, text), permanent=_is_permanent(code)) from error
    except (smtplib.SMTPSenderRefused, smtplib.SMTPHeloError) as error:
        # It is not the receiver whom the server does not like.
        raise ChannelDownError(_said(error)) from error
    except smtplib.SMTPServerDisconnected as error:
        _reopen(connection)
        raise NotSentError(_said(error)) from error
    except smtplib.SMTPResponseException as error:
        raise NotSentError(_said(error), permanent=_is_permanent(error.smtp_code)) from error
    except OSError as error:
        _reopen(connection)
        raise NotSentError(_said(error)) from error
    except Exception as error:  # another backend may raise anything
        raise NotSentError(_said(error)) from error
    if count == 0:
        raise NotSentError("The mail backend did not send it and did not say why.")


def _reopen(connection: Any) -> None:
    with suppress(Exception):
        connection.close()
    _open(connection)


def _is_permanent(code: Any) -> bool:
    return isinstance(code, int) and 500 <= code < 600


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return _coded(error.smtp_code, error.smtp_error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _coded(code: Any, text: Any) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{code} {words}".strip()


# -- Messages ----------------------------------------------------------------------------------


class _InOnePiece(UnstructuredHeader):
    """A header that is an address. Folding it would encode it, and then it is none."""

    name: str

    def fold(self, *, policy: email.policy.Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _InOnePiece)  # type: ignore[arg-type]


class _Mail(EmailMultiAlternatives):
    def message(self, **kwargs: Any) -> Any:
        if django.VERSION >= (6, 0):  # which writes headers by the newer rules of Python
            policy: Any = kwargs.get("policy", email.policy.default)
            if isinstance(policy, email.policy.EmailPolicy):
                kwargs["policy"] = policy.clone(header_factory=_headers)
        return super().message(**kwargs)


def compose(
    letter: letters.Letter, address: str, headers: dict[str, str] | None = None
) -> EmailMultiAlternatives:
    """*letter* as a mail to *address*."""
    message = _Mail(
        subject=letter.subject,
        body=letter.text,
        from_email=sender(),
        to=[address],
        headers={
            "Date": formatdate(localtime=False),
            "Auto-Submitted": "auto-generated",  # RFC 3834: no holiday replies, please
            **(headers or {}),
        },
    )
    if letter.html:
        message.attach_alternative(letter.html, "text/html")
    return message


def sender() -> str:
    """Who the mails come from."""
    return conf.current().from_email or django_settings.DEFAULT_FROM_EMAIL


def message_id(key: str, address: str) -> str:
    """What tells a message that was sent twice: it depends on moment and receiver alone."""
    digest = hashlib.sha256(f"{key}\n{address}".encode()).hexdigest()[:32]
    host = parseaddr(sender())[1].rpartition("@")[2] or "localhost"
    return f"<backsoon.{digest}@{host}>"

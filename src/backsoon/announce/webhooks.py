"""Webhooks: JSON that is signed, posted to where the settings say and nowhere else.

Headers and signature are those of the Standard Webhooks specification, which has libraries to
verify them in many languages.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from backsoon import __version__, conf, store
from backsoon.conf import Webhook
from backsoon.models import Delivery

from .claims import NotSentError
from .receivers import label_of

TIMEOUT_SECONDS = 10
"""How long a receiver may take for each step."""

LONGEST_SECONDS = 30.0
"""How long it may take for everything, however slowly it speaks."""

GONE = 410
"""The receiver's way to say: never again."""


def send(delivery: Delivery) -> None:
    """Post one message. Raises :class:`NotSentError`."""
    hook = _hook(delivery.address)
    if hook is None:
        raise NotSentError("This webhook is not in the settings any more.", permanent=True)
    body = json.dumps(payload(delivery), ensure_ascii=False, separators=(",", ":")).encode()
    post(hook, body, headers_for(hook, identity(delivery), body))


def _hook(address: str) -> Webhook | None:
    return next((h for h in conf.current().webhooks if label_of(h.url) == address), None)


def payload(delivery: Delivery) -> dict[str, Any]:
    """What is posted."""
    announcement = delivery.announcement
    facts: Mapping[str, Any] = announcement.facts
    return {
        "type": f"maintenance.{announcement.moment}",
        "id": identity(delivery),
        "timestamp": announcement.at.isoformat(),
        "data": {
            "moment": announcement.moment,
            "site": conf.current().site_url,
            "window": announcement.window or None,
            **{name: facts.get(name) for name in PUBLISHED},
        },
    }


PUBLISHED = (
    "number", "sequence", "planned", "mode", "starts_at", "until", "earlier", "lead", "words",
)  # fmt: skip
"""What of the facts is posted."""


def identity(delivery: Delivery) -> str:
    """The same for each attempt at the same message, and for no other."""
    text = f"{delivery.announcement.key}\n{delivery.address}"
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def headers_for(hook: Webhook, identity: str, body: bytes) -> dict[str, str]:
    """The headers, signed where the webhook has a secret."""
    timestamp = str(int(store.utc_now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Backsoon/{__version__}",
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
    }
    if hook.secret:
        headers["webhook-signature"] = signature(hook.secret, identity, timestamp, body)
    return headers


def signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, with dots between, in Base64 behind ``v1,``."""
    signed = f"{identity}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    """The bytes of *secret*: those in Base64 behind ``whsec_``, or its own."""
    if secret.startswith("whsec_"):
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def post(hook: Webhook, body: bytes, headers: Mapping[str, str]) -> None:
    """Post *body*. Raises :class:`NotSentError` unless the answer is 2xx; follows no redirect."""
    parts = urlsplit(hook.url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    sent = dict(headers)
    if parts.username is not None:
        sent["Authorization"] = _basic(parts.username, parts.password or "")
    timer = threading.Timer(LONGEST_SECONDS, connection.hang_up)
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", path, body=body, headers=sent)
        answer = connection.getresponse()
        status = answer.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        if connection.is_over:
            raise NotSentError(f"It took longer than {LONGEST_SECONDS:g} seconds.") from error
        raise NotSentError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
    finally:
        timer.cancel()
        connection.close()
    _judge(status, answer)


def _judge(status: int, answer: http.client.HTTPResponse) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise NotSentError(
            f"It answered with a redirect ({status}), which is not followed: give the address "
            "itself."
        )
    raise NotSentError(f"It answered {status} {answer.reason}".strip(), permanent=status == GONE)


class _Plain(http.client.HTTPConnection):
    """Can be hung up on by another thread, whatever it is at."""

    is_over = False
    _held: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        # The same connection once more: until TLS is agreed on, `sock` is an empty shell.
        self._held = self.sock.dup()
        if self.is_over:
            raise TimeoutError

    def hang_up(self) -> None:
        self.is_over = True
        held = self._held
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()
        held, self._held = self._held, None
        if held is not None:
            held.close()


class _Encrypted(http.client.HTTPSConnection, _Plain):
    pass


def _connection(scheme: str, host: str, port: int | None) -> _Plain:
    # Without a port, http.client would look for one in the host, and find one in 2001:db8::5.
    if scheme == "https":
        context = ssl.create_default_context()
        return _Encrypted(host, port or 443, timeout=TIMEOUT_SECONDS, context=context)
    return _Plain(host, port or 80, timeout=TIMEOUT_SECONDS)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

"""Many visitors at one moment, and what each of them got.

One thread drives all connections without blocking: two hundred clients with a thread each would
measure themselves, on a machine that they share with the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.demo_server import HEADER, HOST

PATIENCE_SECONDS = 10.0
"""When a visitor gives up. A reply that has not come by then counts as none."""

TOKEN = "a" * 32
"""A CSRF secret of the visitor's own; Django compares it with what the form sends."""

REAL_PAGE = "Moving house"
"""The message that the operator gave for the closure."""


@dataclass(frozen=True)
class Ask:
    """One request by a visitor."""

    visitor: str
    path: str
    method: str = "GET"
    cookies: str = ""
    body: str = ""
    language: str = "en"

    def sent(self) -> bytes:
        """The request as bytes."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {HOST}",
            "Accept: text/html,*/*;q=0.8",
            f"Accept-Language: {self.language}",
            "Connection: close",
        ]
        if self.cookies:
            lines.append(f"Cookie: {self.cookies}")
        if self.method == "POST":
            lines.append("Content-Type: application/x-www-form-urlencoded")
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass(frozen=True)
class Reply:
    """What came back, and after how many seconds."""

    ask: Ask
    seconds: float
    status: int = 0
    """0: no answer at all."""
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def worker(self) -> int:
        """The process that answered."""
        return int(self.headers.get(HEADER.lower(), 0))

    @property
    def is_maintenance(self) -> bool:
        """Whether it is the page, the way to the page, or the refusal of a login."""
        marked = self.headers.get("x-maintenance") == "closed"
        if self.status == 302:
            to_page = self.headers.get("location", "").startswith("/maintenance/")
            return marked and to_page and self.ask.method == "GET"
        return marked and self.status == 503

    @property
    def is_login_form(self) -> bool:
        """Whether it is the way in for administrators, which stays within reach while closed."""
        asked = (self.ask.method, self.ask.path) == ("GET", "/login/")
        return asked and self.status == 200 and 'name="password"' in self.text

    def __str__(self) -> str:
        where = self.headers.get("location") or self.headers.get("x-maintenance", "")
        told = f"{self.status} {where}".strip() if self.status else "no answer"
        return f"{self.ask.visitor}: {self.ask.method} {self.ask.path}: {told}"


def burst(port: int, asks: Sequence[Ask]) -> list[Reply]:
    """Send all requests at once; the replies in the order in which they came."""
    selector = selectors.DefaultSelector()
    replies: list[Reply] = []
    calls = [_Call(port, ask) for ask in asks]
    for call in calls:
        selector.register(call.connection, selectors.EVENT_WRITE, call)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(replies) < len(calls) and (left := deadline - time.monotonic()) > 0:
        for key, _events in selector.select(left):
            call = key.data
            if call.is_sending:
                if call.send():
                    selector.modify(call.connection, selectors.EVENT_READ, call)
            elif call.receive():
                selector.unregister(call.connection)
                call.connection.close()
                replies.append(call.reply())
    late = [key.data for key in selector.get_map().values()]
    for call in late:
        call.connection.close()
        replies.append(Reply(call.ask, time.monotonic() - call.begun))
    selector.close()
    return replies


class _Call:
    """One connection, from its beginning to its end."""

    def __init__(self, port: int, ask: Ask) -> None:
        self.ask = ask
        self.connection = socket.socket()
        self.connection.setblocking(False)
        self._unsent = ask.sent()
        self._received = bytearray()
        self.begun = self.ended = time.monotonic()
        self.connection.connect_ex((HOST, port))

    @property
    def is_sending(self) -> bool:
        return bool(self._unsent)

    def send(self) -> bool:
        """Send on; true when there is nothing left to send."""
        try:
            self._unsent = self._unsent[self.connection.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:  # refused or reset: reading says so
            self._unsent = b""
        return not self._unsent

    def receive(self) -> bool:
        """Read on; true when the server has closed the connection."""
        try:
            part = self.connection.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        self._received += part
        if not part:
            self.ended = time.monotonic()
        return not part

    def reply(self) -> Reply:
        """What was received."""
        head, _, body = bytes(self._received).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        parts = first.split(" ")
        status = int(parts[1]) if len(parts) > 1 else 0
        if len(body) < int(headers.get("content-length", 0)) and self.ask.method != "HEAD":
            status = 0  # it ended in the middle: that is no answer
        return Reply(
            self.ask, self.ended - self.begun, status, headers, body.decode(errors="replace")
        )


def percentile(replies: Iterable[Reply], share: float) -> float:
    """The time, in seconds, within which *share* of the replies came."""
    times = sorted(reply.seconds for reply in replies)
    return times[min(len(times) - 1, int(share * len(times)))]

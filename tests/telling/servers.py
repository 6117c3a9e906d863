"""A mail server and a receiver of webhooks on this machine, which remember what they got."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSED = "550 5.1.1 No such mailbox"


class Mailbox(socketserver.ThreadingTCPServer):
    """An SMTP server (RFC 5321) that keeps to whom it said 250, and for which message."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.taken: Counter[tuple[str, str]] = Counter()
        """How often each message (receiver, Message-ID) was taken."""
        self.answers: dict[str, str] = {}
        """What RCPT is answered with, by address."""
        self.connections = 0
        self.last = b""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Conversation(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        self.server.connections += 1
        with contextlib.suppress(ConnectionError):  # who is killed does not say good-bye
            self._say("220 mail.example.com")
            self._listen()

    def _listen(self) -> None:
        receiver = ""
        while line := self.rfile.readline().decode():
            verb = line[:4].upper()
            if verb == "RCPT":
                receiver = line[line.index("<") + 1 : line.index(">")]
                self._say(self.server.answers.get(receiver, "250 OK"))
            elif verb == "DATA":
                self._say("354 Go ahead")
                self._take(receiver)
            elif verb == "QUIT":
                self._say("221 Bye")
                return
            else:
                self._say("250 OK")

    def _take(self, receiver: str) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        if not line:
            return  # the message was not whole
        names = [each for each in lines if each.lower().startswith(b"message-id:")]
        self.server.last = b"".join(lines)
        self.server.taken[receiver, names[0].decode().split(":", 1)[1].strip()] += 1
        self._say("250 Taken")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class Receiver(ThreadingHTTPServer):
    """Takes webhooks, and answers with *answers* one after the other, then with 204."""

    daemon_threads = True

    def __init__(self, *answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Post(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """*server*, answering in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

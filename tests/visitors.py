"""Visitors of the tests' site, by WSGI or ASGI behind one face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PASSWORD = "pw"


class Visitor:
    """A test client of either kind, with the same synchronous methods."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.client: Any = Client() if kind == "wsgi" else AsyncClient()
        self._streams: list[Any] = []

    def __call__(self, method: str, path: str, **kwargs: Any) -> Any:
        call = getattr(self.client, method)
        if self.kind == "asgi":
            call = async_to_sync(call)
        answer = call(path, **kwargs)
        if answer.streaming:
            self._streams.append(answer)
        return answer

    def leave(self) -> None:
        """Go, as a server notices it: what was not read to its end is closed."""
        for answer in self._streams:
            answer.close()

    def get(self, path: str, **kwargs: Any) -> Any:
        return self("get", path, **kwargs)

    def post(self, path: str, data: Any = None, **kwargs: Any) -> Any:
        return self("post", path, data=data, **kwargs)

    def login(self, user: User, door: str = "/login/") -> None:
        """Log in through the door, as a person does."""
        response = self.post(door, {"username": user.get_username(), "password": PASSWORD})
        assert response.status_code == 302, response.content

"""The guard on real servers: it refuses before Django, and says what Django would have said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backsoon.http import passes
from tests.demo_server import HEADER as WORKER
from tests.demo_server import DemoServer, serving
from tests.guarded_apps import HEADER

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.servers

BROWSER = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding": "gzip",
    "Connection": "close",
}
TO_DJANGO = {"Cookie": f"{passes.COOKIE}=1:forged:signature"}
"""With this Django has to look, and refuses all the same."""


@pytest.fixture(scope="module", params=["gunicorn-guarded", "uvicorn-guarded"])
def guarded(
    request: pytest.FixtureRequest, new_directory: Callable[[str], Path]
) -> Iterator[DemoServer]:
    """A site behind the guard, closed once every worker has been asked; all of them know."""
    kind: str = request.param
    with serving(kind, new_directory(kind)) as server:
        with server.client(headers=BROWSER) as client:
            assert HEADER in client.get("/legal/").headers  # open: Django answers everything
        server.workers()
        server.close(message="Moving house")
        yield server


@pytest.fixture
def client(guarded: DemoServer) -> Iterator[httpx.Client]:
    """A visitor, who gets the page from now on."""
    with guarded.client(headers=BROWSER) as visitor:
        yield visitor


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "path", ["/", "/orders/?a=%C3%A9", "/maintenance/", "/api/orders/", "/maintenance/status.json"]
)
def test_strangers_are_refused_before_django_with_djangos_answer(
    client: httpx.Client, method: str, path: str
) -> None:
    stranger = client.request(method, path)
    holder = client.request(method, path, headers=TO_DJANGO)
    assert HEADER not in stranger.headers
    if "/maintenance/" not in path:  # which is the same for everybody, and refused to all at once
        assert HEADER in holder.headers
    assert stranger.status_code == holder.status_code
    assert stranger.content == holder.content
    assert _lasting(stranger) == _lasting(holder)


def _lasting(response: httpx.Response) -> list[tuple[str, str]]:
    """The headers that do not differ from one answer to the next."""
    changing = {"date", "retry-after", HEADER.lower(), WORKER.lower()}
    return [(n.lower(), v) for n, v in response.headers.multi_items() if n.lower() not in changing]


@pytest.mark.parametrize("path", ["/login/", "/healthz", "/static/panel/panel.css"])
def test_what_stays_within_reach_is_answered_by_django(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert HEADER in response.headers


def test_a_long_body_that_nobody_reads_is_answered(client: httpx.Client) -> None:
    for _ in range(3):
        response = client.post("/orders/new/", content=b"x" * 300_000)
        assert response.status_code == 503
        assert "Moving house" in response.text
        assert HEADER not in response.headers


def test_an_administrator_logs_in_and_works_behind_the_guard(
    client: httpx.Client, guarded: DemoServer
) -> None:
    with contextlib.closing(guarded.logged_in("admin")) as admin:
        assert admin.get("/orders/").status_code == 200
    assert client.get("/orders/").status_code == 302

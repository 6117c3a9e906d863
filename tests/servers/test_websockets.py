"""WebSockets and streams on a real server: ended when the site closes, and waited for."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo_server import DemoServer, serving, until

if TYPE_CHECKING:
    import httpx
    from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.servers

SOON = 6.0
"""A poll of the settings and the few seconds that an application is given, and some more."""


@pytest.fixture(scope="module")
def server(new_directory: Callable[[str], Path]) -> Iterator[DemoServer]:
    directory = new_directory("sockets")
    with serving("uvicorn-alone", directory, "tests.socket_settings") as running:
        yield running


@pytest.fixture
def site(server: DemoServer) -> Iterator[DemoServer]:
    """The site, open before and after the test."""
    start = server.log_size()
    yield server
    server.manage("maintenance", "off")
    until(lambda: mode_of(server) == "open" or None, SOON, "an open site")
    print(server.words(start))  # noqa: T201  (pytest shows this for a test that failed)


def mode_of(server: DemoServer) -> str:
    with server.client() as client:
        mode: str = client.get("/maintenance/status.json").json()["mode"]
        return mode


def knock(server: DemoServer, person: httpx.Client | None = None) -> ClientConnection:
    """Open the WebSocket as a page does that *person* looks at."""
    from websockets.sync.client import connect
    from websockets.typing import Origin

    cookies = person.cookies.items() if person is not None else []
    return connect(
        f"ws://127.0.0.1:{server.port}/ws/site/",
        origin=Origin(server.url),
        additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies)},
        open_timeout=10,
    )


def ask(socket: ClientConnection) -> Any:
    """What the site says, asked now; news that came by themselves are skipped."""
    with contextlib.suppress(TimeoutError):
        while True:
            socket.recv(timeout=0)
    socket.send("{}")
    return json.loads(socket.recv(timeout=5))


def worker(server: DemoServer) -> dict[str, Any]:
    """The row of the one process, and the number of the last change."""
    database = sqlite3.connect(server.directory / "demo.sqlite3")
    database.row_factory = sqlite3.Row
    with contextlib.closing(database):
        row = dict(
            database.execute("SELECT * FROM backsoon_worker WHERE ended_at IS NULL").fetchone()
        )
        epoch = database.execute("SELECT epoch FROM backsoon_maintenance").fetchone()[0]
    return {**row, "acknowledges": row["acked_epoch"] == epoch}


def wait_for_worker(server: DemoServer, *, acknowledges: bool) -> dict[str, Any]:
    def as_wanted() -> dict[str, Any] | None:
        row = worker(server)
        seen = row["acknowledges"] or row["in_flight"]
        return row if seen and row["acknowledges"] is acknowledges else None

    return until(as_wanted, SOON, lambda: f"acknowledges={acknowledges}: {worker(server)}")


def heard_to_the_end(socket: ClientConnection) -> None:
    """Receive until the connection is closed, which is an exception."""
    while True:
        socket.recv(timeout=SOON)


def test_a_closure_ends_the_websockets_of_visitors_and_no_administrators(site: DemoServer) -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    with (
        contextlib.closing(site.logged_in("client")) as client,
        contextlib.closing(site.logged_in("admin")) as admin,
        knock(site) as strangers,
        knock(site, client) as clients,
        knock(site, admin) as admins,
    ):
        assert ask(clients)["mode"] == ask(admins)["mode"] == "open"
        site.manage("maintenance", "on")
        for socket in (strangers, clients):
            with pytest.raises(ConnectionClosed) as ended:
                heard_to_the_end(socket)
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1012
            assert ended.value.rcvd.reason == "Closed for maintenance"

        assert wait_for_worker(site, acknowledges=True)["apart"] == 1
        assert ask(admins)["mode"] == "closed"
        for person in (None, client):
            with pytest.raises(InvalidStatus) as refused:
                knock(site, person)
            assert refused.value.response.status_code == 503
            assert "Retry-After" in refused.value.response.headers
        with knock(site, admin) as another:
            assert ask(another)["mode"] == "closed"
        site.manage("maintenance", "off")
        until(lambda: ask(admins)["mode"] == "open" or None, SOON, "an open site")


def test_streams_are_waited_for_until_an_operator_has_them_cut(site: DemoServer) -> None:
    with (
        site.client() as visitor,
        visitor.stream("GET", "/events/") as events,
        visitor.stream("GET", "/export/") as export,
    ):
        parts, rows = events.iter_bytes(), export.iter_bytes()
        assert next(parts) == b"data: first\n\n"
        assert next(rows) == b"a;b\r\n"
        waited = site.manage("maintenance", "on", "--wait", "--timeout", "1", check=False)
        assert waited.returncode == 4, waited.stdout + waited.stderr
        row = wait_for_worker(site, acknowledges=False)
        assert {unit[1] for unit in json.loads(row["units"])} == {"/events/", "/export/"}

        site.manage("maintenance", "on", "--wait", "--cut-streams", "1")
        assert worker(site)["in_flight"] == 0
        assert list(parts) == []  # it ends as if there were no more
        with pytest.raises(_broken_off()):
            list(rows)


def _broken_off() -> type[Exception]:
    import httpx

    return httpx.RemoteProtocolError


def test_a_server_that_ends_signs_off(server: DemoServer) -> None:
    # The last one here: the other tests' server has done its work.
    assert worker(server)["kind"] == "asgi"
    assert server.stop() < SOON
    database = sqlite3.connect(server.directory / "demo.sqlite3")
    with contextlib.closing(database):
        rows = database.execute("SELECT id FROM backsoon_worker WHERE ended_at IS NULL").fetchall()
    assert rows == []

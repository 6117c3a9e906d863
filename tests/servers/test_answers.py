"""What a plain HTTP client gets from a closed site on a real server."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.demo_server import DemoServer

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.servers

BROWSER = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    # A server may end a kept connection at any moment, just when the next request is on its way.
    "Connection": "close",
}


@pytest.fixture(scope="module")
def http(closed_site: DemoServer) -> Iterator[httpx.Client]:
    """A client of the closed site, with a new connection for each request."""
    with closed_site.client(headers=BROWSER) as client:
        yield client


def is_marked(response: httpx.Response) -> None:
    """The answer says that it is maintenance, must not be stored, and how long to wait."""
    assert response.headers["X-Maintenance"] == "closed"
    assert response.headers["Cache-Control"] == "no-store"
    assert 100 <= int(response.headers["Retry-After"]) <= 140


def test_a_page_redirects_to_the_maintenance_page(http: httpx.Client) -> None:
    response = http.get("/orders/?status=paid")
    assert response.status_code == 302
    assert response.headers["Location"] == "/maintenance/?next=/orders/%3Fstatus%3Dpaid"
    is_marked(response)


def test_the_page_comes_with_503(http: httpx.Client) -> None:
    response = http.get("/maintenance/", headers={"Accept-Encoding": "identity"})
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Moving house" in response.text
    assert len(response.content) <= 14_000
    is_marked(response)


def test_the_page_is_sent_compressed_to_who_can_read_that(http: httpx.Client) -> None:
    with http.stream("GET", "/maintenance/", headers={"Accept-Encoding": "gzip"}) as response:
        sent = b"".join(response.iter_raw())
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(sent) <= 5_000
    assert b"Moving house" in gzip.decompress(sent)


@pytest.mark.parametrize("path", ["/maintenance/", "/orders/", "/api/orders/"])
def test_head_gets_the_same_without_a_body(http: httpx.Client, path: str) -> None:
    plain = {"Accept-Encoding": "identity"}
    head, get = http.head(path, headers=plain), http.get(path, headers=plain)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers.get("Location") == get.headers.get("Location")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    is_marked(head)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_in_place(http: httpx.Client, method: str) -> None:
    response = http.request(method, "/orders/new/", content=b"product=polar-s")
    assert response.status_code == 503
    assert "Moving house" in response.text
    is_marked(response)


def test_a_long_body_that_nobody_reads_is_answered_too(http: httpx.Client) -> None:
    response = http.post("/orders/new/", content=b"x" * 300_000)
    assert response.status_code == 503
    assert "Moving house" in response.text
    is_marked(response)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/orders/", {}),
        ("/api/orders/", {"Authorization": "Bearer northlight-demo-token"}),
        ("/orders/", {"Accept": "application/json"}),
        ("/orders/", {"X-Requested-With": "XMLHttpRequest"}),
    ],
)
def test_programs_get_a_problem_in_json(
    http: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    response = http.get(path, headers=headers)
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 503
    assert problem["detail"] == "Moving house"
    assert problem["maintenance"]["mode"] == "closed"
    is_marked(response)


def test_a_page_that_does_not_exist_is_refused_like_any_other(http: httpx.Client) -> None:
    response = http.get("/nowhere/")
    assert response.status_code == 302
    is_marked(response)


def test_a_missing_slash_tells_nothing_about_the_site(http: httpx.Client) -> None:
    response = http.get("/orders")
    assert response.headers["Location"] == "/maintenance/?next=/orders"
    is_marked(response)


@pytest.mark.parametrize("path", ["/static/panel/panel.css", "/healthz", "/legal/", "/login/"])
def test_what_is_exempt_stays_within_reach(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200


def test_a_static_file_that_does_not_exist_is_simply_not_there(http: httpx.Client) -> None:
    assert http.get("/static/nothing.css").status_code == 404


def test_the_state_can_be_asked_for_as_json(http: httpx.Client) -> None:
    response = http.get("/maintenance/status.json")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "public, max-age=5"
    assert response.json()["mode"] == "closed"


def test_broken_cookies_open_nothing_and_break_nothing(http: httpx.Client) -> None:
    for cookie in (
        "sessionid=nonsense",
        "backsoon_pass=1:x:y",
        "backsoon_pass=%00",
        "=;;=",
        "x" * 4000,
    ):
        response = http.get("/orders/", headers={"Cookie": cookie})
        assert response.status_code == 302, cookie
        is_marked(response)


def test_refusals_are_not_errors_in_the_servers_log(
    closed_site: DemoServer, http: httpx.Client
) -> None:
    start = closed_site.log_size()
    for path in ("/", "/orders/", "/maintenance/", "/api/orders/", "/nowhere/", "/admin/"):
        http.get(path)
        http.post(path)
    # A request that is logged for certain, so that an empty log would be noticed.
    http.get("/api/%00")
    words = closed_site.words(start)
    assert not re.search(r"ERROR|CRITICAL|Traceback|Service Unavailable", words), words

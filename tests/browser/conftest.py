"""The demo on gunicorn, and the people who come to it with a browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.tools import DESKTOP, HEIGHT
from tests.demo_server import FAST_SETTINGS, PASSWORD, DemoServer, serving

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page

NewPage = Callable[..., "Page"]


@pytest.fixture(scope="session")
def server(prepared_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """The demo as `make demo` serves it."""
    directory = tmp_path_factory.mktemp("browser") / "demo"
    shutil.copytree(prepared_demo, directory)
    with serving("gunicorn", directory, FAST_SETTINGS) as running:
        yield running


@pytest.fixture
def site(server: DemoServer) -> Iterator[DemoServer]:
    """The site, open and with nothing but defaults. Whoever comes next puts it back."""
    start = server.log_size()
    server.reset()
    yield server
    # pytest shows this for a test that failed.
    print(server.words(start))  # noqa: T201


@pytest.fixture
def complaints() -> list[str]:
    """What the consoles of this test's browsers have said that they should not say."""
    return []


@pytest.fixture
def new_person(
    site: DemoServer, new_context: Callable[..., BrowserContext], complaints: list[str]
) -> Iterator[NewPage]:
    """Open a browser of somebody new and give its first page. Options as `new_context()` has."""

    def listen(message: ConsoleMessage) -> None:
        # Chromium reports each refusal and each 404 here; those are answers, not faults of a page.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    def open_browser(**options: Any) -> Page:
        defaults: dict[str, Any] = {
            "base_url": site.url,
            "locale": "en-GB",
            "timezone_id": "Europe/Paris",
            "reduced_motion": "reduce",
            "viewport": {"width": DESKTOP, "height": HEIGHT},
        }
        context = new_context(**{**defaults, **options})
        context.set_default_timeout(10_000)
        context.on("console", listen)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        return context.new_page()

    yield open_browser
    assert complaints == []


@pytest.fixture
def visitor(new_person: NewPage) -> Page:
    """A visitor who is nobody in particular."""
    return new_person()


@pytest.fixture
def new_operator(new_person: NewPage, admin_cookies: list[Any]) -> NewPage:
    """Open a browser in which the superuser `admin` has logged in."""

    def open_browser(**options: Any) -> Page:
        page = new_person(**options)
        page.context.add_cookies(admin_cookies)
        return page

    return open_browser


@pytest.fixture
def operator(new_operator: NewPage) -> Page:
    """The superuser `admin`, logged in."""
    return new_operator()


@pytest.fixture
def client(new_person: NewPage, site: DemoServer) -> Page:
    """The customer `client`, logged in."""
    page = new_person()
    page.context.add_cookies(cookies_of("client", site))
    return page


@pytest.fixture(scope="session")
def admin_cookies(server: DemoServer) -> list[Any]:
    """The cookies of a login of `admin`; closures do not end it."""
    server.reset()
    return cookies_of("admin", server)


def cookies_of(username: str, server: DemoServer) -> list[Any]:
    """The cookies of a new login, for a browser's context."""
    with contextlib.closing(server.logged_in(username)) as session:
        return [
            {"name": cookie.name, "value": cookie.value or "", "url": server.url}
            for cookie in session.cookies.jar
        ]


def log_in(page: Page, username: str, door: str = "/login/") -> None:
    """Log in as a person does: by the form of a login page."""
    page.goto(door)
    page.locator("[name=username]").fill(username)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(lambda address: "/login/" not in address)

"""Take the pictures of the documentation from a running demo.

    python scripts/screenshots.py http://127.0.0.1:8000/

Logs in as ``admin`` (password: ``DEMO_PASSWORD``, or the demo's default), plans a closure, cancels
it, closes the site, takes the pictures, and opens the site again. A site that is closed already is
left alone, and so is one with a closure to come.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
WINDOW: ViewportSize = {"width": 960, "height": 640}
PHONE: ViewportSize = {"width": 360, "height": 740}
CLOSED_FOR = dt.timedelta(minutes=41)
PLANNED_IN = dt.timedelta(minutes=45)


def main() -> int:
    """Take all pictures. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation.")
    parser.add_argument("url", help="where the demo runs, such as http://127.0.0.1:8000/")
    url = parser.parse_args().url
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root, which is who builds docs in a container.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=sandbox)
        try:
            take_pictures(browser, url)
        finally:
            browser.close()
    return 0


def chromium() -> str:
    """The browser that the tests use."""
    found = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "chromium.py")], capture_output=True, text=True
    )
    if found.returncode:
        sys.exit("No Chromium on this machine: apt-get install chromium.")
    return found.stdout.strip()


def take_pictures(browser: Browser, url: str) -> None:
    """The card while open; then, while closed, the page and the admin."""
    operator = new_context(browser, url)
    if operator.request.get("/maintenance/status.json").json()["mode"] != "open":
        sys.exit("The site is not open. Open it first, so that nobody's closure ends by accident.")
    if operator.request.get("/maintenance/status.json").json()["next"]:
        sys.exit("A closure is planned. Cancel it first, so that the pictures show one alone.")
    admin = log_in(operator)
    with planned(operator):
        admin.goto("/services/")
        admin.locator("[data-backsoon-banners] > *").first.wait_for()
        take(admin, "site-notice", height=400)
    admin.goto("/admin/")
    take(admin, "admin-online", clip_to=".backsoon-card")
    with closed(operator):
        for scheme in ("light", "dark"):
            picture_of_page(browser, url, f"page-{scheme}", color_scheme=scheme, viewport=WINDOW)
        picture_of_page(browser, url, "page-phone", viewport=PHONE)
        admin.goto("/admin/")
        take(admin, "admin-card", clip_to=".backsoon-card")
        admin.goto("/admin/settings/?group=maintenance")
        take(admin, "admin-settings")
        admin.goto("/")
        take(admin, "site-badge", height=320)


def new_context(browser: Browser, url: str, **options: Any) -> BrowserContext:
    """A browser of somebody in Paris who reads English, without animations."""
    return browser.new_context(
        base_url=urljoin(url, "/"),
        timezone_id="Europe/Paris",
        reduced_motion="reduce",
        **{"locale": "en-GB", "viewport": DESKTOP, "color_scheme": "light", **options},
    )


def log_in(context: BrowserContext) -> Page:
    """A page of the administrator."""
    page = context.new_page()
    page.goto("/login/")
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(os.environ.get("DEMO_PASSWORD") or "backsoon-demo")
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(lambda address: "/login/" not in address)
    return page


@contextmanager
def closed(context: BrowserContext) -> Iterator[None]:
    """The site closed, with an expected end, for the length of the block."""
    end = dt.datetime.now(dt.UTC) + CLOSED_FOR
    switch(context, enabled="true", reason="Faster machines", ends_at=end.isoformat())
    try:
        yield
    finally:
        switch(context, enabled="false", reason="The pictures are taken")


@contextmanager
def planned(context: BrowserContext) -> Iterator[None]:
    """A closure to come, of an hour, for the length of the block."""
    page = context.new_page()
    page.goto("/admin/settings/calendar/plan/")
    start = dt.datetime.now(ZoneInfo("Europe/Paris")) + PLANNED_IN
    page.locator("[name=starts_at]").fill(f"{start:%Y-%m-%dT%H:%M}")
    page.get_by_label("1 hour", exact=True).check()
    page.locator("[name=title]").fill("Moving to faster machines")
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Plan it").first.click()
    cancel = page.locator("[data-condition=planned] a", has_text="Cancel").first
    address = cancel.get_attribute("href")
    assert address is not None
    try:
        yield
    finally:
        page.goto(address)
        page.get_by_role("button", name="Cancel this closure").click()
        page.close()


def switch(context: BrowserContext, **fields: str) -> None:
    """Send the admin's form for closing and opening, as a browser without JavaScript does."""
    page = context.new_page()
    page.goto("/admin/settings/maintenance/")
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    page.close()
    form: dict[str, str | float | bool] = {"csrfmiddlewaretoken": token, **fields}
    answer = context.request.post("/admin/settings/maintenance/", form=form, max_redirects=0)
    if answer.status != 302:
        sys.exit(f"The site could not be switched: {answer.status} {answer.status_text}.")


def picture_of_page(browser: Browser, url: str, name: str, **options: Any) -> None:
    """The maintenance page, as a visitor with these options of the browser sees it."""
    visitor = new_context(browser, url, **options)
    page = visitor.new_page()
    for _attempt in range(50):
        answer = page.goto("/orders/")
        if answer is not None and "x-maintenance" in answer.headers:
            break
        page.wait_for_timeout(200)  # each worker learns of the closure within a second
    else:
        sys.exit("The site was closed, but its workers do not know.")
    take(page, name)
    visitor.close()


def take(page: Page, name: str, *, clip_to: str = "", height: int = DESKTOP["height"]) -> None:
    """Store what the window shows, down to *height* pixels, or only the element *clip_to*."""
    page.wait_for_load_state("networkidle")
    path = IMAGES / f"{name}.png"
    if clip_to:
        page.locator(clip_to).first.screenshot(path=path)
    else:
        window = page.viewport_size or DESKTOP
        height = min(height, window["height"])
        page.screenshot(
            path=path, clip={"x": 0, "y": 0, "width": window["width"], "height": height}
        )
    print(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())

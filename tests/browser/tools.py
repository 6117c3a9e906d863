"""What the browser tests have in common: words, widths, waiting and judging."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from django.utils import translation
from django.utils.translation import gettext, pgettext

if TYPE_CHECKING:
    from playwright.sync_api import Page, expect
else:

    def expect(*arguments: Any) -> Any:
        """Playwright's own; imported late, because the fast suite also collects these modules."""
        from playwright.sync_api import expect as playwright_expect

        return playwright_expect(*arguments)


__all__ = [
    "DESKTOP",
    "HEIGHT",
    "LOCALES",
    "PHONE",
    "SCHEMES",
    "WIDTHS",
    "axe_problems",
    "expect",
    "said",
    "sideways",
    "stop_clock",
]

LOCALES = {"en": "en-GB", "fr": "fr-FR"}
"""The browser's own language for each language of the site."""

PHONE, TABLET, DESKTOP = 320, 768, 1280
WIDTHS = (PHONE, TABLET, DESKTOP)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
HEIGHT = 800


def said(text: str, language: str, context: str = "", **values: Any) -> str:
    """*text* as the site says it in *language*. Fails where nobody has translated it."""
    with translation.override(language):
        found = pgettext(context, text) if context else gettext(text)
    if language != "en":
        assert found != text, f"There is no {language} for {text!r}."
    return found % values if values else found


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    pixels: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return pixels


def stop_clock(page: Page) -> None:
    """From now on the page's time goes on only where the test says so, and nothing is by chance."""
    now = dt.datetime.now(dt.UTC)
    page.add_init_script("Math.random = () => 0.5")
    # The network's time is not the page's: a minute that passes at once must not end a request.
    page.add_init_script("AbortSignal.timeout = () => new AbortController().signal")
    page.clock.install(time=now)
    page.clock.pause_at(now + dt.timedelta(seconds=10))


def axe_problems(page: Page, *, without: tuple[str, ...] = ()) -> str:
    """What axe finds wrong with the page as it is now, for a person to read; empty for nothing."""
    from axe_playwright_python.sync_playwright import Axe

    # In the middle of a transition a colour is neither the old nor the new one.
    page.evaluate("Promise.allSettled(document.getAnimations().map(each => each.finished))")
    rules = {rule: {"enabled": False} for rule in without}
    results = Axe().run(page, options={"rules": rules})
    return str(results.generate_report()) if results.violations_count else ""

"""Files of the package itself are broken: the page's template, its translation, its icons."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import backsoon
from tests.faults.conftest import SiteMaker
from tests.faults.report import Report
from tests.faults.site import BACK_WITHIN, python_path, wrong
from tests.faults.visitors import REAL_PAGE, Ask, burst

pytestmark = [pytest.mark.timed, pytest.mark.servers("postgresql", "redis")]

Damage = Callable[[Path], None]


def broken_template(package: Path) -> None:
    (package / "templates/backsoon/maintenance.html").write_text("{% if title %}{{ title|nope }}")


def broken_translation(package: Path) -> None:
    (package / "locale/fr/LC_MESSAGES/django.mo").write_bytes(b"\xde\x12\x04\x95 and no more")


def missing_icons(package: Path) -> None:
    shutil.rmtree(package / "http/icons_data")


def broken_template_and_missing_icons(package: Path) -> None:
    broken_template(package)
    missing_icons(package)


@pytest.mark.parametrize(
    "damage",
    [missing_icons, broken_template_and_missing_icons, broken_translation],
    ids=lambda damage: damage.__name__,
)
def test_the_page_comes_with_its_message_in_every_language(
    new_site: SiteMaker, tmp_path: Path, damage: Damage, report: Report
) -> None:
    package = tmp_path / "backsoon"
    shutil.copytree(Path(backsoon.__file__).parent, package)
    damage(package)
    with new_site("gunicorn", PYTHONPATH=python_path(tmp_path)) as site:
        site.close()
        asks = [Ask("nobody", "/maintenance/", language=code) for code in ("en", "fr")]
        pages = burst(site.server.port, asks * 4)
        french = [
            Ask(visitor, path, cookies=cookies, language="fr")
            for visitor, cookies in site.cookies.items()
            for path in ("/", "/orders/", "/login/")
        ]
        replies = pages + burst(site.server.port, french) + site.visit()
        back = site.seconds_until_well()
        report.add(damage.__name__.replace("_", " "), "gunicorn", replies, back=back)
        assert list(wrong(replies)) == []
        assert {reply.status for reply in pages} == {503}
        assert all(REAL_PAGE in page.text for page in pages)
        assert back <= BACK_WITHIN

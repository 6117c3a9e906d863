"""The administrators' badge on pages that make it hard to put anything in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from backsoon.http.injection import MARKER
from backsoon.testing import override_maintenance
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(visitor: Visitor, root: User) -> Iterator[Visitor]:
    """An administrator on the closed site, who sees a server error as one."""
    visitor.client.raise_request_exception = False
    with override_settings(ROOT_URLCONF="tests.urls_edges"):
        visitor.login(root)
        with override_maintenance():
            yield visitor


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "us-ascii", "windows-1251"])
def test_the_badge_is_written_in_the_charset_of_the_page(boss: Visitor, charset: str) -> None:
    response = boss.get(f"/charset/{charset}/")
    assert response.status_code == 200
    html = response.content.decode(charset)
    assert MARKER.decode() in html
    assert "<p>hello</p>" in html


@pytest.mark.parametrize("charset", ["x-user-defined", "utf-16"])
def test_a_charset_that_is_unknown_or_untrue_leaves_the_page_readable(
    boss: Visitor, charset: str
) -> None:
    response = boss.get(f"/charset/{charset}/")
    assert response.status_code == 200
    assert b"<p>hello</p>" in response.content


def test_the_badge_stands_after_a_start_tag_that_holds_a_greater_than_sign(boss: Visitor) -> None:
    html = boss.get("/arrow/").content.decode()
    tag, _badge, text = html.partition("<link")
    assert tag == '<html><body x-data="{ open: () => true }" class="a">'
    assert MARKER.decode() in text


def test_a_script_that_speaks_of_a_start_tag_is_left_alone(boss: Visitor) -> None:
    html = boss.get("/script/").content.decode()
    head, body = html.split("</head>")
    assert head == '<html><head><script>var tag = "<body>";</script>'
    assert MARKER.decode() in body


@pytest.mark.parametrize(("path", "status"), [("/204/", 204), ("/304/", 304)])
def test_an_answer_without_a_body_stays_without_one(boss: Visitor, path: str, status: int) -> None:
    response = boss.get(path)
    assert response.status_code == status
    assert response.content == b""


def test_head_tells_the_length_of_the_page_with_its_badge(boss: Visitor) -> None:
    page = boss.get("/plain/")
    assert MARKER in page.content
    head = boss("head", "/plain/")
    assert head.content == b""
    assert head["Content-Length"] == page["Content-Length"] == str(len(page.content))

"""A site on two workers that is closed, refuses, is checked, opened, and tells of it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.demo_server import DemoServer, serving

pytestmark = pytest.mark.servers

SETTINGS = "tests.servers.reopen_settings"
TOGGLE = "/admin/settings/toggle-maintenance/"


def report(site: DemoServer) -> dict[str, Any]:
    answer = json.loads(site.manage("maintenance", "report", "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def test_what_workers_counted_and_checked_stands_in_the_report(
    new_directory: Callable[[str], Path],
) -> None:
    directory = new_directory("after")
    with serving("gunicorn", directory, SETTINGS) as site:
        assert len(site.workers()) > 1
        with closing(site.logged_in("admin")) as boss, site.client() as visitor:
            for _ in range(10):
                assert visitor.get("/").status_code == 200
            site.manage("maintenance", "on", "--wait", "--reason", "new disks")
            for _ in range(10):
                assert visitor.get("/", headers={"accept": "text/html"}).status_code == 302
            assert visitor.get("/api/services/").status_code == 503

            token = {"X-CSRFToken": boss.cookies["csrftoken"]}
            refused = boss.post(TOGGLE, json={"enabled": False}, headers=token)
            assert refused.status_code == 409
            assert [(each["name"], each["passed"]) for each in refused.json()["checks"]] == [
                ("migrations", True), ("checks", True), ("/", True), ("/login/", True),
                ("tests.reopen_checks.says_why", False),
            ]  # fmt: skip
            assert visitor.get("/").status_code == 302
            forced = boss.post(TOGGLE, json={"enabled": False, "force": True}, headers=token)
            assert forced.json()["success"] is True
            site.settle(mode="open")
            for _ in range(10):
                assert visitor.get("/").status_code == 200
    told = report(site)
    assert told["refused"] == {"pages": 11, "programs": 1, "logins": 0, "all": 12}
    assert told["forced"] is True
    assert told["watch"]["before"]["requests"] >= 10
    assert told["watch"]["after"]["requests"] >= 10
    assert told["began"]["reason"] == "new disks"

"""The benchmarks measure what they say they measure. How fast anything is, no test depends on."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]

QUICK_ROUNDS = 3
ALTERNATIVES = {
    "open": {"no-op", "no-op again", "backsoon"},
    "closed": {"constant", "backsoon", "backsoon in place"},
}
TARGETS = (
    "≤ 1 µs above",
    "≥ 50 ×",
    "≥ 15 ×",
    "not to be told from",
    "0 queries, 0 added",
    "≤ 1.2 ×",
    "≥ 4 ×",
    "≥ 20 ×",
    "≤ 10 µs",
    "flat (≤ 1.1 ×",
)

PEER = find_spec("maintenance_mode") is not None


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run gives."""
    file = tmp_path_factory.mktemp("benchmarks") / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--results", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| Backsoon |" in done.stdout
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def data(results: dict[str, Any], section: str) -> dict[str, Any]:
    """The raw numbers of a section."""
    found: dict[str, Any] = results["sections"][section]["data"]
    return found


@pytest.mark.parametrize("section", ALTERNATIVES)
def test_a_quick_run_measures_everybody_in_every_round(
    results: dict[str, Any], section: str
) -> None:
    expected = ALTERNATIVES[section] | ({"django-maintenance-mode, file"} if PEER else set())
    timed = [
        each for name, each in data(results, section).items() if name.startswith(("call", "whole"))
    ]
    assert timed
    for measured in timed:
        assert set(measured) == expected
        for rounds in measured.values():
            assert len(rounds) == QUICK_ROUNDS
            assert min(rounds) > 0


def test_a_quick_run_has_a_verdict_for_every_target_it_is_for(results: dict[str, Any]) -> None:
    findings = [each for section in results["sections"].values() for each in section["findings"]]
    for beginning in TARGETS:
        assert any(each["target"].startswith(beginning) for each in findings), beginning
    for finding in findings:
        assert finding["verdict"] in ("met", "missed", "not measured")
        assert finding["measured"]


def test_the_open_site_is_measured_open_and_the_closed_one_closed(results: dict[str, Any]) -> None:
    for section, right in (("open", {200}), ("closed", {302, 503})):
        counts = [
            each for name, each in data(results, section).items() if name.startswith("counts")
        ]
        assert counts
        for counted in counts:
            for name, told in counted.items():
                assert set(told["statuses"]) <= right, name


def test_backsoon_asks_no_query_and_changes_no_thread(results: dict[str, Any]) -> None:
    for section, floor in (("open", "no-op"), ("closed", "constant")):
        for name, counted in data(results, section).items():
            if name.startswith("counts"):
                assert counted["backsoon"]["queries"] == 0
                assert counted["backsoon"]["hops"] <= counted[floor]["hops"]


@pytest.mark.skipif(not PEER, reason="django-maintenance-mode is not installed: run `make bench`.")
def test_queries_are_counted_where_there_are_some(results: dict[str, Any]) -> None:
    counted = data(results, "closed")["counts wsgi user"]
    assert counted["django-maintenance-mode, file"]["queries"] > 0


def test_a_site_that_has_grown_is_measured_beside_a_small_one(results: dict[str, Any]) -> None:
    measured = data(results, "growth")["measured"]
    assert {"reading, all", "switch", "closed, request of a stranger"} <= set(measured)
    for name, pair in measured.items():
        assert set(pair) == {"small", "grown"}, name
        assert len(pair["small"]) == len(pair["grown"]) > 0
        assert min(*pair["small"], *pair["grown"]) > 0


def test_the_machine_is_described_without_its_name(results: dict[str, Any]) -> None:
    assert {"processor", "Python", "Django", "Backsoon"} <= set(results["machine"])
    assert platform.node() not in " ".join(results["machine"].values()).split()

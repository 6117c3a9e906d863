"""What the benchmarks make of numbers. That they measure is tested with a quick run of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.findings import Bars, Section, Table
from benchmarks.picture import svg
from benchmarks.samples import Sample, difference, percentile, ratio

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "performance.md"


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was ten times slower in the last round, for both.
    assert ratio([2, 2, 20], [1, 1, 10]) == Sample(2, 2, 2)
    assert difference([3, 4, 5], [1, 1, 1]) == Sample(3, 2.5, 3.5)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([5, 1, 3, 2, 4], 0.5) == 3
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([7], 0.99) == 7


# -- The page ----------------------------------------------------------------------------------


def test_the_page_has_a_place_for_every_part(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    sections = [
        Section(name, tables=[Table(f"About {name}", ["a|b"], [[name]])]) for name in report.ORDER
    ]
    for _ in range(2):  # the second time replaces what the first one put there
        report.rewrite(copy, report.blocks({"processor": "quick"}, sections))
    text = copy.read_text(encoding="utf-8")
    for name in report.ORDER:
        assert text.count(f"**About {name}**") == 1
    assert text.count("| processor | quick |") == 1
    assert "a\\|b" in text


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="begin machine"):
        report.rewrite(page, {"machine": "numbers"})
    assert page.read_text(encoding="utf-8") == "nothing here"


def test_a_picture_draws_every_bar_and_escapes_its_name() -> None:
    picture = svg(Bars("A <title>", {"Backsoon": 1.0, "others & more": 1_000.0, "none": 0.0}))
    assert picture.count("<rect") == 4  # and the paper
    assert picture.count('class="ours"') == 1
    assert "A &lt;title&gt;" in picture
    assert "others &amp; more" in picture
    assert "prefers-color-scheme: dark" in picture

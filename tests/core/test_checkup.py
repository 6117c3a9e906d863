"""How a check before opening is written, and what is kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backsoon.core.checkup import Checked, Kind, checked_of, failed, parse_check


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("migrations", Kind.MIGRATIONS),
        ("migrations:default,replica", Kind.MIGRATIONS),
        ("checks", Kind.SYSTEM),
        ("checks:deploy", Kind.SYSTEM),
        ("/", Kind.VISIT),
        ("/orders/?page=2", Kind.VISIT),
        ("https://shop.example/orders/", Kind.VISIT),
        ("shop.checks.stock", Kind.CALL),
    ],
)
def test_each_kind_is_known_by_how_it_is_written(text: str, kind: Kind) -> None:
    check = parse_check(text)
    assert (check.kind, check.name) == (kind, text)


@pytest.mark.parametrize(
    "text",
    ["", "orders", "//evil.example/", "ftp://x/", "checks:all", "migrations:", "migrations:a,,b",
     "https://", "https://a:b@shop.example/", "/a b", "/a\n", "/a#b", "shop..stock", "1a.b"],
)  # fmt: skip
def test_what_is_no_check_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_check(text)


def test_the_databases_of_a_check_are_read() -> None:
    assert parse_check("migrations:default, replica").databases == ("default", "replica")
    assert parse_check("migrations").databases == ()
    assert parse_check("checks:deploy").deploy
    assert not parse_check("checks").deploy


RESULTS = st.lists(
    st.builds(Checked, st.text(max_size=9), st.text(max_size=9), st.floats(0, 1000)), max_size=5
)


@given(RESULTS)
def test_what_the_history_keeps_can_be_read_back(results: list[Checked]) -> None:
    back = checked_of([result.record() for result in results])
    assert [(b.name, b.why_not, b.passed) for b in back] == [
        (r.name, r.why_not, r.passed) for r in results
    ]
    assert [r for r in results if not r.passed] == list(failed(results))


@given(st.lists(
    st.none() | st.integers() | st.dictionaries(
        st.sampled_from(["name", "why_not", "seconds"]), st.none() | st.booleans() | st.integers()
    ), max_size=5,
) | st.none() | st.integers())  # fmt: skip
def test_what_somebody_broke_by_hand_breaks_nothing(records: object) -> None:
    assert isinstance(checked_of(records), list)

"""Paths and addresses that the settings let by."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.matching import (
    METHODS,
    PathPattern,
    client_address,
    first_match,
    has_dot_segment,
    network_of,
    parse_network,
    parse_pattern,
)

segments = st.lists(st.text("ab-é", min_size=1, max_size=3), min_size=1, max_size=4)
tails = st.lists(st.text("ab.é", max_size=3), max_size=3)


def written(parts: list[str], slash: bool = False) -> str:
    return "/" + "/".join(parts) + ("/" if slash else "")


@given(segments, st.booleans(), segments, st.booleans(), st.text("ab/-", max_size=3))
@settings(max_examples=80, deadline=None)
def test_a_prefix_covers_exactly_the_paths_that_begin_with_its_segments(
    prefix: list[str], slash: bool, asked: list[str], asked_slash: bool, glued: str
) -> None:
    pattern = parse_pattern(written(prefix, slash))
    for path in (
        written(asked, asked_slash),
        written(prefix + asked, asked_slash),
        written(prefix, asked_slash) + glued,
    ):
        parts = path.split("/")[1:]
        assert pattern.matches("GET", path) is (parts[: len(prefix)] == prefix)


@given(segments, tails, st.sampled_from([".", ".."]), tails)
@settings(max_examples=100, deadline=None)
def test_a_path_with_a_dot_segment_is_covered_by_no_prefix(
    prefix: list[str], before: list[str], dots: str, after: list[str]
) -> None:
    path = written([*prefix, *before, dots, *after])
    assert has_dot_segment(path)
    assert not parse_pattern(written(prefix)).matches("GET", path)


@pytest.mark.parametrize(
    "path", ["/health/.well-known", "/health/...", "/health/a.b", "/health/a."]
)
def test_a_dot_within_a_segment_is_an_ordinary_letter(path: str) -> None:
    assert parse_pattern("/health/").matches("GET", path)


def test_a_prefix_ends_on_a_border_of_segments() -> None:
    pattern = parse_pattern("/health")
    assert pattern.matches("GET", "/health")
    assert pattern.matches("GET", "/health/")
    assert pattern.matches("GET", "/health/db")
    assert not pattern.matches("GET", "/healthcare")
    assert not pattern.matches("GET", "/health.json")
    assert not pattern.matches("GET", "/HEALTH")
    assert not pattern.matches("GET", "//health")
    assert not pattern.matches("GET", "/x/health")
    assert not pattern.matches("GET", "")


def test_a_pattern_for_a_method_covers_that_method_only() -> None:
    pattern = parse_pattern("POST /hooks/")
    assert {m for m in METHODS if pattern.matches(m, "/hooks/pay")} == {"POST"}
    assert not pattern.matches("post", "/hooks/pay")


def test_a_pattern_for_get_covers_head_and_not_the_other_way_round() -> None:
    assert parse_pattern("GET /a/").matches("HEAD", "/a/")
    assert not parse_pattern("HEAD /a/").matches("GET", "/a/")


def test_a_pattern_without_method_covers_every_method() -> None:
    pattern = parse_pattern("/a/")
    assert all(pattern.matches(method, "/a/") for method in [*METHODS, "BREW"])


def test_an_exact_path_covers_nothing_below_it_and_not_its_twin_without_slash() -> None:
    door = PathPattern("/login/", exact=True)
    assert door.matches("POST", "/login/")
    assert not door.matches("POST", "/login")
    assert not door.matches("POST", "/login/other/")
    assert not door.matches("POST", "/login/../orders/")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "neither"),
        ("   ", "neither"),
        ("GET POST /a/", "neither"),
        ("health/", "does not begin with '/'"),
        ("http://example.com/", "does not begin with '/'"),
        ("get /a/", "not an HTTP method in capitals"),
        ("BREW /a/", "not an HTTP method in capitals"),
        ("/my path/", "not an HTTP method in capitals"),
        ("/", "whole site"),
        ("//", "whole site"),
        ("///", "whole site"),
        ("POST /", "whole site"),
        ("^/a/", "does not begin with '/'"),
        ("/a/$", "looks like a pattern"),
        ("/a/*", "looks like a pattern"),
        ("/a/?x=1", "looks like a pattern"),
        ("/a/#x", "looks like a pattern"),
        ("/a\\d/", "looks like a pattern"),
        ("/a%20b/", "encoded"),
        ("/a/../", "segment"),
        ("/./", "segment"),
        ("/health//hooks/", "comma"),
        ("/a//", "comma"),
    ],
)
def test_what_is_no_path_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_pattern(text)


@pytest.mark.parametrize("value", [None, 5, b"/a/", ["/a/"]])
def test_what_is_no_text_is_no_path(value: object) -> None:
    with pytest.raises(ValueError, match="not a string"):
        parse_pattern(value)  # type: ignore[arg-type]


@given(st.text("/ aGET.*é", max_size=12))
@settings(max_examples=80, deadline=None)
def test_no_pattern_that_can_be_written_exempts_the_whole_site(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    assert not pattern.matches("GET", "/")
    assert not pattern.matches("GET", "/some-page-that-nobody-named/")


@pytest.mark.parametrize("text", ["/a/", "/a", "POST /a/b/"])
def test_a_pattern_reads_as_it_was_written(text: str) -> None:
    assert str(parse_pattern(text)) == text


def test_an_exact_pattern_says_that_it_is_exact() -> None:
    assert str(PathPattern("/login/", exact=True)) == "/login/ (exactly)"


def test_the_first_pattern_that_covers_the_request_is_named() -> None:
    patterns = [parse_pattern(text) for text in ("/b/", "POST /a/", "/a/b/", "/a/")]
    assert first_match(patterns, "GET", "/a/b/c") == patterns[2]
    assert first_match(patterns, "POST", "/a/b/c") == patterns[1]
    assert first_match(patterns, "GET", "/c/") is None
    assert first_match([], "GET", "/a/") is None


# -- Addresses ---------------------------------------------------------------------------------


@given(st.ip_addresses(v=4), st.integers(1, 32), st.ip_addresses(v=4))
@settings(max_examples=80, deadline=None)
def test_an_address_lies_in_a_network_when_their_first_bits_agree(
    base: ipaddress.IPv4Address, bits: int, asked: ipaddress.IPv4Address
) -> None:
    network = parse_network(str(ipaddress.ip_network((int(base), bits), strict=False)))
    for address in (asked, base):
        agree = f"{int(base):032b}"[:bits] == f"{int(address):032b}"[:bits]
        assert (network_of([network], str(address)) == network) is agree
        assert (network_of([network], f"::ffff:{address}") == network) is agree


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "192.0.2",
        "192.0.2.1:80",
        "192.0.2.1/32",
        " 192.0.2.1",
        "0300.0.2.1",
        "[::1]",
    ],
)
def test_what_is_no_address_lies_in_no_network(address: str) -> None:
    networks = [parse_network("128.0.0.0/1"), parse_network("0.0.0.0/1"), parse_network("::/1")]
    assert network_of(networks, address) is None


def test_networks_are_compared_as_numbers_and_not_as_text() -> None:
    assert network_of([parse_network("10.0.0.1/32")], "10.0.0.199") is None
    assert network_of([parse_network("2001:db8::/32")], "2001:0DB8:0:0::1") is not None


def test_an_address_of_one_version_lies_in_no_network_of_the_other() -> None:
    assert network_of([parse_network("::/1")], "10.0.0.1") is None
    assert network_of([parse_network("0.0.0.0/1")], "::1") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("192.0.2.1", "CIDR"),
        ("", "CIDR"),
        (None, "CIDR"),
        (("192.0.2.0/24",), "CIDR"),
        ("192.0.2.1/24", "host bits"),
        ("192.0.2.0/33", "does not appear"),
        ("example.com/24", "does not appear"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
    ],
)
def test_what_is_no_network_is_refused_with_a_reason(text: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_network(text)


hops = st.lists(st.sampled_from(["203.0.113.9", "192.0.2.1", "junk", ""]), min_size=1, max_size=5)


@given(hops, hops, st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_entries_left_of_those_of_our_proxies_are_not_believed(
    theirs: list[str], ours: list[str], proxies: int
) -> None:
    told = client_address("10.0.0.1", ", ".join(ours), proxies)
    if len(ours) < proxies:
        assert told == ""
    else:
        assert told == ours[len(ours) - proxies]
        assert client_address("10.0.0.1", ",".join(theirs + ours), proxies) == told


@pytest.mark.parametrize("proxies", [0, -1])
def test_without_declared_proxies_the_header_is_not_read(proxies: int) -> None:
    assert client_address("198.51.100.7", "192.0.2.1", proxies) == "198.51.100.7"


def test_a_request_that_came_past_the_declared_proxy_has_no_address() -> None:
    assert client_address("198.51.100.7", "", 1) == ""

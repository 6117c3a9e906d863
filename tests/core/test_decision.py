"""Who gets through: every combination of state and facts, against an oracle of a few lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backsoon.core.decision import (
    NEED_USER,
    RULES,
    SAFE_METHODS,
    Admit,
    Answer,
    Reason,
    Refuse,
    decide,
    deciding_rule,
)
from backsoon.core.matching import (
    client_address,
    first_match,
    network_of,
    parse_network,
    parse_pattern,
)
from backsoon.core.vocabulary import Facts, Mode, State, UserKind, Why

CLOSED = State(Mode.CLOSED, Why.SWITCH)
READ_ONLY = State(Mode.READ_ONLY, Why.SWITCH)
OPEN = State(Mode.OPEN, Why.OPEN)
UNKNOWN = State(Mode.CLOSED, Why.UNKNOWN)
METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "BREW", "get", "")


def every_case() -> Iterator[tuple[State, Facts]]:
    for state, method, exempt, network, marked, holds_pass, user in itertools.product(
        (OPEN, READ_ONLY, CLOSED, UNKNOWN),
        METHODS,
        ("", "/health/"),
        ("", "192.0.2.0/24"),
        (False, True),
        (False, True),
        UserKind,
    ):
        yield (
            state,
            Facts(
                method=method,
                exempt_by=exempt,
                network=network,
                always_open=marked,
                holds_pass=holds_pass,
                user=user,
            ),
        )


def admits(answer: Answer) -> bool:
    return isinstance(answer, Admit)


def test_every_combination_is_decided_as_the_promise_says() -> None:
    for state, facts in every_case():
        let_by = (
            state.mode is Mode.OPEN
            or facts.always_open
            or facts.exempt_by != ""
            or facts.network != ""
            or (
                state.mode is Mode.READ_ONLY and facts.method in ("GET", "HEAD", "OPTIONS", "TRACE")
            )
        )
        answer = decide(state, facts)
        if let_by or facts.user is UserKind.ADMINISTRATOR:
            assert admits(answer), (state, facts)
        elif facts.user is UserKind.UNKNOWN and facts.holds_pass:
            assert answer is NEED_USER, (state, facts)
        else:
            assert isinstance(answer, Refuse), (state, facts)


def test_administrators_always_get_through() -> None:
    cases = [(s, f) for s, f in every_case() if f.user is UserKind.ADMINISTRATOR]
    assert cases
    assert all(admits(decide(state, facts)) for state, facts in cases)


def test_what_is_not_known_never_admits() -> None:
    for state in (CLOSED, UNKNOWN):
        assert decide(state, Facts()) == Refuse(Reason.STRANGER)
        assert decide(state, Facts(user=UserKind.ANONYMOUS)) == Refuse(Reason.STRANGER)
        assert decide(state, Facts(user=UserKind.ORDINARY)) == Refuse(Reason.ORDINARY)


def test_a_pass_is_worth_a_look_at_the_user_and_nothing_more() -> None:
    assert decide(CLOSED, Facts(holds_pass=True)) is NEED_USER
    for user in (UserKind.ANONYMOUS, UserKind.ORDINARY):
        assert isinstance(decide(CLOSED, Facts(holds_pass=True, user=user)), Refuse)


def test_a_state_that_could_not_be_read_is_as_closed_as_a_closed_one() -> None:
    for state, facts in every_case():
        if state is CLOSED:
            assert decide(UNKNOWN, facts) == decide(CLOSED, facts)


def test_asking_for_the_user_only_ever_narrows_what_was_undecided() -> None:
    for state, facts in every_case():
        if facts.user is UserKind.UNKNOWN and decide(state, facts) is not NEED_USER:
            known = Facts(
                method=facts.method,
                exempt_by=facts.exempt_by,
                network=facts.network,
                always_open=facts.always_open,
                holds_pass=facts.holds_pass,
                user=UserKind.ORDINARY,
            )
            assert admits(decide(state, known)) is admits(decide(state, facts))


@pytest.mark.parametrize("method", sorted({"POST", "PUT", "PATCH", "DELETE", "BREW", "get", ""}))
def test_read_only_stops_every_method_that_is_not_known_to_be_safe(method: str) -> None:
    assert isinstance(decide(READ_ONLY, Facts(method=method)), Refuse)


@pytest.mark.parametrize("method", sorted(SAFE_METHODS))
def test_read_only_lets_reading_go_on(method: str) -> None:
    assert decide(READ_ONLY, Facts(method=method)) == Admit(Reason.READ_ONLY_SAFE, method)


def test_the_answer_names_what_let_the_request_by() -> None:
    assert decide(CLOSED, Facts(exempt_by="/health/")) == Admit(Reason.EXEMPT, "/health/")
    assert decide(CLOSED, Facts(network="::1/128")) == Admit(Reason.NETWORK, "::1/128")
    assert decide(CLOSED, Facts(always_open=True)) == Admit(Reason.ALWAYS_OPEN)


def test_the_first_rule_that_applies_decides() -> None:
    everything = Facts(
        exempt_by="/x/", network="::1/128", always_open=True, user=UserKind.ADMINISTRATOR
    )
    rule, answer = deciding_rule(CLOSED, everything)
    assert (rule.reason, answer) == (Reason.ALWAYS_OPEN, Admit(Reason.ALWAYS_OPEN))


def test_the_rule_that_decides_gives_its_own_reason() -> None:
    for state, facts in every_case():
        rule, answer = deciding_rule(state, facts)
        if answer is not NEED_USER:
            assert isinstance(answer, Admit | Refuse)
            assert answer.reason is rule.reason
            assert answer.admitted is isinstance(answer, Admit)


def test_every_rule_has_its_own_reason_a_sentence_and_a_case_in_which_it_decides() -> None:
    reasons = [rule.reason for rule in RULES]
    assert sorted(reasons) == sorted(Reason)
    assert all(rule.summary.endswith(".") for rule in RULES)
    assert {deciding_rule(state, facts)[0].reason for state, facts in every_case()} == set(Reason)


# -- Changes to a request that must not help it ------------------------------------------------

EXEMPT = [parse_pattern(text) for text in ("/health/", "POST /hooks/", "/api/public")]
NETWORKS = [parse_network(text) for text in ("192.0.2.0/24", "2001:db8::/32")]
SEGMENTS = ["health", "healthcare", "hooks", "api", "public", "orders", "HEALTH", "héalth", "%2e"]

paths = st.lists(st.sampled_from(SEGMENTS), max_size=4).map(lambda found: "/" + "/".join(found))
methods = st.sampled_from(["GET", "HEAD", "POST", "DELETE"])


def judge(method: str, path: str, forwarded_for: str = "203.0.113.9") -> Answer:
    """The decision on a stranger's request to a closed site behind one proxy."""
    pattern = first_match(EXEMPT, method, path)
    network = network_of(NETWORKS, client_address("10.0.0.1", forwarded_for, 1))
    facts = Facts(
        method=method,
        exempt_by=str(pattern) if pattern else "",
        network=str(network) if network else "",
        user=UserKind.ANONYMOUS,
    )
    return decide(CLOSED, facts)


@given(methods, paths, st.sampled_from([".", "..", "./..", "../health/.."]), st.data())
@settings(max_examples=80, deadline=None)
def test_dot_segments_never_turn_a_refusal_into_admission(
    method: str, path: str, dots: str, data: st.DataObject
) -> None:
    places = [i for i, sign in enumerate(path) if sign == "/"]
    place = data.draw(st.sampled_from(places))
    dotted = f"{path[:place]}/{dots}{path[place:]}"
    assert not admits(judge(method, dotted))


@given(methods, paths, st.integers(1, 3), st.data())
@settings(max_examples=80, deadline=None)
def test_doubled_slashes_never_turn_a_refusal_into_admission(
    method: str, path: str, more: int, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from([i for i, sign in enumerate(path) if sign == "/"]))
    doubled = path[:place] + "/" * more + path[place:]
    assert admits(judge(method, path)) or not admits(judge(method, doubled))


@given(st.lists(st.sampled_from(["192.0.2.1", "2001:db8::1", "", "unknown", "::ffff:192.0.2.1"])))
def test_what_a_client_writes_into_its_header_never_turns_a_refusal_into_admission(
    junk: list[str],
) -> None:
    """The proxy appends the true address; whatever stands before it was written by the client."""
    assert not admits(judge("GET", "/orders", ",".join([*junk, "203.0.113.9"])))


@given(st.text("/.a%h\\\x00é ", max_size=12), st.text("1:.,f%\x00 é", max_size=12))
@settings(max_examples=80, deadline=None)
def test_no_text_breaks_the_judgement(path: str, header: str) -> None:
    answer = judge("GET", path, header)
    if admits(answer):
        address = header.rpartition(",")[2].strip()
        assert path.startswith(("/health", "/api/public")) or network_of(NETWORKS, address)

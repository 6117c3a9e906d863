"""Try every order in which the steps of a small system can happen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True)
class Exploration(Generic[S]):
    """What was met on the way through all states, or until the first broken promise."""

    states: int
    steps: frozenset[str]
    """The names of all steps that could be taken somewhere."""
    broken: str = ""
    """The promise that does not hold; empty when every state keeps them all."""
    trace: tuple[tuple[str, S], ...] = ()
    """The shortest way to the broken promise: each step and the state after it."""

    def __str__(self) -> str:
        """One line, followed by the trace when a promise was broken."""
        if not self.broken:
            return f"{self.states:,} states, every promise kept"
        lines = [f"broken after {self.states:,} states: {self.broken}"]
        lines += [f"{n:3}. {step:34} {state}" for n, (step, state) in enumerate(self.trace, 1)]
        return "\n".join(lines)


def explore(
    first: S,
    steps: Callable[[S], Iterable[tuple[str, S]]],
    broken: Callable[[S], str],
) -> Exploration[S]:
    """Visit every state that *steps* lead to from *first*, nearest ones first.

    *steps* names the steps that can be taken in a state and tells where each leads; *broken* names
    the promise that a state breaks, or returns ``""``. Stops at the first state that breaks one.
    """
    came_from: dict[S, tuple[S, str] | None] = {first: None}
    waiting = deque([first])
    taken: set[str] = set()
    while waiting:
        state = waiting.popleft()
        for step, following in steps(state):
            taken.add(step)
            if following in came_from:
                continue
            came_from[following] = (state, step)
            promise = broken(following)
            if promise:
                trace = _way_to(following, came_from)
                return Exploration(len(came_from), frozenset(taken), promise, trace)
            waiting.append(following)
    return Exploration(len(came_from), frozenset(taken))


def _way_to(state: S, came_from: dict[S, tuple[S, str] | None]) -> tuple[tuple[str, S], ...]:
    way: list[tuple[str, S]] = []
    origin = came_from[state]
    while origin is not None:
        before, step = origin
        way.append((step, state))
        state, origin = before, came_from[before]
    return tuple(reversed(way))

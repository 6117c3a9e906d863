"""Whether this Backsoon has the outermost guard."""

from importlib.util import find_spec


def guard_is_there() -> bool:
    """Found without importing: this process has no Django set up."""
    return find_spec("backsoon.guard") is not None

"""What there is to say of states that a search with fingerprints may have omitted."""

from __future__ import annotations

from shootdown.check.omission import bound_text
from shootdown.check.result import Result
from shootdown.report.text import count

ASSUMED = (
    "if the fingerprints are like those of a random function; another --seed N repeats the search "
    "with others"
)


def headline(result: Result) -> str:
    """What belongs to a verdict that is about all states; empty where all were kept."""
    if result.fingerprints is None or result.violation is not None:
        return ""
    below = "" if result.omission >= 1 else "below "
    return (
        f"with probability of omitted states {below}{bound_text(result.omission)} "
        f"({kept(result)} of {count(result.states, 'state')})"
    )


def kept(result: Result) -> str:
    """What was kept instead of the states."""
    assert result.fingerprints is not None
    return f"{result.fingerprints.bits}-bit fingerprints"


def assumed(result: Result) -> str:
    """On what the probability rests."""
    assert result.fingerprints is not None
    return f"{kept(result)}, seed {result.fingerprints.seed}: {below(result)}, {ASSUMED}"


def below(result: Result) -> str:
    """The bound as a remark on the states."""
    if result.omission >= 1:
        return "they are too few bits to say that none was omitted"
    return f"some were omitted with probability below {bound_text(result.omission)}"


def no_shorter(result: Result) -> str:
    """What that means for a race."""
    if result.omission >= 1:
        return f"{kept(result)}: states were omitted, so there may be a shorter one"
    bound = bound_text(result.omission)
    return f"{kept(result)}: with probability below {bound} a shorter one was omitted"

"""Short tokens for races: enough to walk one again without a search.

A token is a digest of what it was made for, the race, and a check character. The race is one
number: in each state, the outcome that was taken is a digit whose base is the number of outcomes
that the state has (bijective, so that no length is needed). All characters are digits of base 31,
which is prime: the check character finds every single wrong character and every swap of two
neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

from shootdown.check.outcomes import Outcome, outcomes
from shootdown.check.trace import State
from shootdown.errors import UsageError
from shootdown.lang.ir import System

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0 and o, no 1, i and l
FORMAT = 1  # part of the digest: a token of another format is one of another version
DIGEST = 3
BASE = len(ALPHABET)


class WrongSystemError(UsageError):
    """A token that was made for another system: another version, other bounds or hardware."""


def encode_token(system: System, numbers: Sequence[int]) -> str:
    """The token of a race given by the outcome taken in each state (a failing one may be last)."""
    taken: list[tuple[int, int]] = []  # (outcome, how many there are)
    state: State | None = system.init
    for number in numbers:
        if state is None:
            raise ValueError("a step follows the failed one")
        found = list(outcomes(system, state))
        taken.append((number, len(found)))
        state = found[number].state
    value = 0
    for number, base in reversed(taken):
        value = value * base + number + 1
    body = _digest(system) + "".join(ALPHABET[digit] for digit in _digits(value))
    return body + _check_character(body)


def decode_token(system: System, token: str, target: str = "") -> tuple[int, ...]:
    """The outcome numbers that a token holds; a usage error if it was not made for ``system``.

    ``target`` is what a command line calls the system, if that is not its name.
    """
    name = target or system.name
    text = token.strip().lower()
    body, check = text[:-1], text[-1:]
    if len(body) < DIGEST or set(text) - set(ALPHABET) or _check_character(body) != check:
        raise UsageError(f"'{token}' is not a token: copy all of what `shootdown check` printed")
    if body[:DIGEST] != _digest(system):
        raise WrongSystemError(
            f"this token was made for another version of {name} (or other bounds/hardware): "
            f"run `shootdown check {name}` for a new one"
        )
    return tuple(outcome.number for outcome in _walk(system, token, name, _value(body[DIGEST:])))


def _walk(system: System, token: str, name: str, value: int) -> Iterator[Outcome]:
    seen: set[State] = set()
    state: State | None = system.init
    while value:
        found = [] if state is None or state in seen else list(outcomes(system, state))
        if state is None or not found:  # a shortest race neither goes on after its end nor round
            raise UsageError(f"'{token}' is not a token: it leads nowhere in {name}")
        seen.add(state)
        value, number = divmod(value - 1, len(found))
        yield found[number]
        state = found[number].state


def _digest(system: System) -> str:
    digest = crc32(f"{FORMAT} {system.fingerprint}".encode()) % BASE**DIGEST
    return "".join(ALPHABET[digit] for digit in _digits(digest)).rjust(DIGEST, ALPHABET[0])


def _check_character(body: str) -> str:
    weighted = sum((i % (BASE - 1) + 1) * ALPHABET.index(c) for i, c in enumerate(body))
    return ALPHABET[weighted % BASE]


def _digits(value: int) -> list[int]:
    digits: list[int] = []
    while value:
        value, digit = divmod(value, BASE)
        digits.append(digit)
    return digits[::-1]


def _value(text: str) -> int:
    value = 0
    for character in text:
        value = value * BASE + ALPHABET.index(character)
    return value

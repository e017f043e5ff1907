from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dontneed_ir import dontneed
from scripted import Say, scripted, traced
from shootdown.check.outcomes import outcomes
from shootdown.check.tokens import ALPHABET, decode_token, encode_token
from shootdown.errors import UsageError

SYSTEM = dontneed(2, 1)
OTHER = dontneed(2, 1, nested=False)


@st.composite
def walks(draw: st.DrawFn) -> tuple[int, ...]:
    """Outcomes from the start that never come back to a state, as in a shortest race."""
    numbers, state, seen = [], SYSTEM.init, {SYSTEM.init}
    for _ in range(draw(st.integers(0, 30))):
        found = [o for o in outcomes(SYSTEM, state) if o.state is not None and o.state not in seen]
        if not found:
            break
        taken = draw(st.sampled_from(found))
        assert taken.state is not None
        state = taken.state
        seen.add(state)
        numbers.append(taken.number)
    return tuple(numbers)


@given(walks())
def test_round_trip(numbers: tuple[int, ...]) -> None:
    token = encode_token(SYSTEM, numbers)
    assert set(token) <= set(ALPHABET)
    assert decode_token(SYSTEM, token) == numbers
    assert decode_token(SYSTEM, f" {token.upper()}\n") == numbers


@given(walks(), st.data())
def test_one_wrong_character_is_found(numbers: tuple[int, ...], data: st.DataObject) -> None:
    token = encode_token(SYSTEM, numbers)
    at = data.draw(st.integers(0, len(token) - 1))
    wrong = data.draw(st.sampled_from([c for c in ALPHABET if c != token[at]]))
    with pytest.raises(UsageError, match="is not a token: copy all"):
        decode_token(SYSTEM, token[:at] + wrong + token[at + 1 :])


@given(st.text(ALPHABET, max_size=12))
def test_any_text_is_a_token_or_a_usage_error(text: str) -> None:
    try:
        numbers = decode_token(SYSTEM, text)
    except UsageError:
        return
    assert encode_token(SYSTEM, numbers).lstrip(ALPHABET[0]) == text.lstrip(ALPHABET[0])


@pytest.mark.parametrize("ending", ["invariant", "assertion", "model error", "deadlock"])
def test_a_race_and_its_failing_outcome(ending: str) -> None:
    trace = traced(scripted([Say("CPU0", "one"), Say("CPU1", "two", column=1)], ending=ending))
    token = encode_token(trace.system, trace.numbers)
    assert decode_token(trace.system, token) == trace.numbers


def test_tokens_are_short() -> None:
    trace = traced(OTHER)
    assert len(trace.steps) == 12
    assert len(encode_token(OTHER, trace.numbers)) <= 10


def test_another_version() -> None:
    token = encode_token(OTHER, traced(OTHER).numbers)
    with pytest.raises(UsageError) as caught:
        decode_token(SYSTEM, token)
    assert str(caught.value) == (
        "this token was made for another version of dontneed(2,1) (or other bounds/hardware): "
        "run `shootdown check dontneed(2,1)` for a new one"
    )


@pytest.mark.parametrize("token", ["", "2", "nonsense!", "l0o1", "3fq9k2" * 20])
def test_garbled(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_token(SYSTEM, token)
    assert str(caught.value) == (
        f"'{token}' is not a token: copy all of what `shootdown check` printed"
    )

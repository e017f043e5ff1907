from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shootdown.report.paint import painted
from shootdown.report.text import ascii_text, bounds_text, count, duration, plain, size, wrap


@given(st.text(), st.integers(1, 80), st.integers(0, 8))
def test_wrap_loses_only_spaces(text: str, width: int, hanging: int) -> None:
    line = ascii_text(text)
    rows = wrap(line, width, hanging)
    assert all(len(row) <= width for row in rows)
    assert "".join(rows).replace(" ", "") == line.replace(" ", "")


def test_wrap_breaks_at_spaces_then_after_punctuation() -> None:
    assert wrap("cmpxchg(mm.context.generation, 3, 4) = 3", 20, 2) == [
        "cmpxchg(mm.context.",
        "  generation, 3, 4)",
        "  = 3",
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("``pages`` pages, as in ``vfree()``", "'pages' pages, as in vfree()"),
        (":class:`Plan`, :func:`~shootdown.cost.f`", "'Plan', 'shootdown.cost.f'"),
        ("one ` alone", "one ` alone"),
    ],
)
def test_markup_is_left_out(markup: str, text: str) -> None:
    assert plain(markup) == text


def test_bounds() -> None:
    assert bounds_text([("cpus", 2), ("pages", 1), ("mms", 1), ("depth", 3)]) == (
        "2 CPUs, 1 page, 1 mm, depth=3"
    )
    assert bounds_text([("cpus", 1)]) == "1 CPU"


def test_count() -> None:
    assert [count(n, "state") for n in (0, 1, 41207)] == ["0 states", "1 state", "41,207 states"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0204, "0.02 s"), (12.34, "12.3 s"), (200, "3 min 20 s"), (7300, "2 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (340 * 2**20, "340 MiB"), (2**42, "4.0 TiB")],
)
def test_size(number: int, text: str) -> None:
    assert size(number) == text


def test_paint_changes_no_text() -> None:
    text = "VIOLATED  INV-RET: x\n    load    <-- stale\nHOLDS is a word\nA  HOLDS  VIOLATED  NO  1"
    shown = painted(text)
    assert shown.replace("\x1b[0m", "").replace("\x1b[1;31m", "") == text
    assert shown.splitlines()[0] == "\x1b[1;31mVIOLATED\x1b[0m  INV-RET: x"
    assert shown.splitlines()[1] == "    load    \x1b[1;31m<-- stale\x1b[0m"
    assert shown.splitlines()[3] == "A  HOLDS  VIOLATED  \x1b[1;31mNO\x1b[0m  1"

"""Sets of large populations mean what they mean in Python: bit sets of several words as sets, and
spans as hulls. The same random text is compiled, and run as Python."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from cost.large import BIGS, HEAD, MACHINE, PAGES, Big, Box, Frame, Page, Text, in_python
from cost.schedules import prices
from shootdown.cost.engine import Run
from shootdown.cost.workload import Plan
from shootdown.lang import Thread
from shootdown.lang.loader import namespace

EXAMPLES = int(os.environ.get("SHOOTDOWN_EXAMPLES", "3"))


@pytest.mark.parametrize("number", range(EXAMPLES))
def test_sets_of_any_size(number: int, tmp_path: Path) -> None:
    text = Text(Random(number)).body(14)
    expected = in_python(text)
    path = tmp_path / "model.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in text.splitlines()))
    main = namespace(str(path))["main"]
    sizes = {Big: BIGS, Page: PAGES, Frame: 1, Box: 1}
    plan = Plan(MACHINE, sizes, [Thread(main, Box(0), on=Big(0))])
    run = Run(plan, prices(Random(1)))
    run.run()

    def words(name: str) -> list[int]:
        found = [r for r in run.space.regions.values() if r.name == f"Box.{name}"]
        if not found:
            return []  # nothing in the program mentions it
        base = found[0].storage.base
        return [run.arrays["STATE"][base + i] for i in range(found[0].length)]

    assert words("total") == [expected.total], text
    assert words("hits") in ([], expected.hits), text
    assert words("seen") in ([], expected.seen), text
    bits = sum((w & (1 << 64) - 1) << 64 * i for i, w in enumerate(words("bits")))
    assert {i for i in range(BIGS) if bits >> i & 1} == set(expected.bits), text
    span = (words("pages") or [0])[0]
    assert range(span & (1 << 32) - 1, span >> 32) == expected.pages.range, text

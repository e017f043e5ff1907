"""Our answer to a test against other people's.

Memory is sequentially consistent here, so it can happen that they reach a final state which we do
not. That is *not reachable under sequential consistency*, and no disagreement, only if

* everything that we reach, they reach too, and
* they say that the test needs weak memory; or they say nothing about it, and some processor makes
  two accesses, or an access and a TLBI, with no DSB between them: Arm may reorder these or their
  effects, we do not (:func:`unordered`). That the missing state comes of it is not proven.

Where they say that the test does not need weak memory, each difference is a disagreement.

Without a final state a verdict is true of nothing: that agrees only with a list of states that is
empty, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from shootdown.litmus.condition import Outcome
from shootdown.litmus.effects import Executor
from shootdown.litmus.expected import Answer, same_states
from shootdown.litmus.propositions import Quantifier
from shootdown.litmus.tables import Tables
from shootdown.litmus.values import PteAddress


class Agreement(Enum):
    """How an answer relates to an expected one."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNSUPPORTED = "unsupported"
    NOT_REACHABLE = "not reachable under SC"
    EMPTY = "no final state"
    UNFINISHED = "unfinished"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``reasons`` say what differs, one sentence each; ``only_ours`` and ``only_theirs`` are
    printed final states."""

    agreement: Agreement
    reasons: tuple[str, ...] = ()
    only_ours: tuple[str, ...] = ()
    only_theirs: tuple[str, ...] = ()


def verdict_of(quantifier: Quantifier, outcome: Outcome) -> str:
    """``Forbidden``: no final state satisfies the proposition; ``Required``: a ``forall`` test is
    true; else ``Allowed``."""
    if outcome.positive == 0:
        return "Forbidden"
    always = quantifier is Quantifier.FORALL and outcome.negative == 0
    return "Required" if always else "Allowed"


def compare(
    theirs: Answer,
    weak: bool | None,
    quantifier: Quantifier,
    outcome: Outcome,
    states: tuple[str, ...],
    tables: Tables,
    *,
    complete: bool,
) -> Comparison:
    """``states`` are our final states as they are printed, ``outcome`` what the test says of them;
    they are not all if the search is not ``complete``. ``weak``: the test needs weak memory."""
    more, less = _verdicts(theirs, quantifier, outcome)
    ours_only, theirs_only = set[str](), set[str]()
    if theirs.states is not None:
        ours_only, theirs_only = same_states(set(states), theirs.states)
    differences = tuple(more + less)
    ours, others = tuple(sorted(ours_only)), tuple(sorted(theirs_only))
    if ours or (complete and more):
        return Comparison(Agreement.DISAGREE, differences or ("other final states",), ours, others)
    if not complete:
        return Comparison(Agreement.UNFINISHED, ("the search is not finished",), (), others)
    if not less and not others:
        if not states and theirs.states is None:
            return Comparison(Agreement.EMPTY, ("there is no final state to compare",))
        return Comparison(Agreement.AGREE)
    differences = differences or ("fewer final states",)
    reason = _weak_reason(weak, tables)
    if reason is None:
        return Comparison(Agreement.DISAGREE, differences, (), others)
    return Comparison(Agreement.NOT_REACHABLE, (*differences, reason), (), others)


def _verdicts(
    theirs: Answer, quantifier: Quantifier, outcome: Outcome
) -> tuple[list[str], list[str]]:
    """The differences in words: where we reach what they do not, and where only they do."""
    more: list[str] = []
    less: list[str] = []
    observed = outcome.observation
    if theirs.observation is not None and theirs.observation != observed:
        found = more if theirs.observation != "Sometimes" else less
        found.append(f"observation {observed}, expected {theirs.observation}")
    verdict = verdict_of(quantifier, outcome)
    required = theirs.verdict == "Required" and observed == "Always"
    if theirs.verdict is not None and theirs.verdict != verdict and not required:
        found = more if theirs.verdict != "Allowed" else less
        found.append(f"verdict {verdict}, expected {theirs.verdict}")
    return more, less


def _weak_reason(weak: bool | None, tables: Tables) -> str | None:
    if weak is not None:
        return "the test needs weak memory" if weak else None
    pair = next(unordered(tables), None)
    return f"{pair}: memory that is weaker may reorder them" if pair is not None else None


def unordered(tables: Tables) -> Iterator[str]:
    """Pairs of accesses of one processor, or of an access and a TLBI, between which there is no DSB
    that waits for both kinds of access. Accesses to one descriptor stay in order."""
    executor = Executor(tables.test)
    for first, point in tables.points.items():
        if point.effect is None or point.effect.place is None:
            continue
        seen, open_ = set(), [after for _, after in point.then.values()]
        while open_:
            local = open_.pop()
            effect = tables.points[local].effect
            if local in seen or effect is None:
                continue
            seen.add(local)
            if effect.kind in ("sync", "return"):
                open_ += [after for _, after in tables.points[local].then.values()]
            same = isinstance(effect.place, PteAddress) and effect.place == point.effect.place
            if (effect.place is not None or effect.kind == "tlbi") and not same:
                one, other = (executor.column(at).steps[at.index] for at in (first.at, local.at))
                yield (
                    f"P{first.at.processor}: {' '.join(one.text.split())} (line {one.line}) and "
                    f"{' '.join(other.text.split())} (line {other.line})"
                )

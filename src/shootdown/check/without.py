"""A system that does not look at an invariant any more: to find what else can be broken."""

from __future__ import annotations

from dataclasses import replace

from shootdown.check.result import Violation, ViolationKind
from shootdown.lang.ir import Action, Body, Check, FailureKind, Property, System

WAIVABLE = (ViolationKind.INVARIANT, ViolationKind.ASSERTION)


def without(system: System, violation: Violation) -> System:
    """The system without the invariant, or the assertions of the name, that was violated.

    Everything else stays as it is: paths go on where the assertion failed, and failures and
    variables keep their numbers.
    """
    name = violation.name
    if violation.kind is ViolationKind.INVARIANT:
        return replace(system, invariants=tuple(p for p in system.invariants if p.name != name))
    waived = {
        index
        for index, failure in enumerate(system.failures)
        if failure.kind is FailureKind.ASSERTION and failure.name == name
    }

    def action(old: Action) -> Action:
        return replace(old, body=_waived(old.body, waived))

    def prop(old: Property) -> Property:
        return replace(old, body=_waived(old.body, waived))

    return replace(
        system,
        processes=tuple(
            replace(process, actions=tuple(map(action, process.actions)))
            for process in system.processes
        ),
        rules=tuple(map(action, system.rules)),
        invariants=tuple(map(prop, system.invariants)),
        goals=tuple(map(prop, system.goals)),
    )


def _waived(body: Body, failures: set[int]) -> Body:
    blocks = tuple(
        replace(
            block,
            ops=tuple(
                op for op in block.ops if not (isinstance(op, Check) and op.failure in failures)
            ),
        )
        for block in body.blocks
    )
    return replace(body, blocks=blocks)
